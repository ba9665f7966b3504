//! `caisson system prune`: containers that have ended, images and volumes that
//! nothing uses, and a bridge without containers.

use std::time::SystemTime;

use caisson_node::lifecycle::{RemoveOptions, Status};

use crate::commands::image::prune;
use crate::commands::volume;
use crate::context::Context;
use crate::failure::{self, Failure};
use crate::output::filters::Filters;
use crate::output::{self, sizes};
use crate::question;

/// Remove containers that don't run, images and volumes that nothing uses, an idle bridge
#[derive(Debug, clap::Args)]
#[command(after_help = "Without --all only images without a name are removed.")]
pub(crate) struct Prune {
    /// Images with names too, if no container that stays was made from them
    #[arg(short, long)]
    all: bool,
    /// Volumes too that nobody gave a name and no container uses
    #[arg(long)]
    volumes: bool,
    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let images = if self.all { "all images" } else { "all images without a name" };
        let mut what = format!("all containers that don't run, {images} that none was made from");
        if self.volumes {
            what.push_str(", and all volumes without a name that none uses");
        }
        if !self.force && !question::ask(&format!("This removes {what}. Go on?"))? {
            return Ok(());
        }
        let engine = context.engine()?;
        engine.collect();
        let ended = |status| matches!(status, Status::Created | Status::Exited);
        let views = engine.containers()?;
        let ids: Vec<_> =
            views.into_iter().filter(|v| ended(v.status)).map(|v| v.record.id).collect();
        let options = RemoveOptions { force: false, volumes: self.volumes };
        let result = failure::each(&ids, |id| {
            engine.remove(id, options)?;
            output::text(&format!("Removed container: {id}\n"))
        });
        engine.prune_network()?;
        if self.volumes {
            let reclaimed = volume::prune::unused(&engine, false, &Filters::default())?;
            let reclaimed = sizes::human(reclaimed);
            output::text(&format!("Total reclaimed space of volumes: {reclaimed}\n"))?;
        }
        let filter = prune::filter(self.all, &[], SystemTime::now())?;
        let report = engine.store()?.prune(&filter)?;
        output::text(&format!(
            "{}Total reclaimed space of images: {}\n",
            prune::describe(&report),
            sizes::human(report.reclaimed)
        ))?;
        result
    }
}
