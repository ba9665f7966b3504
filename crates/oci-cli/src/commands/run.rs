//! `run`: create, start and, unless detached, wait and delete.

use super::Command;
use super::create::{
    BUNDLE, CONSOLE_SOCKET, NO_NEW_KEYRING, NO_PIVOT, PID_FILE, PIDFD_SOCKET, PRESERVE_FDS,
};
use crate::flags::{Flag, FlagsEnd, Kind};
use crate::launch::{Mode, container};

pub(super) const DETACH: Flag =
    Flag::new("detach", Kind::Switch, "leave the process running and return").short('d');

pub(crate) const COMMAND: Command = Command {
    name: "run",
    summary: "create and run a container",
    arguments: "<container-id>",
    details: "Makes a container from a bundle, a directory with a config.json and a root file \
              system,\nand runs its process. Waits for it, passes on signals and the exit code, \
              and then\ndeletes the container, unless told otherwise.",
    flags: &[
        BUNDLE,
        CONSOLE_SOCKET,
        PIDFD_SOCKET,
        DETACH,
        Flag::new("keep", Kind::Switch, "do not delete the container when it has ended"),
        PID_FILE,
        Flag::new(
            "no-subreaper",
            Kind::Switch,
            "do not become the parent of processes that the container orphans",
        ),
        NO_PIVOT,
        NO_NEW_KEYRING,
        PRESERVE_FDS,
    ],
    end: FlagsEnd::Never,
    counts: (1, Some(1)),
    run: |invocation| {
        let mode = Mode::Run { detach: invocation.flags.switch("detach") };
        container(invocation, mode)
            .map_err(|error| error.within(format!("{} run failed", invocation.runtime.name), 1))
    },
};
