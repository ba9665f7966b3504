//! `caisson serve`, the daemon for a kubelet.

use std::path::PathBuf;

use caisson_cri::ServeOptions;

use crate::context::Context;
use crate::failure::Failure;

/// Serve the Container Runtime Interface (CRI v1) to a kubelet
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads /etc/caisson/config.toml and conf.d beside it, again on SIGHUP. Pods run on \
                  when it ends, and are found again."
)]
pub(crate) struct Serve {
    /// Where to listen; else serve.socket of the settings, else caisson.sock in
    /// the run directory
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Serve {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let engine = context.engine()?;
        let settings_file = context.settings_file.clone();
        let socket = self.socket.clone();
        Ok(caisson_cri::serve(ServeOptions { engine, settings_file, socket })?)
    }
}
