//! `caisson load`.

use std::io;
use std::path::PathBuf;

use caisson_image::archive::{self, Input, LoadError};
use caisson_image::{ImageRecord, Reference};
use rustix::termios::isatty;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// Bring images in from an archive or a directory
#[derive(Debug, clap::Args)]
#[command(after_help = "Reads OCI image layouts (archives and directories) and what `docker \
                        save` writes, as they are or compressed with gzip or zstd.")]
pub(crate) struct Load {
    /// The file or directory; standard input if not given
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Which images are accepted, as in containers-policy.json(5): the
    /// transports docker-archive, oci-archive and oci
    #[arg(long, value_name = "FILE")]
    signature_policy: Option<PathBuf>,
    /// Only the ids of the images
    #[arg(short, long)]
    quiet: bool,
}

/// Which input could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot load {input}: {source}")]
struct LoadInputError {
    input: String,
    source: LoadError,
}

impl Load {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let input = match &self.input {
            Some(path) => Input::Path(path),
            None if isatty(rustix::stdio::stdin()) => {
                return Err(Failure::usage(
                    "there is nothing to load: standard input is a terminal",
                )
                .hint("name the archive (--input FILE), or pipe it in"));
            }
            None => Input::Stream(Box::new(io::stdin().lock())),
        };
        let policy = context.signature_policy(self.signature_policy.as_deref())?;
        let store = context.store()?;
        let progress = Progress::new(context, self.quiet);
        let named = self.input.as_ref().map(|path| path.display().to_string());
        let images =
            archive::load(&store, input, policy.as_ref(), &progress).map_err(|source| {
                let input = named.unwrap_or_else(|| "standard input".to_owned());
                LoadInputError { input, source }
            })?;
        drop(progress);
        for image in &images {
            let name = image.names.first().map(Reference::familiar);
            context.note_image(&store, "load", &image.id, name);
        }
        let text: String = images.iter().map(|image| told(image, self.quiet)).collect();
        output::text(&text)
    }
}

fn told(image: &ImageRecord, quiet: bool) -> String {
    match image.names.as_slice() {
        _ if quiet => format!("{}\n", image.id),
        [] => format!("Loaded image ID: {}\n", image.id),
        names => {
            names.iter().map(|n| format!("Loaded image: {}\n", Reference::familiar(n))).collect()
        }
    }
}
