//! User namespace id maps (user_namespaces(7)).

use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};

use caisson_runtime_spec::{IdMapping, Spec, validate_rootless};
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use caisson_sys::exec::{StringArray, execve};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::stdio::dup2_stderr;

use crate::step::{Context, StepError};

/// Fails if a configuration asks for what the caller, who is not root, can't do.
pub(crate) fn check_rights(spec: &Spec) -> Result<(), StepError> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    validate_rootless(spec).map_err(|error| {
        let text = error.to_string();
        let (document, reason) = text.split_once(": ").unwrap_or(("config.json", &text));
        StepError::new(document, reason)
    })
}

fn text(maps: &[IdMapping]) -> String {
    maps.iter().fold(String::new(), |mut text, map| {
        let _ = writeln!(text, "{} {} {}", map.container_id, map.host_id, map.size);
        text
    })
}

fn write_proc(pid: Pid, name: &str, value: &str) -> Result<(), Errno> {
    let path = format!("/proc/{}/{name}", pid.as_raw_nonzero());
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, value.as_bytes()).map(drop)
}

/// Writes both maps of a process that is alone in its new user namespace:
/// directly, or through newuidmap(1) and newgidmap(1) where the kernel does
/// not let the caller.
pub(crate) fn write(pid: Pid, uids: &[IdMapping], gids: &[IdMapping]) -> Result<(), StepError> {
    let privileged = rustix::process::geteuid().is_root();
    if privileged {
        write_proc(pid, "uid_map", &text(uids)).context(|| "write uid_map of linux.uidMappings")?;
        return write_proc(pid, "gid_map", &text(gids))
            .context(|| "write gid_map of linux.gidMappings");
    }
    let own_uid = rustix::process::geteuid().as_raw();
    if is_own(uids, own_uid) {
        write_proc(pid, "uid_map", &text(uids)).context(|| "write uid_map of linux.uidMappings")?;
    } else {
        run_mapper("newuidmap", pid, uids)?;
    }
    if is_own(gids, rustix::process::getegid().as_raw()) {
        // An unprivileged gid map needs this first, so that a group can't be
        // dropped to gain what it was denied (CVE-2014-8989).
        write_proc(pid, "setgroups", "deny").context(|| "deny setgroups")?;
        write_proc(pid, "gid_map", &text(gids)).context(|| "write gid_map of linux.gidMappings")
    } else {
        run_mapper("newgidmap", pid, gids)
    }
}

fn is_own(maps: &[IdMapping], id: u32) -> bool {
    matches!(maps, [map] if map.size == 1 && map.host_id == id)
}

fn run_mapper(program: &str, pid: Pid, maps: &[IdMapping]) -> Result<(), StepError> {
    let mut args = vec![program.to_owned(), pid.as_raw_nonzero().to_string()];
    for map in maps {
        args.extend([map.container_id, map.host_id, map.size].map(|n| n.to_string()));
    }
    let args: Vec<_> =
        args.into_iter().filter_map(|arg| std::ffi::CString::new(arg).ok()).collect();
    let args = StringArray::new(args);
    let env = StringArray::new(Vec::new());
    let search = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
    let step = || format!("run {program} (of the package uidmap)");
    let (drain, output) = pipe_with(PipeFlags::CLOEXEC).context(step)?;
    match clone3(CloneFlags::empty(), None).context(step)? {
        Side::Child => {
            let _ = dup2_stderr(&output);
            for dir in search.split(':') {
                if let Ok(path) = std::ffi::CString::new(format!("{dir}/{program}")) {
                    let _ = execve(&path, &args, &env);
                }
            }
            exit_now(127)
        }
        Side::Parent { pidfd, .. } => {
            drop(output);
            let status =
                waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).context(step)?;
            match status.and_then(|status| status.exit_status()) {
                Some(0) => Ok(()),
                Some(127) => Err(StepError::new(step(), "executable file not found in $PATH")),
                _ => Err(StepError::new(
                    step(),
                    format!("{} (see /etc/subuid and /etc/subgid)", said(&drain)),
                )),
            }
        }
    }
}

/// What a program that has ended left in a pipe; a pipe's worth at most.
fn said(drain: &OwnedFd) -> String {
    let mut text = vec![0; 4096];
    let length = rustix::io::read(drain, &mut text[..]).unwrap_or(0);
    text.truncate(length);
    let text = String::from_utf8_lossy(&text);
    let text = text.trim();
    if text.is_empty() { "it failed without a word".to_owned() } else { text.to_owned() }
}

/// A user namespace with these maps that no process lives in, as idmapped
/// mounts need one (mount_setattr(2)).
pub(crate) fn namespace(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd, StepError> {
    let step = || "make a user namespace for idmapped mounts";
    match clone3(CloneFlags::NEWUSER, None).context(step)? {
        Side::Child => {
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            loop {
                rustix::event::pause();
            }
        }
        Side::Parent { pid, pidfd } => {
            let result = write(pid, uids, gids).and_then(|()| {
                let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
                openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(step)
            });
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            result
        }
    }
}
