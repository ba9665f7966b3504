//! Further processes in a container.

use std::time::{SystemTime, UNIX_EPOCH};

use caisson_containerd::task::{Exec, Target};
use caisson_foreign::process::own_pid;
use caisson_foreign::step::Context as _;
use caisson_isolator::{ContainerId, ExecRequest, SandboxError, SpawnedProcess};
use rustix::process::Pid;

use crate::standin::{self, Carried};
use crate::state::StateDir;
use crate::{NAME, Settings, pod};

/// Has the shim run a program; the caller gets its stand-in.
pub(crate) fn exec(
    settings: &Settings,
    dir: &StateDir,
    id: &ContainerId,
    request: &ExecRequest,
) -> Result<SpawnedProcess, SandboxError> {
    if request.preserve_fds > 0 || !request.cgroups.is_empty() {
        return Err(SandboxError::Unsupported {
            isolator: NAME,
            operation: "pass on descriptors to a program, or choose its cgroup".to_owned(),
        });
    }
    let target = Target { id: id.to_string(), exec: new_name() };
    let streams = Carried::prepare(dir, &target.exec, request.console.as_ref())?;
    let process = serde_json::to_vec(&request.process).context(|| "write the process")?;
    let stdio = streams.fifos.stdio.clone();
    let exec = Exec { target: target.clone(), stdio, process };
    let made =
        start(settings, &exec).and_then(|pid| standin::post(settings, dir, &target, pid, streams));
    if made.is_err() {
        let _ = pod::connect(settings).map(|mut shim| shim.delete(&target));
    }
    made
}

fn start(settings: &Settings, exec: &Exec) -> Result<i32, SandboxError> {
    let mut shim = pod::connect(settings)?;
    shim.add(exec)?;
    Ok(shim.start(&exec.target)?)
}

/// The program that this stand-in stands for.
pub(crate) fn find(
    dir: &StateDir,
    id: &ContainerId,
    stand_in: Pid,
) -> Result<Option<Target>, SandboxError> {
    let noted = dir.stand_in(stand_in.as_raw_nonzero().get())?;
    Ok(noted.map(|noted| Target { id: id.to_string(), exec: noted.exec }))
}

/// Two callers are two processes, and one makes one.
fn new_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("x{:x}-{:x}", now.as_nanos(), own_pid())
}
