//! Processes: the container's first one, and those of `exec`.

use caisson_runtime_spec::{Capabilities, CapabilitySet, Process, User};

use super::program::set;
use super::user::Identity;
use crate::metadata::{ContainerRecord, Program};

/// The container's first process.
pub(super) fn first_process(
    record: &ContainerRecord,
    identity: &Identity,
    bounding: &CapabilitySet,
    hostname: &str,
) -> Process {
    let request = &record.document.request;
    let program = &record.document.program;
    let mut env = program.env.clone();
    set_default(&mut env, "HOSTNAME", hostname);
    set_default(&mut env, "HOME", &identity.home);
    Process {
        terminal: request.tty,
        user: user(identity),
        args: program.args.clone(),
        env,
        cwd: program.working_dir.clone(),
        capabilities: Some(capabilities(bounding, identity.uid)),
        rlimits: request.ulimits.clone(),
        no_new_privileges: request.security.no_new_privileges,
        oom_score_adj: request.resources.oom_score_adj,
        ..Process::default()
    }
}

/// What a further process is to be.
#[derive(Clone, Debug, Default)]
pub struct ExecProcess {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`, over the container's.
    pub env: Vec<String>,
    /// Directory, in place of the container's.
    pub working_dir: Option<String>,
    /// A pseudo-terminal.
    pub tty: bool,
    /// Every capability that the host can give.
    pub privileged: bool,
}

/// The process of an `exec`, from the container's own one (`first`, of its
/// config.json) and what was asked. `identity` is `None` for the container's user.
#[must_use]
pub fn exec_process(
    first: &Process,
    program: &Program,
    exec: &ExecProcess,
    identity: Option<&Identity>,
) -> Process {
    let mut process = Process {
        terminal: exec.tty,
        console_size: None,
        args: exec.args.clone(),
        ..first.clone()
    };
    if let Some(identity) = identity {
        process.user = user(identity);
        set(&mut process.env, &format!("HOME={}", identity.home));
        // What image or request set counts for every user.
        if let Some(home) = program.env.iter().find(|variable| variable.starts_with("HOME=")) {
            set(&mut process.env, home);
        }
        let bounding = first.capabilities.as_ref().map(|caps| caps.bounding.clone());
        process.capabilities = bounding.map(|bounding| capabilities(&bounding, identity.uid));
    }
    if exec.tty {
        set_default(&mut process.env, "TERM", "xterm");
    }
    for variable in &exec.env {
        set(&mut process.env, variable);
    }
    if let Some(directory) = &exec.working_dir {
        process.cwd.clone_from(directory);
    }
    if exec.privileged {
        let all = super::capabilities::available();
        process.capabilities = Some(Capabilities {
            bounding: all.clone(),
            effective: all.clone(),
            permitted: all,
            ..Capabilities::default()
        });
    }
    process
}

fn user(identity: &Identity) -> User {
    User {
        uid: identity.uid,
        gid: identity.gid,
        umask: None,
        additional_gids: identity.groups.clone(),
    }
}

/// Root gets what the bounding set allows; others keep nothing over exec, so
/// that only set-uid programs raise them.
fn capabilities(bounding: &CapabilitySet, uid: u32) -> Capabilities {
    let own = if uid == 0 { bounding.clone() } else { CapabilitySet::default() };
    Capabilities {
        bounding: bounding.clone(),
        effective: own.clone(),
        permitted: own,
        ..Capabilities::default()
    }
}

fn set_default(env: &mut Vec<String>, name: &str, value: &str) {
    if !env.iter().any(|variable| variable.split('=').next() == Some(name)) {
        env.push(format!("{name}={value}"));
    }
}
