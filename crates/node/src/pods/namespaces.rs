//! A pod's namespaces. Descriptors keep them; no process lives in them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use caisson_shim::NamespaceKind;
use caisson_sys::clone::CloneFlags;
use caisson_sys::namespace_holder::NamespaceHolder;
use caisson_sys::unshare::{Unshare, unshare, unshare_fs_attributes};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Gid, Uid};
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_thread_res_gid, set_thread_res_uid,
};

use super::PodError;
use super::request::{IdMapping, NamespaceChoice, PodRequest};

/// Of the threads that only make a few system calls.
const STACK: usize = 128 * 1024;

/// A pod's own namespaces. Those that are the host's are absent.
#[derive(Debug, Default)]
pub(super) struct PodNamespaces {
    pub(super) user: Option<OwnedFd>,
    pub(super) net: Option<OwnedFd>,
    pub(super) ipc: Option<OwnedFd>,
    pub(super) uts: Option<OwnedFd>,
}

/// Which namespaces a pod has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) user: bool,
    pub(super) net: bool,
    pub(super) ipc: bool,
    pub(super) uts: bool,
}

impl Wanted {
    /// What the request asks for. With the host's network goes its name.
    pub(super) fn of(request: &PodRequest) -> Self {
        let options = &request.security.namespaces;
        let net = options.network != NamespaceChoice::Node;
        Self {
            user: options.user.as_ref().is_some_and(|user| user.mode == NamespaceChoice::Pod),
            net,
            ipc: options.ipc != NamespaceChoice::Node,
            uts: net,
        }
    }
}

impl PodNamespaces {
    /// Makes them. `hostname` is set where the UTS namespace is the pod's.
    pub(super) fn make(request: &PodRequest, hostname: &str) -> Result<Self, PodError> {
        let wanted = Wanted::of(request);
        let user = request.security.namespaces.user.as_ref().filter(|_| wanted.user);
        let made = match user {
            Some(user) => make_mapped(wanted, &user.uids, &user.gids)?,
            None => make_plain(wanted)?,
        };
        if let Some(uts) = &made.uts {
            set_hostname(uts.as_fd(), hostname)?;
        }
        Ok(made)
    }

    /// As a launcher hands them over.
    pub(super) fn all(&self) -> Vec<(NamespaceKind, BorrowedFd<'_>)> {
        let pairs = [
            (NamespaceKind::Net, &self.net),
            (NamespaceKind::Ipc, &self.ipc),
            (NamespaceKind::Uts, &self.uts),
            (NamespaceKind::User, &self.user),
        ];
        pairs.into_iter().filter_map(|(kind, fd)| Some((kind, fd.as_ref()?.as_fd()))).collect()
    }
}

/// Runs `work` in a thread of its own, which may go where it likes.
pub(super) fn in_thread<T: Send>(
    what: &str,
    work: impl FnOnce() -> std::io::Result<T> + Send,
) -> Result<T, PodError> {
    let fail = |source| PodError::Io { what: what.to_owned(), source };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn_scoped(scope, work).map_err(fail)?;
        let ended = || fail(std::io::Error::other("the thread ended early"));
        thread.join().map_err(|_| ended())?.map_err(fail)
    })
}

fn open(path: &Path) -> std::io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

fn make_plain(wanted: Wanted) -> Result<PodNamespaces, PodError> {
    in_thread("make the pod's namespaces", move || {
        let mut made = PodNamespaces::default();
        let one = |wanted: bool, kind: Unshare, name: &str| -> std::io::Result<Option<OwnedFd>> {
            if !wanted {
                return Ok(None);
            }
            unshare(kind)?;
            open(&Path::new("/proc/thread-self/ns").join(name)).map(Some)
        };
        made.net = one(wanted.net, Unshare::Network, "net")?;
        made.ipc = one(wanted.ipc, Unshare::Ipc, "ipc")?;
        made.uts = one(wanted.uts, Unshare::Uts, "uts")?;
        Ok(made)
    })
}

/// With a user namespace, which owns the others.
fn make_mapped(
    wanted: Wanted,
    uids: &[IdMapping],
    gids: &[IdMapping],
) -> Result<PodNamespaces, PodError> {
    let what = "make the pod's user namespace";
    let mut flags = CloneFlags::NEWUSER;
    for (wanted, flag) in [
        (wanted.net, CloneFlags::NEWNET),
        (wanted.ipc, CloneFlags::NEWIPC),
        (wanted.uts, CloneFlags::NEWUTS),
    ] {
        if wanted {
            flags |= flag;
        }
    }
    let holder = NamespaceHolder::spawn(flags).map_err(|e| PodError::io(what, e))?;
    let proc = Path::new("/proc").join(holder.pid().as_raw_nonzero().to_string());
    let write = |name: &str, map: &[IdMapping]| {
        std::fs::write(proc.join(name), map_text(map)).map_err(|e| {
            PodError::io(format!("map the ids of the pod's user namespace ({name})"), e)
        })
    };
    write("uid_map", uids)?;
    write("gid_map", gids)?;
    let get = |wanted: bool, name: &str| match wanted {
        true => open(&proc.join("ns").join(name)).map(Some).map_err(|e| PodError::io(what, e)),
        false => Ok(None),
    };
    Ok(PodNamespaces {
        user: get(true, "user")?,
        net: get(wanted.net, "net")?,
        ipc: get(wanted.ipc, "ipc")?,
        uts: get(wanted.uts, "uts")?,
    })
}

