//! A pseudo-terminal's master, passed on to who asked for it.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};

use caisson_isolator::ConsoleSocket;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::termios::{OptionalActions, OutputModes, tcgetattr, tcsetattr};

/// Sends the master, with the modes that were asked for.
///
/// # Errors
/// What was tried, and why it failed.
pub fn pass_on(to: &ConsoleSocket, master: &OwnedFd) -> Result<(), String> {
    let words = |what: &'static str| move |e: rustix::io::Errno| format!("{what}: {e}");
    if to.plain_newlines {
        keep_newlines(master).map_err(words("set the terminal's modes"))?;
    }
    send(&to.socket, master).map_err(words("pass on the terminal"))
}

fn keep_newlines(master: &OwnedFd) -> rustix::io::Result<()> {
    let mut modes = tcgetattr(master)?;
    modes.output_modes.remove(OutputModes::ONLCR);
    tcsetattr(master, OptionalActions::Now, &modes)
}

fn send(socket: &OwnedFd, master: &OwnedFd) -> rustix::io::Result<()> {
    let fds = [master.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let name = [IoSlice::new(b"/dev/ptmx")];
    sendmsg(socket, &name, &mut control, SendFlags::NOSIGNAL).map(drop)
}
