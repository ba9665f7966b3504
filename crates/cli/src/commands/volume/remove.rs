//! `caisson volume rm`.

use caisson_node::volumes::VolumeError;

use crate::context::Context;
use crate::failure::{Failure, each};
use crate::output;

/// Remove volumes and what is in them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A volume that a container uses, also one that does not run, is not removed."
)]
pub(crate) struct Remove {
    /// Don't mind if there is none of that name
    #[arg(short, long)]
    force: bool,
    /// Names
    #[arg(value_name = "VOLUME", required = true)]
    volumes: Vec<String>,
}

impl Remove {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let engine = context.engine()?;
        engine.collect();
        each(&self.volumes, |name| match engine.remove_volume(name) {
            Ok(()) => output::text(&format!("{name}\n")),
            Err(VolumeError::NotFound(_)) if self.force => Ok(()),
            Err(error) => Err(error.into()),
        })
    }
}
