//! unshare(2) for namespaces.

use std::io;

/// A namespace that a running process can get for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unshare {
    /// `CLONE_NEWCGROUP`
    Cgroup,
    /// `CLONE_NEWIPC`
    Ipc,
    /// `CLONE_NEWNS`
    Mount,
    /// `CLONE_NEWNET`
    Network,
    /// `CLONE_NEWUSER`: only for a process of one thread.
    User,
    /// `CLONE_NEWUTS`
    Uts,
    /// `CLONE_NEWTIME`: of the process's children, until it enters it.
    Time,
}

/// Gives the caller a new namespace.
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN; else as unshare(2).
pub fn unshare(namespace: Unshare) -> io::Result<()> {
    let flag = match namespace {
        Unshare::Cgroup => libc::CLONE_NEWCGROUP,
        Unshare::Ipc => libc::CLONE_NEWIPC,
        Unshare::Mount => libc::CLONE_NEWNS,
        Unshare::Network => libc::CLONE_NEWNET,
        Unshare::Time => libc::CLONE_NEWTIME,
        Unshare::User => libc::CLONE_NEWUSER,
        Unshare::Uts => libc::CLONE_NEWUTS,
    };
    // SAFETY: only descriptor tables (CLONE_FILES) could break memory safety.
    let result = unsafe { libc::unshare(flag) };
    crate::check(result.into()).map(drop)
}

/// Gives the calling thread a umask and a working directory of its own
/// (`CLONE_FS`), which threads otherwise share. Needs no privilege.
///
/// # Errors
/// As unshare(2).
pub fn unshare_fs_attributes() -> io::Result<()> {
    // SAFETY: only descriptor tables (CLONE_FILES) could break memory safety.
    let result = unsafe { libc::unshare(libc::CLONE_FS) };
    crate::check(result.into()).map(drop)
}
