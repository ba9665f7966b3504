//! What every command is given: folders, how much to say, where to print.

use std::path::PathBuf;

use caisson_image::{Store, StoreSettings};
use rustix::termios::isatty;

use crate::args::GlobalArgs;
use crate::failure::Failure;
use crate::log::Level;
use crate::roots::Roots;

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where state is kept.
    pub(crate) roots: Roots,
    /// The configuration file that the user named.
    pub(crate) config: Option<PathBuf>,
    /// How much to say on standard error.
    pub(crate) level: Level,
    /// Whether this is not root.
    pub(crate) rootless: bool,
}

impl Context {
    /// Reads options and environment; touches no file.
    pub(crate) fn new(global: &GlobalArgs) -> Result<Self, Failure> {
        let uid = rustix::process::geteuid().as_raw();
        // An empty variable is one that is not set.
        let variable = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let roots =
            Roots::find(global.root.as_deref(), global.run_root.as_deref(), uid, &variable)?;
        let config = global.config.clone();
        Ok(Self { roots, config, level: global.log_level, rootless: uid != 0 })
    }

    /// Opens the image store, and makes the folders where there are none.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        self.roots.prepare()?;
        Ok(Store::open(StoreSettings::at(&self.roots.state))?)
    }

    /// Says what works, but not as asked.
    pub(crate) fn warn(&self, message: &str) {
        self.level.say(Level::Warn, message);
    }

    /// Whether standard error is a terminal: bars are drawn there.
    pub(crate) fn stderr_is_terminal(&self) -> bool {
        isatty(rustix::stdio::stderr())
    }
}
