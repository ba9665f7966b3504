//! Making a container.

use caisson_containerd::task::{Create, Target};
use caisson_foreign::bundle;
use caisson_foreign::record::Record;
use caisson_foreign::step::warn;
use caisson_isolator::{ContainerId, ContainerRequest, SandboxError, SpawnedProcess};
use caisson_sys::process_stat::ProcessStat;

use crate::pod::Pod;
use crate::standin::{self, Carried};
use crate::state::{CONFIG, StateDir};
use crate::{NAME, Settings, launch, removal};

/// What a container's own process is called in our files.
const FIRST: &str = "first";

/// Has the shim make the container in `dir`, which is empty. A failure leaves
/// nothing.
pub(crate) fn create(
    settings: &Settings,
    dir: &StateDir,
    request: ContainerRequest,
) -> Result<SpawnedProcess, SandboxError> {
    let id = request.id.clone();
    let pod = Pod::lock(settings)?;
    let made = refuse_unsupported(&request).and_then(|()| try_create(settings, &pod, dir, request));
    if made.is_err()
        && let Err(error) = removal::remove(settings, &pod, &id, dir)
    {
        warn(&error);
    }
    made
}

fn refuse_unsupported(request: &ContainerRequest) -> Result<(), SandboxError> {
    let asked = [
        (request.preserve_fds > 0, "pass on descriptors to a container"),
        (request.no_pivot, "make a container without pivot_root (see the option NoPivotRoot)"),
        (request.no_new_keyring, "leave a container its keyring (see the option NoNewKeyring)"),
    ];
    match asked.iter().find(|(asked, _)| *asked) {
        Some((_, operation)) => {
            Err(SandboxError::Unsupported { isolator: NAME, operation: (*operation).to_owned() })
        }
        None => Ok(()),
    }
}

fn try_create(
    settings: &Settings,
    pod: &Pod,
    dir: &StateDir,
    request: ContainerRequest,
) -> Result<SpawnedProcess, SandboxError> {
    let ContainerRequest { id, bundle, mut spec, console, .. } = request;
    let rootfs = bundle::rewrite(&mut spec, &bundle, settings.holder);
    let cgroup = bundle::plan_cgroup(&mut spec, &id, settings.systemd_cgroup, false)?;
    Record::new(bundle, rootfs, &spec, cgroup).save(dir)?;
    dir.save(CONFIG, &spec)?;
    let streams = Carried::prepare(dir, FIRST, console.as_ref())?;
    let mut shim = launch::ensure(settings, pod, &id, dir)?;
    let target = Target { id: id.to_string(), exec: String::new() };
    let pid = shim.create(&Create {
        id: target.id.clone(),
        bundle: dir.path().to_string_lossy().into_owned(),
        stdio: streams.fifos.stdio.clone(),
        options: settings.options.clone(),
        ..Create::default()
    })?;
    launch::note_process(pod, &mut shim, &id);
    // Else its end is the shim's to see to: it may be anybody's number.
    if let Some(identity) = launch::own_descendant(pid) {
        dir.save_first(identity)?;
    }
    let process = standin::post(settings, dir, &target, pid, streams)?;
    if request.start {
        shim.start(&target)?;
    }
    Ok(process)
}

/// The directory's name, as the shim knows the container.
pub(crate) fn target(id: &ContainerId) -> Target {
    Target { id: id.to_string(), exec: String::new() }
}

/// Whether that number is a process's now.
pub(crate) fn lives(pid: i32) -> bool {
    ProcessStat::read(pid).is_some_and(|stat| !stat.is_dead())
}
