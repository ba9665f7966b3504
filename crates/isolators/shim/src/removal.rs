//! Removing a container, whatever became of its shim.

use std::time::{Duration, Instant};

use caisson_foreign::process::Identity;
use caisson_foreign::step::{Context as _, warn};
use caisson_isolator::{ContainerId, SandboxError};
use rustix::fs::{AtFlags, CWD, FileType, statat, unlinkat};
use rustix::process::Signal;

use crate::create::target;
use crate::pod::{Located, Pod};
use crate::shim::{Shim, ShimError};
use crate::state::{StateDir, containers};
use crate::{Settings, launch};

/// How long stand-ins may take to pass on what was written last.
const LAST_WORDS: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(5);
/// How long a shim may take to go.
const GOING: Duration = Duration::from_secs(5);
/// How long a killed process may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Kills and removes all of it. The shim is asked first; what it leaves is
/// removed without it. With its last container it goes.
pub(crate) fn remove(
    settings: &Settings,
    pod: &Pod,
    id: &ContainerId,
    dir: &StateDir,
) -> Result<(), SandboxError> {
    let known = pod.located()?;
    let asked = match &known {
        // It was never started, or has gone in good order.
        None => Ok(false),
        Some(known) => match Shim::connect(&known.endpoint) {
            Ok(mut shim) => ask(settings, &mut shim, id),
            Err(error) if error.means_gone() => Ok(false),
            Err(error) => Err(error.to_string()),
        },
    };
    match asked {
        Ok(true) => {}
        Ok(false) => {
            if let Some(known) = &known {
                clean_up(settings, pod, known, id, dir);
            }
        }
        Err(why) => warn(&format!("container {id}: {why}; removed without its shim")),
    }
    kill(id, dir)?;
    if let (Some(known), true) = (&known, is_last(settings, id)?) {
        let_go(pod, known)?;
    }
    dir.remove()
}

/// Whether the shim has removed it; false if the shim is gone.
fn ask(settings: &Settings, shim: &mut Shim, id: &ContainerId) -> Result<bool, String> {
    let target = target(id);
    let done = |result: Result<(), ShimError>| match result {
        Ok(()) => Ok(true),
        Err(error) if error.means_unknown() => Ok(true),
        Err(error) if error.means_gone() => Ok(false),
        Err(error) => Err(error.to_string()),
    };
    if !done(shim.end(&target, KILL_PATIENCE))? || !done(shim.delete(&target))? {
        return Ok(false);
    }
    if is_last(settings, id).map_err(|error| error.to_string())? {
        done(shim.shut_down(id.as_str()))?;
        if !shim.goes(GOING) {
            return Err("its shim does not go when it is told to".to_owned());
        }
    }
    Ok(true)
}

/// Whether no other container is there, or on its way.
fn is_last(settings: &Settings, id: &ContainerId) -> Result<bool, SandboxError> {
    Ok(containers(settings).ids()?.iter().all(|other| other == id))
}

/// The shim is gone: its program is asked to remove what it has left.
fn clean_up(settings: &Settings, pod: &Pod, known: &Located, id: &ContainerId, dir: &StateDir) {
    if let Err(error) = launch::clean_up(settings, pod, id, dir.path()) {
        warn(&error);
    }
    forget_socket(known);
}

/// Whatever the shim has said, nothing may run of it any more: without
/// anybody's help its first process is killed, its cgroup, and its stand-ins,
/// which a shim that is as it should be has ended by now.
pub(crate) fn kill(id: &ContainerId, dir: &StateDir) -> Result<(), SandboxError> {
    let step = || format!("kill container {:?}", id.as_str());
    if let Some(first) = dir.first()? {
        end(first, step)?;
    }
    if let Some(cgroup) = dir.cgroup()? {
        // What is left after this, the removal of the cgroup reports.
        let _ = cgroup.kill_all(Signal::KILL);
        cgroup.delete().context(|| "remove the container's cgroup")?;
    }
    if !has_ended(dir, true, LAST_WORDS)? {
        for stand_in in dir.stand_ins()? {
            end(stand_in.process, step)?;
        }
    }
    Ok(())
}

/// Whether the stand-in of the container's own program has ended, or those of
/// `all`, or do within that time.
pub(crate) fn has_ended(
    dir: &StateDir,
    all: bool,
    patience: Duration,
) -> Result<bool, SandboxError> {
    let until = Instant::now() + patience;
    let stand_ins = dir.stand_ins()?;
    for stand_in in stand_ins.iter().filter(|stand_in| all || stand_in.exec.is_empty()) {
        while stand_in.process.open_live()?.is_some() {
            if Instant::now() >= until {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(true)
}

/// The shim is gone, or is made to go, and so is its keeper.
fn let_go(pod: &Pod, known: &Located) -> Result<(), SandboxError> {
    match known.process {
        Some(process) => end(process, || "end the pod's shim".to_owned())?,
        None if Shim::connect(&known.endpoint).is_ok() => {
            warn(&"the pod's shim does not go, and its process is not known");
        }
        None => {}
    }
    if let Some(keeper) = known.keeper {
        end(keeper, || "end the keeper of the pod's shim".to_owned())?;
    }
    forget_socket(known);
    pod.forget();
    Ok(())
}

fn end(process: Identity, step: impl Fn() -> String) -> Result<(), SandboxError> {
    match process.kill(KILL_PATIENCE)? {
        true => Ok(()),
        false => {
            Err(format!("it still runs {} s after SIGKILL", KILL_PATIENCE.as_secs())).context(step)
        }
    }
}

/// A shim that was killed leaves its socket's name.
fn forget_socket(known: &Located) {
    let address = &known.endpoint.address;
    let path = address.strip_prefix("unix://").unwrap_or(address);
    let is_socket = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
    if is_socket && Shim::connect(&known.endpoint).is_err_and(|error| error.means_gone()) {
        let _ = unlinkat(CWD, path, AtFlags::empty());
    }
}
