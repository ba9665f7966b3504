//! `caisson push`.

use std::path::PathBuf;

use caisson_image::{Reference, push};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use crate::registry_args::RegistryArgs;

/// Send an image to a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "Prints the digest under which the registry has it.")]
pub(crate) struct Push {
    /// Name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where to, if not to where the name says: `registry.example/web:1.2`
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
    /// Only print the digest
    #[arg(short, long)]
    quiet: bool,
    /// Write the digest to this file too
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// The digest can't be written.
#[derive(Debug, thiserror::Error)]
#[error("the image is pushed, but its digest can't be written to {path}: {source}")]
struct DigestFileError {
    path: PathBuf,
    source: std::io::Error,
}

impl Push {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.store()?;
        let image = store.find(&self.image)?;
        let target = match &self.destination {
            Some(name) => name.parse::<Reference>()?,
            None => self.image.parse().ok().filter(|name| image.names.contains(name)).ok_or_else(
                || {
                    Failure::usage(format!("where to? {:?} is no name of the image", self.image))
                        .hint("caisson push IMAGE REGISTRY/REPOSITORY:TAG")
                },
            )?,
        };
        let client = self.registry.client(context)?;
        let progress = Progress::new(context, self.quiet);
        progress.say(&format!("pushing to {target}"));
        let digest = push(&store, &client, &image, &target, &progress)?;
        drop(progress);
        if let Some(path) = &self.digestfile {
            std::fs::write(path, digest.to_string())
                .map_err(|source| DigestFileError { path: path.clone(), source })?;
        }
        context.note_image(&store, "push", &image.id, Some(target.familiar()));
        output::text(&format!("{digest}\n"))
    }
}
