//! A procfs that nobody else can dress up.
//!
//! `/proc` of a container's mount namespace is the container's to shape:
//! with a tmpfs, a bind mount or a link over `/proc/self/attr/exec` or
//! `/proc/sys/…`, a label or sysctl write of the runtime lands elsewhere
//! (CVE-2019-16884, CVE-2025-52881, CVE-2026-41579). [`ProcHandle`] is a
//! procfs mount of our own, attached nowhere, that has no mounts on it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, chmodat, fstat, openat, readlinkat};
use rustix::io::{Errno, write};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, open_tree,
};
use rustix::process::Pid;

use crate::error::{PathFault, Place, RootPathError};
use crate::inode::{fs_magic, is_same};
use crate::root::{may_create, open_how};
use crate::sysctl::sysctl_path;

/// `f_type` of procfs and the inode of its root, from linux/magic.h and linux/proc_fs.h.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
const PROC_ROOT_INO: u64 = 1;

/// Never leave the mount, never follow a magic link, never go above the root.
const STRICT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_XDEV).union(ResolveFlags::NO_MAGICLINKS);

/// What a [`ProcHandle`] shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcScope {
    /// Processes only (`subset=pid`, `hidepid=ptraceable`): should the
    /// descriptor ever leak, there is no `sysrq-trigger` or `kcore` behind it.
    Pids,
    /// Everything, `/proc/sys` included.
    Full,
}

/// Where a [`ProcHandle`] came from, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcSource {
    /// A new mount of our own, for our PID namespace.
    Private,
    /// A detached copy of `/proc` without the mounts on it.
    Clone,
    /// `/proc` itself. Mounts on it are detected, and are errors.
    Host,
}

/// A verified procfs root, held by descriptor.
///
/// Paths are relative to it, made of plain names, and resolved without
/// leaving its mount; every result is checked to be on procfs. Making a
/// private one costs a superblock: about 17 µs with its disposal, a copy 12 µs,
/// the host's 0.5 µs, an open through any of them 0.8 µs (2 cores, Linux 6.18,
/// medians). So make one when first needed, and keep it. It stays valid across `setns`, `unshare`, `pivot_root` and
/// `fork`; `self` is always the calling process, by its number in the PID
/// namespace of whoever made the handle.
#[derive(Debug)]
pub struct ProcHandle {
    fd: OwnedFd,
    source: ProcSource,
}

impl AsFd for ProcHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl ProcHandle {
    /// The best procfs that can be had: a private mount, else a copy of
    /// `/proc`'s mount, else `/proc` itself.
    ///
    /// Without CAP_SYS_ADMIN, or in a user namespace that may not have an
    /// unmasked procfs, only the last is left.
    pub fn new(scope: ProcScope) -> Result<Self, RootPathError> {
        Self::private(scope)
            .or_else(|_| Self::copy_of(Path::new("/proc")))
            .or_else(|_| Self::host(Path::new("/proc")))
    }

    /// A new procfs mount, attached nowhere. Needs CAP_SYS_ADMIN in the user
    /// namespace that owns the mount namespace.
    pub fn private(scope: ProcScope) -> Result<Self, RootPathError> {
        mount_proc(scope)
            .map_err(PathFault::from)
            .and_then(|fd| verified(fd, ProcSource::Private))
            .map_err(|e| fail("mount a private procfs for", Path::new("/"), e))
    }

