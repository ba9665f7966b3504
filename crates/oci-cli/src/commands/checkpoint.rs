//! `checkpoint` and `restore`: refused, with runc's flags understood.

use super::Command;
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind};
use crate::invocation::Invocation;

const fn ignored(name: &'static str, kind: Kind) -> Flag {
    Flag::new(name, kind, "").hidden()
}

/// All flags of runc's two commands, so that the answer is "not supported"
/// and not a complaint about a flag.
const FLAGS: &[Flag] = &[
    ignored("image-path", Kind::Text),
    ignored("work-path", Kind::Text),
    ignored("parent-path", Kind::Text),
    ignored("leave-running", Kind::Switch),
    ignored("tcp-established", Kind::Switch),
    ignored("tcp-skip-in-flight", Kind::Switch),
    ignored("tcp-close", Kind::Switch),
    ignored("link-remap", Kind::Switch),
    ignored("ext-unix-sk", Kind::Switch),
    ignored("shell-job", Kind::Switch),
    ignored("lazy-pages", Kind::Switch),
    ignored("status-fd", Kind::Text),
    ignored("page-server", Kind::Text),
    ignored("file-locks", Kind::Switch),
    ignored("pre-dump", Kind::Switch),
    ignored("manage-cgroups-mode", Kind::Text),
    ignored("empty-ns", Kind::Texts),
    ignored("auto-dedup", Kind::Switch),
    ignored("console-socket", Kind::Text),
    ignored("bundle", Kind::Text).short('b'),
    ignored("detach", Kind::Switch).short('d'),
    ignored("pid-file", Kind::Text),
    ignored("no-subreaper", Kind::Switch),
    ignored("no-pivot", Kind::Switch),
    ignored("lsm-profile", Kind::Text),
    ignored("lsm-mount-context", Kind::Text),
];

pub(crate) const CHECKPOINT: Command = Command {
    name: "checkpoint",
    summary: "not supported",
    arguments: "<container-id>",
    details: "",
    flags: FLAGS,
    end: FlagsEnd::Never,
    counts: (1, Some(1)),
    run: |invocation| refuse(invocation, "checkpoint"),
};

pub(crate) const RESTORE: Command = Command {
    name: "restore",
    summary: "not supported",
    arguments: "<container-id>",
    details: "",
    flags: FLAGS,
    end: FlagsEnd::Never,
    counts: (1, Some(1)),
    run: |invocation| refuse(invocation, "restore"),
};

fn refuse(invocation: &Invocation<'_>, command: &str) -> Result<u8, CliError> {
    Err(CliError::Refused(format!("{command} is not supported by {}", invocation.runtime.name)))
}
