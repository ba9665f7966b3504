//! Being root of a user namespace, for users without privileges.
//!
//! Every command of such a user runs as root of a user namespace and in a mount
//! namespace of its own: there it may mount overlays, make devices' stand-ins and
//! give files to the user's subordinate ids. While a container runs, commands
//! enter the namespace that it is in, so that they have power over it.

mod id_maps;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use caisson_shim::client::connect;
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use caisson_sys::unshare::{Unshare, unshare};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::paths::Paths;
use id_maps::{IdMaps, helper_writes};

/// Why there is no user namespace.
#[derive(Debug, thiserror::Error)]
pub enum RootlessError {
    /// The kernel does not give one.
    #[error(
        "cannot make a user namespace: {0}; the administrator may have forbidden them (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone)"
    )]
    Forbidden(io::Error),
    /// One that is there can't be entered.
    #[error("cannot enter the user namespace of a container that runs: {0}")]
    Enter(Errno),
    /// The maps of ids can't be written.
    #[error("cannot map user ids: {0}")]
    Maps(String),
    /// A step failed.
    #[error("cannot {what}: {source}")]
    Step {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Whether this process is in a user namespace that does not have all ids.
#[must_use]
pub fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !is_whole(&map)
}

fn is_whole(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether the group `gid` has an id in this process's user namespace.
pub(crate) fn maps_group(gid: u32) -> bool {
    covers(&std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default(), gid)
}

fn covers(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(|text| text.parse::<u64>().ok());
        let (Some(Some(inside)), Some(Some(_)), Some(Some(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        (inside..inside.saturating_add(count)).contains(&u64::from(id))
    })
}

/// Makes this process root of a user namespace, with a mount namespace. To be
/// called by a process of one thread, before it opens anything.
///
/// # Errors
/// [`RootlessError`]. The process can't go on then.
pub fn enter(paths: &Paths) -> Result<(), RootlessError> {
    match namespace_in_use(paths) {
        Some(namespace) => {
            let kind = Some(LinkNameSpaceType::User);
            move_into_link_name_space(namespace.as_fd(), kind).map_err(RootlessError::Enter)?;
        }
        None => make()?,
    }
    let step = |what| move |source| RootlessError::Step { what, source };
    unshare(Unshare::Mount).map_err(step("make a mount namespace"))?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", slave).map_err(|e| step("keep our mounts from the host")(e.into()))
}

/// The user namespace of a supervisor that runs.
fn namespace_in_use(paths: &Paths) -> Option<OwnedFd> {
    let pods: Vec<PathBuf> =
        std::fs::read_dir(paths.pods()).ok()?.flatten().map(|entry| entry.path()).collect();
    pods.iter().find_map(|pod| {
        let state = connect(pod).and_then(|shim| shim.state()).ok()?;
        let path = format!("/proc/{}/ns/user", state.shim_pid);
        open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
    })
}

/// Makes a user namespace. Its maps are written by a child that stays outside.
fn make() -> Result<(), RootlessError> {
    let step = |what| move |source: io::Error| RootlessError::Step { what, source };
    let maps = IdMaps::of_this_user();
    let own = std::process::id();
    let (go, ready) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| step("make a pipe")(e.into()))?;
    let (word, answer) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| step("make a pipe")(e.into()))?;
    let child = match clone3(CloneFlags::empty(), None).map_err(step("start a process"))? {
        Side::Child => {
            drop((ready, word));
            let mut byte = [0; 1];
            let told = rustix::io::read(&go, &mut byte).is_ok_and(|count| count == 1);
            if told && let Err(reason) = helper_writes(&maps, own) {
                let _ = rustix::io::write(&answer, reason.as_bytes());
            }
            exit_now(0);
        }
        Side::Parent { pidfd, .. } => pidfd,
    };
    drop((go, answer));
    let made = unshare(Unshare::User).map_err(RootlessError::Forbidden);
    if made.is_ok() {
        let _ = rustix::io::write(&ready, b"g");
    }
    drop(ready);
    let mut reason = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = rustix::io::read(&word, &mut buffer) {
        reason.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    let _ = waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED);
    made?;
    if reason.is_empty() {
        Ok(())
    } else {
        Err(RootlessError::Maps(String::from_utf8_lossy(&reason).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{covers, is_whole};

    #[test]
    fn ids_are_found_in_maps() {
        assert!(covers("0 1000 1\n1 100000 65536\n", 5));
        assert!(!covers("0 1000 1\n", 5));
        assert!(!covers("", 0));
    }

    #[test]
    fn all_ids_are_no_namespace() {
        assert!(is_whole("         0          0 4294967295\n"));
        assert!(!is_whole("0 1000 1\n"));
        assert!(!is_whole("0 1000 1\n1 100000 65536\n"));
        assert!(!is_whole(""));
    }
}