    /// A detached copy of the procfs mounted at `path`, without the mounts on
    /// it. `EINVAL` in a user namespace where those are locked.
    pub fn copy_of(path: &Path) -> Result<Self, RootPathError> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        open_tree(CWD, path, flags)
            .map_err(PathFault::from)
            .and_then(|fd| verified(fd, ProcSource::Clone))
            .map_err(|e| RootPathError::new("copy the procfs mount", path, Place::Host, e))
    }

    /// The procfs mounted at `path`, as it is.
    pub fn host(path: &Path) -> Result<Self, RootPathError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty())
            .map_err(PathFault::from)
            .and_then(|fd| verified(fd, ProcSource::Host))
            .map_err(|e| RootPathError::new("use as procfs", path, Place::Host, e))
    }

    /// Takes a descriptor of a procfs root, for instance of the one about to
    /// be mounted in the container.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, RootPathError> {
        verified(fd, ProcSource::Host).map_err(|e| fail("use as procfs", Path::new("/"), e))
    }

    /// Which of the three ways led to this one.
    pub fn source(&self) -> ProcSource {
        self.source
    }

    /// Opens `/proc/self/<subpath>`. Flags as for open(2), without creation;
    /// magic links (`exe`, `root`, `fd/N`, `ns/…`) are `ELOOP` unless opened
    /// as themselves with `O_PATH | O_NOFOLLOW`.
    pub fn open_self(&self, subpath: &Path, flags: OFlags) -> Result<OwnedFd, RootPathError> {
        self.open_below("self", subpath, flags)
    }

    /// Opens `/proc/thread-self/<subpath>`: the calling thread's own view,
    /// which matters for `attr/*`, and for `fd` in a thread with its own
    /// descriptor table.
    pub fn open_thread_self(
        &self,
        subpath: &Path,
        flags: OFlags,
    ) -> Result<OwnedFd, RootPathError> {
        self.open_below("thread-self", subpath, flags)
    }

    /// Opens `/proc/<pid>/<subpath>`. The caller makes sure that `pid`, as
    /// the handle's PID namespace counts, is still the process it means (an
    /// unreaped child, or one held by pidfd and checked after the open).
    pub fn open_pid(
        &self,
        pid: Pid,
        subpath: &Path,
        flags: OFlags,
    ) -> Result<OwnedFd, RootPathError> {
        let mut base = String::with_capacity(12);
        // Writing to a String can't fail.
        let _ = write!(base, "{}", pid.as_raw_nonzero());
        self.open_below(&base, subpath, flags)
    }

    /// Opens `/proc/sys/<subpath>`. Needs [`ProcScope::Full`].
    pub fn open_sys(&self, subpath: &Path, flags: OFlags) -> Result<OwnedFd, RootPathError> {
        self.open_below("sys", subpath, flags)
    }

    /// The text of a link `/proc/self/<subpath>`, magic or not, unfollowed.
    pub fn read_self_link(&self, subpath: &Path) -> Result<PathBuf, RootPathError> {
        let fd = self.open_self(subpath, OFlags::PATH | OFlags::NOFOLLOW)?;
        readlinkat(&fd, "", Vec::new())
            .map(|text| PathBuf::from(OsString::from_vec(text.into_bytes())))
            .map_err(|e| fail("read link", subpath, e))
    }

    /// Writes `value` to `/proc/thread-self/attr/<name>` in one write:
    /// `exec`, `apparmor/exec`, `keycreate`, …
    pub fn write_self_attr(&self, name: &Path, value: &[u8]) -> Result<(), RootPathError> {
        let fd = self.open_thread_self(&Path::new("attr").join(name), OFlags::WRONLY)?;
        write_once(&fd, value).map_err(|e| fail("write attribute", name, e))
    }

    /// Sets a kernel parameter; for `key` see [`sysctl_path`]. Needs
    /// [`ProcScope::Full`]. Namespaced parameters are those of the calling
    /// thread's namespaces, whenever the handle was made.
    pub fn write_sysctl(&self, key: &str, value: &[u8]) -> Result<(), RootPathError> {
        let path = sysctl_path(key).map_err(|e| fail("set kernel parameter", Path::new(key), e))?;
        let fd = self.open_sys(&path, OFlags::WRONLY)?;
        write_once(&fd, value).map_err(|e| fail("set kernel parameter", Path::new(key), e))
    }

    /// Opens what `fd` refers to once more, with other flags: from `O_PATH`
    /// to readable, say. The only place that follows a magic link; the result
    /// is checked to be the same inode. Creation flags are refused.
    ///
    /// Opening a device or FIFO has the usual side effects: check the inode
    /// first.
    pub fn reopen(&self, fd: impl AsFd, flags: OFlags) -> Result<OwnedFd, RootPathError> {
        let fd = fd.as_fd();
        let (dir, name) = self.own_fd(fd)?;
        let fault = |e| fail("open again", Path::new(&name), e);
        if may_create(flags) || flags.contains(OFlags::NOFOLLOW) {
            return Err(fault(Errno::INVAL.into()));
        }
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        let again =
            openat(&dir, name.as_str(), flags, Mode::empty()).map_err(|e| fault(e.into()))?;
        let before = fstat(fd).map_err(|e| fault(e.into()))?;
        let after = fstat(&again).map_err(|e| fault(e.into()))?;
        if is_same(&before, &after) { Ok(again) } else { Err(fault(PathFault::Replaced)) }
    }

    /// Sets the permission bits of what `fd`, also an `O_PATH` one, refers to.
    pub fn chmod(&self, fd: impl AsFd, mode: Mode) -> Result<(), RootPathError> {
        let (dir, name) = self.own_fd(fd.as_fd())?;
        chmodat(&dir, name.as_str(), mode, AtFlags::empty())
            .map_err(|e| fail("change the mode of descriptor", Path::new(&name), e))
    }

    /// The directory of our descriptors, and the name of `fd` in it, with no
    /// mount on that name.
    fn own_fd(&self, fd: BorrowedFd<'_>) -> Result<(OwnedFd, String), RootPathError> {
        let dir = self.open_thread_self(Path::new("fd"), OFlags::PATH | OFlags::DIRECTORY)?;
        let name = fd.as_raw_fd().to_string();
        if self.source == ProcSource::Host {
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            open_how(dir.as_fd(), Path::new(&name), flags, STRICT)
                .map_err(|e| fail("find descriptor", Path::new(&name), e))?;
        }
        Ok((dir, name))
    }

    fn open_below(
        &self,
        base: &str,
        subpath: &Path,
        flags: OFlags,
    ) -> Result<OwnedFd, RootPathError> {
        let path = Path::new(base).join(subpath);
        let plain = |c: Component<'_>| matches!(c, Component::Normal(_));
        if !subpath.components().all(plain) {
            let fault = PathFault::BadPath("not a path of plain names");
            return Err(fail("open", subpath, fault));
        }
        if may_create(flags) {
            return Err(fail("open", &path, Errno::INVAL));
        }
        open_how(self.fd.as_fd(), &path, flags, STRICT)
            .map_err(PathFault::from)
            .and_then(|fd| expect_procfs(fd.as_fd()).map(|()| fd))
            .map_err(|e| fail("open", &path, e))
    }
}

