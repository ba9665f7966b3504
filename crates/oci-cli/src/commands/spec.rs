//! `spec`: a configuration to start from.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use caisson_runtime_spec::template::{default_spec, rootless_spec};

use super::Command;
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind};
use crate::invocation::Invocation;
use crate::output;

pub(crate) const COMMAND: Command = Command {
    name: "spec",
    summary: "write a config.json to start from",
    arguments: "",
    details: "The file describes an interactive shell in the directory rootfs; edit it to taste.\n\
              An existing config.json is never overwritten.",
    flags: &[
        Flag::new(
            "bundle",
            Kind::Text,
            "directory to write it to (default: the working directory)",
        )
        .short('b'),
        Flag::new(
            "rootless",
            Kind::Switch,
            "for a user without privileges: with a user namespace, without limits",
        ),
    ],
    end: FlagsEnd::Never,
    counts: (0, Some(0)),
    run: spec,
};

fn spec(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    // Only a pure cgroup v2 host has this file at the mount's root.
    let cgroup_v2 = std::fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false);
    let spec = if invocation.flags.switch("rootless") {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        rootless_spec(cgroup_v2, user.as_raw(), group.as_raw())
    } else {
        default_spec(cgroup_v2)
    };
    let text = output::pretty_json(&spec, "\t")?;
    let bundle = invocation.flags.filled_path("bundle").unwrap_or_else(|| PathBuf::from("."));
    let path = bundle.join("config.json");
    let created = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&path);
    match created.and_then(|mut file| file.write_all(&text)) {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(CliError::Refused("File config.json exists. Remove it first".to_owned()))
        }
        Err(error) => Err(CliError::io(format!("write {}", path.display()), error)),
    }
}
