//! Loading, whatever the form.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::gather::{Files, gather};
use super::{DOCKER_MANIFESTS, INDEX, LoadError, OCI_LAYOUT, docker, layout};
use crate::ProgressSink;
use crate::gc::KEEP;
use crate::meta::ImageRecord;
use crate::store::Store;

/// Where images are loaded from.
pub enum Input<'a> {
    /// An archive, or the directory of a layout.
    Path(&'a Path),
    /// An archive that comes as a stream, such as standard input.
    Stream(Box<dyn Read + 'a>),
}

/// Loads all images of an OCI layout (directory or tar archive) or of an
/// archive of `docker save`. Archives may be compressed with gzip or zstd.
/// Names come from the archive; an image without one can be found by its id.
///
/// # Errors
/// The first that fails ends it; images before that one are kept.
pub fn load(
    store: &Store,
    input: Input<'_>,
    sink: &dyn ProgressSink,
) -> Result<Vec<ImageRecord>, LoadError> {
    store.collect_leftovers()?;
    let lease = store.lease("load")?;
    let result = match input {
        Input::Path(root) if root.is_dir() => {
            let files = Files::Directory { root, store, lease: &lease };
            if root.join(OCI_LAYOUT).exists() || root.join(INDEX).exists() {
                layout::load_layout(store, &files, sink)
            } else {
                docker::load_docker(store, &files, sink)
            }
        }
        Input::Path(path) => {
            let failed = |source| LoadError::Read { path: path.to_owned(), source };
            let file = File::open(path).map_err(failed)?;
            let total = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
            gather(store, &lease, file, total, sink).and_then(|files| images(store, &files, sink))
        }
        Input::Stream(stream) => {
            gather(store, &lease, stream, None, sink).and_then(|files| images(store, &files, sink))
        }
    };
    // What belongs to no image: lists, and everything when it failed.
    drop(lease);
    match result {
        Ok(images) => {
            store.collect_garbage(KEEP)?;
            Ok(images)
        }
        Err(error) => {
            let _ = store.collect_garbage(KEEP);
            Err(error)
        }
    }
}

fn images(
    store: &Store,
    files: &Files<'_>,
    sink: &dyn ProgressSink,
) -> Result<Vec<ImageRecord>, LoadError> {
    if files.blob(OCI_LAYOUT)?.is_some() && files.blob(INDEX)?.is_some() {
        layout::load_layout(store, files, sink)
    } else if files.blob(DOCKER_MANIFESTS)?.is_some() {
        docker::load_docker(store, files, sink)
    } else {
        Err(LoadError::NoImages)
    }
}