fn map_text(map: &[IdMapping]) -> String {
    map.iter().map(|m| format!("{} {} {}\n", m.container, m.host, m.length)).collect()
}

fn enter(namespace: BorrowedFd<'_>, kind: LinkNameSpaceType) -> std::io::Result<()> {
    Ok(move_into_link_name_space(namespace, Some(kind))?)
}

fn set_hostname(uts: BorrowedFd<'_>, hostname: &str) -> Result<(), PodError> {
    in_thread("set the pod's host name", || {
        enter(uts, LinkNameSpaceType::HostNameAndNISDomainName)?;
        Ok(rustix::system::sethostname(hostname.as_bytes())?)
    })
}

fn set_sysctl((name, value): &(String, String)) -> std::io::Result<()> {
    std::fs::write(Path::new("/proc/sys").join(name), value)
        .map_err(|error| std::io::Error::new(error.kind(), format!("{name} = {value:?}: {error}")))
}

/// Sets kernel parameters in the pod's own namespaces, as its root, whose ids
/// on the host these are: to nobody else they belong.
pub(super) fn set_sysctls(
    namespaces: &PodNamespaces,
    sysctls: &[(String, String)],
    (uid, gid): (u32, u32),
) -> Result<(), PodError> {
    if sysctls.is_empty() {
        return Ok(());
    }
    in_thread("set the pod's sysctls", || {
        if let Some(net) = &namespaces.net {
            enter(net.as_fd(), LinkNameSpaceType::Network)?;
        }
        if let Some(ipc) = &namespaces.ipc {
            enter(ipc.as_fd(), LinkNameSpaceType::InterProcessCommunication)?;
        }
        if let Some(uts) = &namespaces.uts {
            enter(uts.as_fd(), LinkNameSpaceType::HostNameAndNISDomainName)?;
        }
        // Those of networks want a capability, the others their owner.
        let (net, others): (Vec<_>, Vec<_>) =
            sysctls.iter().partition(|(name, _)| name.starts_with("net/"));
        net.into_iter().try_for_each(set_sysctl)?;
        if namespaces.user.is_some() {
            // Of this thread alone.
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid)?;
        }
        others.into_iter().try_for_each(set_sysctl)?;
        Ok(())
    })
}

/// Does something in the pod's network namespace.
pub(super) fn in_network<T: Send>(
    what: &str,
    net: BorrowedFd<'_>,
    work: impl FnOnce() -> std::io::Result<T> + Send,
) -> Result<T, PodError> {
    in_thread(what, move || {
        unshare_fs_attributes()?;
        enter(net, LinkNameSpaceType::Network)?;
        work()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::request::UserNamespace;

    #[test]
    fn namespaces_are_the_pods_own_and_have_its_name_and_sysctls() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: needs root");
            return;
        }
        let mut request = PodRequest::default();
        let map = IdMapping { host: 200_000, container: 0, length: 65_536 };
        for user in [false, true] {
            if user {
                request.security.namespaces.user = Some(UserNamespace {
                    mode: NamespaceChoice::Pod,
                    uids: vec![map],
                    gids: vec![map],
                });
            }
            let made = PodNamespaces::make(&request, "pod-name").unwrap();
            assert_eq!(made.all().len(), if user { 4 } else { 3 });
            let sysctls = [
                ("net/ipv4/ip_unprivileged_port_start".to_owned(), "7".to_owned()),
                ("kernel/shm_rmid_forced".to_owned(), "1".to_owned()),
            ];
            let owner = if user { (map.host, map.host) } else { (0, 0) };
            set_sysctls(&made, &sysctls, owner).unwrap();
            let seen = in_network("look", made.net.as_ref().unwrap().as_fd(), || {
                enter(
                    made.uts.as_ref().unwrap().as_fd(),
                    LinkNameSpaceType::HostNameAndNISDomainName,
                )?;
                let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
                let port =
                    std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")?;
                Ok((name, port))
            });
            assert_eq!(seen.unwrap(), ("pod-name".to_owned(), "7\n".to_owned()));
        }
        request.security.namespaces.network = NamespaceChoice::Node;
        request.security.namespaces.ipc = NamespaceChoice::Node;
        request.security.namespaces.user = None;
        assert!(PodNamespaces::make(&request, "x").unwrap().all().is_empty());
    }
}