fn fail(op: &'static str, path: &Path, fault: impl Into<PathFault>) -> RootPathError {
    RootPathError::new(op, path, Place::Procfs, fault)
}

fn mount_proc(scope: ProcScope) -> Result<OwnedFd, Errno> {
    let fs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    if scope == ProcScope::Pids {
        // Since Linux 5.8, as are the names of hidepid's values.
        fsconfig_set_string(&fs, "subset", "pid")?;
        fsconfig_set_string(&fs, "hidepid", "ptraceable")?;
    }
    fsconfig_create(&fs)?;
    fsmount(
        &fs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}

fn verified(fd: OwnedFd, source: ProcSource) -> Result<ProcHandle, PathFault> {
    expect_procfs(fd.as_fd())?;
    let ino = fstat(&fd)?.st_ino;
    if ino == PROC_ROOT_INO {
        Ok(ProcHandle { fd, source })
    } else {
        Err(PathFault::NotProcfsRoot { ino })
    }
}

fn expect_procfs(fd: BorrowedFd<'_>) -> Result<(), PathFault> {
    match fs_magic(fd)? {
        PROC_SUPER_MAGIC => Ok(()),
        found => Err(PathFault::NotProcfs { found }),
    }
}

/// Procfs takes a value in one write or not at all.
fn write_once(fd: &OwnedFd, value: &[u8]) -> Result<(), PathFault> {
    let written = loop {
        match write(fd, value) {
            Err(Errno::INTR) => {}
            done => break done?,
        }
    };
    if written == value.len() {
        Ok(())
    } else {
        Err(PathFault::ShortWrite { written, len: value.len() })
    }
}
