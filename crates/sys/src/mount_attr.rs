//! mount_setattr(2) (Linux 5.12).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What to change of a mount: `MOUNT_ATTR_*` bits to set and to clear, a
/// propagation type (`MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`
/// or 0 for none), and the user namespace to map ids by.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountAttr<'fd> {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear; the whole `MOUNT_ATTR__ATIME` mask to change
    /// the access time mode.
    pub clear: u64,
    /// One of the `MS_*` propagation types, or 0.
    pub propagation: u64,
    /// With `MOUNT_ATTR_IDMAP` in `set`: the user namespace.
    pub userns: Option<BorrowedFd<'fd>>,
}

/// Changes the mount that `mount` refers to, with `recursive` all below it.
///
/// # Errors
/// As mount_setattr(2).
pub fn mount_setattr(
    mount: BorrowedFd<'_>,
    attr: &MountAttr<'_>,
    recursive: bool,
) -> io::Result<()> {
    let raw = libc::mount_attr {
        attr_set: attr.set,
        attr_clr: attr.clear,
        propagation: attr.propagation,
        userns_fd: attr.userns.map_or(0, |fd| u64::from(fd.as_raw_fd().unsigned_abs())),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `raw` outlives the call and has the size that is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(&raw),
            size_of::<libc::mount_attr>(),
        )
    };
    crate::check(result).map(drop)
}
