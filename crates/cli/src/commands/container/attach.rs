//! `caisson attach`.

use std::process::ExitCode;

use super::session::{Session, SessionOptions};
use crate::context::Context;
use crate::failure::Failure;

/// Show a container's output and pass on input and signals
#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// Pass on no input
    #[arg(long)]
    no_stdin: bool,
    #[command(flatten)]
    session: SessionOptions,
    /// Name or id
    container: String,
}

impl Attach {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        let (view, shim) = engine.running(&self.container, "start it first")?;
        let request = &view.record.document.request;
        let stdin = request.open_stdin && !self.no_stdin;
        let session = Session::begin(&shim, request.tty, stdin, false, &self.session)?;
        session?.until_end(&engine, &view.record)
    }
}
