//! Loading, whatever the form.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::gather::{Files, gather};
use super::{DOCKER_MANIFESTS, INDEX, LoadError, OCI_LAYOUT, docker, layout};
use crate::ProgressSink;
use crate::gc::KEEP;
use crate::meta::ImageRecord;
use crate::policy::{LocalImage, Policy};
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
/// With a `policy`, only what that allows.
///
/// # Errors
/// The first that fails ends it; images before that one are kept.
pub fn load(
    store: &Store,
    input: Input<'_>,
    policy: Option<&Policy>,
    sink: &dyn ProgressSink,
) -> Result<Vec<ImageRecord>, LoadError> {
    store.collect_leftovers()?;
    let lease = store.lease("load")?;
    let result = match input {
        Input::Path(root) if root.is_dir() => real(root).and_then(|real| {
            let files = Files::Directory { root: &real, store, lease: &lease };
            if real.join(OCI_LAYOUT).exists() || real.join(INDEX).exists() {
                check(policy, &LocalImage::OciLayout(&real))?;
                layout::load_layout(store, &files, sink)
            } else {
                check(policy, &LocalImage::DockerArchive)?;
                docker::load_docker(store, &files, sink)
            }
        }),
        Input::Path(path) => real(path).and_then(|real| {
            let failed = |source| LoadError::Read { path: path.to_owned(), source };
            let file = File::open(&real).map_err(failed)?;
            let total = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
            let files = gather(store, &lease, file, total, sink)?;
            images(store, &files, Some(&real), policy, sink)
        }),
        Input::Stream(stream) => gather(store, &lease, stream, None, sink)
            .and_then(|files| images(store, &files, None, policy, sink)),
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

/// Absolute and without links, as policies name it.
fn real(path: &Path) -> Result<PathBuf, LoadError> {
    path.canonicalize().map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

fn check(policy: Option<&Policy>, image: &LocalImage<'_>) -> Result<(), LoadError> {
    Ok(policy.map_or(Ok(()), |policy| policy.check_local(image))?)
}

fn images(
    store: &Store,
    files: &Files<'_>,
    path: Option<&Path>,
    policy: Option<&Policy>,
    sink: &dyn ProgressSink,
) -> Result<Vec<ImageRecord>, LoadError> {
    if files.blob(OCI_LAYOUT)?.is_some() && files.blob(INDEX)?.is_some() {
        check(policy, &LocalImage::OciArchive(path))?;
        layout::load_layout(store, files, sink)
    } else if files.blob(DOCKER_MANIFESTS)?.is_some() {
        check(policy, &LocalImage::DockerArchive)?;
        docker::load_docker(store, files, sink)
    } else {
        Err(LoadError::NoImages)
    }
}
