//! Removing a container, whatever became of its shim.

use std::time::Duration;

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
            Ok(mut shim) => ask(pod, known, &mut shim, settings, id),
            Err(error) if error.means_gone() => Ok(false),
            Err(error) => Err(error.to_string()),
        },
    };
    match asked {
        Ok(true) => finish(dir)?,
        Ok(false) => {
            if let Some(known) = &known {
                clean_up(settings, pod, known, id, dir);
            }
            kill(id, dir)?;
        }
        Err(why) => {
            warn(&format!("container {id}: {why}; removed without its shim"));
            kill(id, dir)?;
            if let (Some(known), true) = (&known, is_last(settings, id)?) {
                end_shim(known)?;
                clean_up(settings, pod, known, id, dir);
                pod.forget();
            }
        }
    }
    dir.remove()
}

/// Whether the shim has removed it; false if the shim is gone.
fn ask(
    pod: &Pod,
    known: &Located,
    shim: &mut Shim,
    settings: &Settings,
    id: &ContainerId,
) -> Result<bool, String> {
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
        if !shim.goes(KILL_PATIENCE) {
            end_shim(known).map_err(|error| error.to_string())?;
        }
        forget_socket(known);
        pod.forget();
    }
    Ok(true)
}

/// What the shim says is removed: nothing may run of it any more.
fn finish(dir: &StateDir) -> Result<(), SandboxError> {
    let Some(cgroup) = dir.cgroup()? else { return Ok(()) };
    // What is left after this, the removal of the cgroup reports.
    let _ = cgroup.kill_all(Signal::KILL);
    cgroup.delete().context(|| "remove the container's cgroup")
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

/// What is left is killed without anybody's help.
fn kill(id: &ContainerId, dir: &StateDir) -> Result<(), SandboxError> {
    if let Some(first) = dir.first()? {
        end(first, || format!("kill container {:?}", id.as_str()))?;
    }
    finish(dir)
}

fn end_shim(known: &Located) -> Result<(), SandboxError> {
    let step = || "end the pod's shim";
    match known.process {
        Some(process) => end(process, || step().to_owned()),
        None => {
            Err("it does not go when it is told to, and its process is not known").context(step)
        }
    }
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
