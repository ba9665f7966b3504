//! `create`: a container that waits for `start`.

use super::Command;
use crate::flags::{Flag, FlagsEnd, Kind};
use crate::launch::{Mode, container};

pub(super) const BUNDLE: Flag =
    Flag::new("bundle", Kind::Text, "path of the bundle (default: the working directory)")
        .short('b');
pub(super) const CONSOLE_SOCKET: Flag = Flag::new(
    "console-socket",
    Kind::Text,
    "path of a UNIX socket that gets the descriptor of the terminal's master end",
);
pub(super) const PIDFD_SOCKET: Flag =
    Flag::new("pidfd-socket", Kind::Text, "path of a UNIX socket that gets a pidfd of the process");
pub(super) const PID_FILE: Flag =
    Flag::new("pid-file", Kind::Text, "file to write the process id to");
pub(super) const NO_PIVOT: Flag = Flag::new(
    "no-pivot",
    Kind::Switch,
    "enter the root file system by moving the mount, not by pivot_root; for a root on an initramfs",
);
pub(super) const NO_NEW_KEYRING: Flag = Flag::new(
    "no-new-keyring",
    Kind::Switch,
    "stay in the caller's session keyring instead of making one",
);
pub(super) const PRESERVE_FDS: Flag = Flag::new(
    "preserve-fds",
    Kind::Integer,
    "pass on N descriptors beyond standard input, output, error and $LISTEN_FDS (default: 0)",
);

pub(crate) const COMMAND: Command = Command {
    name: "create",
    summary: "create a container",
    arguments: "<container-id>",
    details: "Makes a container from a bundle: a directory with a config.json and a root file \
              system.\nIts process waits until the start command. The name has to be unique on \
              this host.",
    flags: &[
        BUNDLE,
        CONSOLE_SOCKET,
        PIDFD_SOCKET,
        PID_FILE,
        NO_PIVOT,
        NO_NEW_KEYRING,
        PRESERVE_FDS,
    ],
    end: FlagsEnd::Never,
    counts: (1, Some(1)),
    run: |invocation| {
        container(invocation, Mode::Create)
            .map_err(|error| error.within(format!("{} create failed", invocation.runtime.name), 1))
    },
};
