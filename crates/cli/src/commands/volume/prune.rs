//! `caisson volume prune`, and what `system prune --volumes` does to volumes.

use caisson_node::Engine;
use caisson_node::volumes::VolumeError;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::filters::{FilterArgs, Filters};
use crate::output::{self, sizes};
use crate::question;

/// Remove volumes that no container uses
#[derive(Debug, clap::Args)]
#[command(after_help = "Filters: label=KEY[=VALUE]\n\
                        Without --all only volumes that nobody gave a name are removed.")]
pub(crate) struct Prune {
    /// Volumes with names too
    #[arg(short, long)]
    all: bool,
    /// Don't ask
    #[arg(short, long)]
    force: bool,
    /// Only those that match all of these
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

impl Prune {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let filters = FilterArgs::of(&self.filter).parse(&["label"])?;
        let kind = if self.all { "all volumes" } else { "all volumes without a name" };
        let question = format!("This removes {kind} that no container uses. Go on?");
        if !self.force && !question::ask(&question)? {
            return Ok(());
        }
        let engine = context.engine()?;
        engine.collect();
        let reclaimed = unused(&engine, self.all, &filters)?;
        output::text(&format!("Total reclaimed space: {}\n", sizes::human(reclaimed)))
    }
}

/// Removes volumes that no container uses, with `all` those with names too;
/// names each, and gives the bytes that were in them.
pub(crate) fn unused(engine: &Engine, all: bool, filters: &Filters) -> Result<u64, Failure> {
    let mut reclaimed = 0;
    for volume in engine.volumes()? {
        let chosen = (all || volume.record.anonymous) && filters.labels(&volume.record.labels);
        if !chosen || !volume.containers.is_empty() {
            continue;
        }
        let name = &volume.record.name;
        // Only for the sum, which may be too small.
        let size = engine.volume_size(name).unwrap_or_default();
        match engine.remove_volume(name) {
            Ok(()) => {
                reclaimed += size;
                output::text(&format!("Removed volume: {name}\n"))?;
            }
            // Somebody was faster, or has just begun to use it.
            Err(VolumeError::NotFound(_) | VolumeError::InUse { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(reclaimed)
}
