//! `caisson create`.

use std::process::ExitCode;

use super::options::CreateOptions;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Make a container, but do not start it
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Create {
    #[command(flatten)]
    options: CreateOptions,
}

impl Create {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine().map_err(|failure| failure.with_code(125))?;
        engine.collect();
        let image = self.options.image(context, &engine)?;
        let request = self.options.request()?;
        let new = engine.create(request, &image, false).map_err(Failure::of_engine)?;
        self.options.write_cidfile(&new.record.id)?;
        output::text(&format!("{}\n", new.record.id))?;
        Ok(ExitCode::SUCCESS)
    }
}
