//! Making a container, and a further process in one.

use std::path::Path;
use std::time::Duration;

use caisson_cgroup::Cgroup;
use caisson_foreign::bundle;
use caisson_foreign::process::{Identity, children, end_children_except, own_pid};
use caisson_foreign::record::Record;
use caisson_foreign::step::{Context as _, warn};
use caisson_isolator::{ContainerId, ContainerRequest, ExecRequest, SandboxError, SpawnedProcess};
use caisson_sys::process_stat::ProcessStat;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open, set_child_subreaper};

use crate::removal;
use crate::runtime::{Given, Settings};
use crate::state::{CONFIG, First, StateDir};

/// How long killed processes of a failed call may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Has the runtime make the container in `dir`, which is empty. A failure
/// leaves nothing.
pub(crate) fn create(
    settings: &Settings,
    dir: &StateDir,
    request: ContainerRequest,
) -> Result<SpawnedProcess, SandboxError> {
    let id = request.id.clone();
    let before = children();
    let made = try_create(settings, dir, request);
    if made.is_err() {
        undo(&before);
        if let Err(error) = removal::remove(settings, &id, dir) {
            warn(&error);
        }
    }
    made
}

fn try_create(
    settings: &Settings,
    dir: &StateDir,
    request: ContainerRequest,
) -> Result<SpawnedProcess, SandboxError> {
    let ContainerRequest { id, bundle, mut spec, console, preserve_fds, .. } = request;
    let rootfs = bundle::rewrite(&mut spec, &bundle, own_pid());
    let (systemd, rootless) = (settings.systemd_cgroup, settings.is_rootless());
    let planned = bundle::plan_cgroup(&mut spec, &id, systemd, rootless)?;
    Record::new(bundle, rootfs, &spec, planned).save(dir)?;
    dir.save(CONFIG, &spec)?;
    let pid_file = format!("call-{}.pid", own_pid());
    let mut args = vec!["--bundle".to_owned(), text(dir.path())];
    args.extend(["--pid-file".to_owned(), text(&dir.path().join(&pid_file))]);
    for (wanted, flag) in
        [(request.no_pivot, "--no-pivot"), (request.no_new_keyring, "--no-new-keyring")]
    {
        if wanted {
            args.push(flag.to_owned());
        }
    }
    let program = spec.process.as_ref().and_then(|process| process.args.first());
    let given = Given {
        streams: true,
        console: console.as_ref(),
        preserve_fds,
        program: program.map(String::as_str),
        last: None,
    };
    pass_on_descriptors(&mut args, preserve_fds);
    become_subreaper()?;
    settings.call(dir, &id, "create", &args, &given)?;
    let (process, identity) = adopt(dir, &pid_file)?;
    let cgroup = Cgroup::of_process(process.pid).context(|| "find the container's cgroup")?;
    dir.save_first(&First { identity, cgroup: cgroup.state() })?;
    if request.start {
        settings.call(dir, &id, "start", &[], &Given::default())?;
        dir.mark_started()?;
    }
    Ok(process)
}

/// Has the runtime run a further process, which becomes the caller's child.
pub(crate) fn exec(
    settings: &Settings,
    dir: &StateDir,
    id: &ContainerId,
    request: &ExecRequest,
) -> Result<SpawnedProcess, SandboxError> {
    let before = children();
    let made = try_exec(settings, dir, id, request);
    for suffix in ["json", "pid"] {
        dir.forget(&format!("call-{}.{suffix}", own_pid()));
    }
    if made.is_err() {
        undo(&before);
    }
    made
}

fn try_exec(
    settings: &Settings,
    dir: &StateDir,
    id: &ContainerId,
    request: &ExecRequest,
) -> Result<SpawnedProcess, SandboxError> {
    let [process, pid_file] = ["json", "pid"].map(|suffix| format!("call-{}.{suffix}", own_pid()));
    dir.save(&process, &request.process)?;
    let mut args = vec!["--detach".to_owned()];
    args.extend(["--process".to_owned(), text(&dir.path().join(&process))]);
    args.extend(["--pid-file".to_owned(), text(&dir.path().join(&pid_file))]);
    for cgroup in &request.cgroups {
        args.extend(["--cgroup".to_owned(), cgroup.clone()]);
    }
    if request.ignore_paused {
        args.push("--ignore-paused".to_owned());
    }
    pass_on_descriptors(&mut args, request.preserve_fds);
    let given = Given {
        streams: true,
        console: request.console.as_ref(),
        preserve_fds: request.preserve_fds,
        program: request.process.args.first().map(String::as_str),
        last: None,
    };
    become_subreaper()?;
    settings.call(dir, id, "exec", &args, &given)?;
    adopt(dir, &pid_file).map(|(process, _)| process)
}

fn pass_on_descriptors(args: &mut Vec<String>, count: u32) {
    if count > 0 {
        args.extend(["--preserve-fds".to_owned(), count.to_string()]);
    }
}

fn become_subreaper() -> Result<(), SandboxError> {
    set_child_subreaper(Some(getpid())).context(|| "become a subreaper")
}

/// The process that the runtime says it has started: it is to be ours.
fn adopt(dir: &StateDir, pid_file: &str) -> Result<(SpawnedProcess, Identity), SandboxError> {
    let step = || "take over the process that the runtime has started";
    let written = dir.read(pid_file)?.ok_or("it wrote no pid file").context(step)?;
    dir.forget(pid_file);
    let written = String::from_utf8_lossy(&written);
    let pid = written.trim().parse().ok().and_then(Pid::from_raw);
    let pid = pid.ok_or("its pid file holds no number").context(step)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context(step)?;
    let number = pid.as_raw_nonzero().get();
    let stat = ProcessStat::read(number).ok_or("there is no such process").context(step)?;
    if stat.parent != own_pid() {
        let why = format!(
            "process {number} is a child of {}, so its end could not be seen; \
             runtimes that leave this to a service of their own are not supported",
            stat.parent
        );
        return Err(why).context(step);
    }
    let identity = Identity { pid: number, start_time: stat.start_time };
    Ok((SpawnedProcess { pid, pidfd, stands_for: None }, identity))
}

/// Ends what a failed call has started.
fn undo(before: &[i32]) {
    if !end_children_except(before, KILL_PATIENCE) {
        warn(&"processes that the runtime has started do not end");
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
