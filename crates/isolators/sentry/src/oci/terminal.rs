//! Terminals of the host's on which those of the container's kernel are shown.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Has a terminal pass on every byte as it is: lines, echo and signals are the affair of
/// the container's kernel.
pub(super) fn make_raw(terminal: impl AsFd) -> Result<(), Errno> {
    let mut modes = tcgetattr(&terminal)?;
    modes.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &modes)
}
