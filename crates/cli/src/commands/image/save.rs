//! `caisson save`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use caisson_image::archive::{self, SaveError, SaveFormat};
use caisson_image::{FindImageError, ImageRecord, Reference, Store};
use rustix::termios::isatty;

use crate::context::Context;
use crate::failure::Failure;

/// Write images to an archive or a directory
#[derive(Debug, clap::Args)]
pub(crate) struct Save {
    /// Names or ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// The file, or the directory for `oci-dir`; standard output if not given
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The form
    #[arg(long, value_enum, default_value_t)]
    format: Form,
}

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// An OCI image layout as a tar archive, which `docker load` reads too
    #[default]
    OciArchive,
    /// What `docker save` writes
    DockerArchive,
    /// An OCI image layout as a directory
    OciDir,
}

/// The file can't be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
struct OutputError {
    path: PathBuf,
    source: io::Error,
}

impl Save {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.store()?;
        let find = |query: &String| {
            let mut image = store.find(query)?;
            // As docker does: an image that is asked for by one of its names
            // goes by that one only.
            let asked = query.parse::<Reference>().ok().filter(|name| image.names.contains(name));
            if let Some(name) = asked {
                image.names = vec![name];
            }
            Ok::<_, FindImageError>(image)
        };
        let images = self.images.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        self.write(&store, &images)?;
        for (image, name) in images.iter().zip(&self.images) {
            context.note_image(&store, "save", &image.id, Some(name.clone()));
        }
        Ok(())
    }

    fn write(&self, store: &Store, images: &[ImageRecord]) -> Result<(), Failure> {
        match (&self.output, self.format) {
            (None, Form::OciDir) => Err(Failure::usage("a directory needs a name: --output DIR")),
            (Some(dir), Form::OciDir) => Ok(archive::save_layout(store, images, dir)?),
            (None, form) if isatty(rustix::stdio::stdout()) => {
                Err(Failure::usage(format!("{form:?}: an archive is nothing for a terminal"))
                    .hint("write it to a file (--output FILE) or into a pipe"))
            }
            (None, form) => {
                let out = BufWriter::with_capacity(256 << 10, io::stdout().lock());
                Ok(archive::save(store, images, form.archive(), out)?)
            }
            (Some(path), form) => to_file(store, images, form.archive(), path),
        }
    }
}

impl Form {
    fn archive(self) -> SaveFormat {
        match self {
            Self::DockerArchive => SaveFormat::Docker,
            Self::OciArchive | Self::OciDir => SaveFormat::Oci,
        }
    }
}

/// Writes beside `path` and renames: a file of that name is complete. What is
/// no regular file, such as a pipe, is written to as it is.
fn to_file(
    store: &Store,
    images: &[ImageRecord],
    format: SaveFormat,
    path: &Path,
) -> Result<(), Failure> {
    let fail = |source| OutputError { path: path.to_owned(), source };
    let special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
    if special {
        let file = File::options().write(true).open(path).map_err(fail)?;
        return Ok(write(store, images, format, file)?);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let result = File::create(&partial)
        .map_err(|e| Failure::from(fail(e)))
        .and_then(|file| Ok(write(store, images, format, file)?))
        .and_then(|()| Ok(std::fs::rename(&partial, path).map_err(fail)?));
    if result.is_err() {
        // Whatever it was, the error to tell is the first one.
        let _ = std::fs::remove_file(&partial);
    }
    result
}

fn write(
    store: &Store,
    images: &[ImageRecord],
    format: SaveFormat,
    file: File,
) -> Result<(), SaveError> {
    let mut out = BufWriter::with_capacity(256 << 10, file);
    archive::save(store, images, format, &mut out)?;
    Ok(out.flush()?)
}
