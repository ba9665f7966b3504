//! `caisson start`.

use std::process::ExitCode;

use caisson_node::Engine;
use caisson_node::lifecycle::StartOptions;

use super::session::{Session, SessionOptions};
use crate::context::Context;
use crate::failure::{Failure, each};
use crate::output;

/// Start containers that do not run
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// Show its output and pass on signals, until it ends
    #[arg(short, long)]
    attach: bool,
    /// Pass on input too
    #[arg(short, long)]
    interactive: bool,
    #[command(flatten)]
    session: SessionOptions,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Start {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        engine.collect();
        if self.attach || self.interactive {
            let [name] = self.containers.as_slice() else {
                return Err(Failure::usage("only one container can be attached to"));
            };
            return self.attached(&engine, name);
        }
        let options = StartOptions::default();
        each(&self.containers, |name| {
            match engine.start(name, &options, |_| Ok(())) {
                // As docker: what runs already is fine.
                Err(caisson_node::lifecycle::StartError::WrongStatus {
                    status: "running", ..
                }) => {}
                other => drop(other.map_err(|error| Failure::of_start(error).with_code(1))?),
            }
            output::text(&format!("{name}\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn attached(&self, engine: &Engine, name: &str) -> Result<ExitCode, Failure> {
        let request = engine.container(name)?.record.document.request;
        let stdin = self.interactive && request.open_stdin;
        let options = StartOptions { stdio: None, stdin_once: true };
        let started = engine.start(name, &options, |shim| {
            Session::begin(shim, request.tty, stdin, true, &self.session)
        });
        let (started, session) = started.map_err(Failure::of_start)?;
        session?.until_end(engine, &started.record)
    }
}
