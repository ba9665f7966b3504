//! `caisson man`: manual pages from the definition of the command line.

use std::path::PathBuf;

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::failure::Failure;

/// Write the manual pages, one per command
#[derive(Debug, clap::Args)]
pub(crate) struct Manual {
    /// The folder to write them to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The pages could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write manual pages to {path}: {source}")]
struct WritePagesError {
    path: PathBuf,
    source: std::io::Error,
}

impl Manual {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let write = || {
            std::fs::create_dir_all(&self.out)?;
            // Named `caisson-image-ls.1` and so on; hidden commands have none.
            clap_mangen::generate_to(Cli::command(), &self.out)
        };
        write().map_err(|source| WritePagesError { path: self.out.clone(), source })?;
        Ok(())
    }
}
