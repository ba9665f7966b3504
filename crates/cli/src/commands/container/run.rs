//! `caisson run`.

use std::process::ExitCode;

use caisson_node::lifecycle::StartOptions;

use super::options::CreateOptions;
use super::session::{Session, SessionOptions};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Make a container and start it; its exit status becomes that of the command
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "Exit codes: 125 if the container could not be \
    started, 126 if its program can't be executed, 127 if there is no such program, else the \
    program's own, or 128 and the signal that ended it."
)]
pub(crate) struct Run {
    /// Leave it running in the background and print its id
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    session: SessionOptions,
    #[command(flatten)]
    options: CreateOptions,
}

impl Run {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine().map_err(|failure| failure.with_code(125))?;
        engine.collect();
        let image = self.options.image(context, &engine)?;
        let mut request = self.options.request()?;
        request.attached = !self.detach;
        let (tty, stdin) = (request.tty, request.open_stdin);
        if tty && stdin && !self.detach && !super::terminal::stdin_is_terminal() {
            return Err(Failure::usage("-it wants a terminal, and standard input is none")
                .hint("leave out -t to pipe something in"));
        }
        let new = engine.create(request, &image, true).map_err(Failure::of_engine)?;
        self.options.write_cidfile(&new.record.id)?;
        let options = StartOptions { stdio: None, stdin_once: !self.detach };
        if self.detach {
            let started = engine.start_new(new, &options, |_| Ok(()));
            let (started, ()) = started.map_err(Failure::of_start)?;
            output::text(&format!("{}\n", started.record.id))?;
            return Ok(ExitCode::SUCCESS);
        }
        let started = engine
            .start_new(new, &options, |shim| Session::begin(shim, tty, stdin, true, &self.session));
        let (started, session) = started.map_err(Failure::of_start)?;
        session?.until_end(&engine, &started.record)
    }
}
