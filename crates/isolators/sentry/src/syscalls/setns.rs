//! setns(2): into namespaces that others are in.

use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::namespaces::{Namespaces, leave_ipc, living, new};
use crate::task::process::Directories;
use crate::task::user_namespace::same;
use crate::task::waiter::lock;
use crate::task::{Caps, Credentials, may_trace};
use crate::vfs::{MountTable, Namespace, NamespaceFile, OpenFile};

use super::{Call, Outcome, identity, pidfd};

const TIME: u64 = 0x80;

/// Kinds, in the order in which they are entered: users first, as who can do more there.
const KINDS: [(u64, &str); 8] = [
    (new::USERS, "user"),
    (new::MOUNTS, "mnt"),
    (new::NAMES, "uts"),
    (new::IPC, "ipc"),
    (new::PIDS, "pid"),
    (new::CGROUP, "cgroup"),
    (new::NETWORK, "net"),
    (TIME, "time"),
];

/// Who the caller is, and where, once all is entered.
struct Entering {
    who: Credentials,
    namespaces: Namespaces,
    mounts: Option<Arc<MountTable>>,
}

fn enter(call: &Call<'_>, entering: &mut Entering, file: &OpenFile) -> Result<(), Errno> {
    let found = namespace(file).ok_or(Errno::INVAL)?;
    let process = &call.thread.process;
    let beside = |other: &Arc<Kernel>| process.kernel().is_some_and(|own| Arc::ptr_eq(&own, other));
    // Those of another container are not for who shares its processes.
    if !found.home.upgrade().is_some_and(|other| beside(&other)) {
        return Err(Errno::INVAL);
    }
    let who = &entering.who;
    if let Namespace::Users(space) = &found.of {
        if same(space, &who.space) {
            return Err(Errno::INVAL);
        }
        who.require_in(space, Caps::SYS_ADMIN)?;
        entering.who.space.clone_from(space);
        entering.who.caps.fill();
        return Ok(());
    }
    if let Namespace::Pids(pids) = &found.of {
        // Only to its own, and to those below.
        let own = process.pids();
        let below = own.as_ref().is_none_or(|own| own.has(pids));
        if !below {
            return Err(Errno::INVAL);
        }
    }
    let mut needed = Caps::SYS_ADMIN;
    if let Namespace::Mounts(_) = found.of {
        needed |= Caps::SYS_CHROOT;
    }
    let able = who.can_in(&found.of.owner(), Caps::SYS_ADMIN) && who.can_here(needed);
    if !able {
        return Err(Errno::PERM);
    }
    match &found.of {
        Namespace::Mounts(mounts) => entering.mounts = Some(Arc::clone(mounts)),
        Namespace::Names(names) => entering.namespaces.names.clone_from(names),
        Namespace::Ipc(ipc) => entering.namespaces.ipc = Some(Arc::clone(ipc)),
        Namespace::Network(network) => {
            // The sandbox's has no number.
            let own = Some(Arc::clone(network)).filter(|network| network.number.is_some());
            entering.namespaces.network = own;
        }
        Namespace::Pids(pids) => {
            let own = process.pids();
            let same = pids.as_ref().map(Arc::as_ptr) == own.as_ref().map(Arc::as_ptr);
            entering.namespaces.pids = pids.clone().filter(|_| !same);
        }
        Namespace::Cgroup(cgroups) => entering.namespaces.cgroup.clone_from(cgroups),
        Namespace::Users(_) | Namespace::Only => {}
    }
    Ok(())
}

/// What a file stands for, if it is a namespace.
pub(super) fn namespace(file: &OpenFile) -> Option<&NamespaceFile> {
    file.file.own().and_then(|own| own.downcast_ref::<NamespaceFile>())
}

/// Those that the arguments name.
fn named(call: &Call<'_>) -> Result<Vec<Arc<OpenFile>>, Errno> {
    let (file, flags) = (call.file(0)?, u64::from(call.uint(1)));
    if let Some(found) = namespace(&file) {
        if flags != 0 && flags != found.flag() {
            return Err(Errno::INVAL);
        }
        return Ok(vec![file]);
    }
    if file.is_path() {
        return Err(Errno::BADF);
    }
    let (process, _) = pidfd::process(call, 0).map_err(|errno| match errno {
        Errno::BADF => Errno::INVAL,
        other => other,
    })?;
    let known = KINDS.iter().fold(0, |all, (flag, _)| all | flag);
    if flags == 0 || flags & !known != 0 {
        return Err(Errno::INVAL);
    }
    let who = identity::who(call);
    if process.pid != call.thread.process.pid && !may_trace(&who, &process, false) {
        return Err(Errno::PERM);
    }
    if living(&*process).is_none() {
        return Err(Errno::SRCH);
    }
    let wanted = KINDS.into_iter().filter(|(flag, _)| flags & flag != 0);
    wanted.map(|(_, kind)| NamespaceFile::open(&*process, kind, 0)).collect()
}

pub(super) fn setns(call: &Call<'_>) -> Outcome {
    let files = named(call)?;
    let (thread, process) = (call.thread, &call.thread.process);
    let namespaces = thread.namespaces();
    let mut entering = Entering { who: identity::who(call), namespaces, mounts: None };
    for file in &files {
        enter(call, &mut entering, file)?;
    }
    let Entering { who, mut namespaces, mounts } = entering;
    let enters = |flag: u64| files.iter().filter_map(|f| namespace(f)).any(|of| of.flag() == flag);
    let alone = call.kernel.threads_of(process.pid).len() <= 1;
    // Users are all threads'; where somebody is, only his who has it for himself.
    let shared = (enters(new::USERS) || enters(new::MOUNTS))
        && thread.shares_fs(call.kernel, |other| other.tid != thread.tid);
    if enters(new::USERS) && !alone || shared {
        return Err(Errno::INVAL.into());
    }
    if enters(new::IPC) {
        thread.leave_undo_list(call.kernel);
        if alone {
            leave_ipc(call.kernel, process);
        }
    }
    if let Some(mounts) = mounts {
        let base = mounts.base().ok_or(Errno::INVAL)?;
        let (current, root) = (Arc::clone(&base), base);
        *lock(&thread.fs().directories) = Directories { current, root };
        // The container's has no number.
        namespaces.mounts = Some(mounts).filter(|mounts| mounts.number != 0);
    }
    thread.set_namespaces(namespaces);
    if enters(new::USERS) {
        *lock(&process.credentials()) = who.clone();
        *lock(&thread.credentials) = who;
    }
    Ok(0)
}
