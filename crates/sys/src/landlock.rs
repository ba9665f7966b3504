//! Landlock (landlock(7), Linux 5.13): a thread gives up access to files for
//! good, except below directories it names.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use bitflags::bitflags;

bitflags! {
    /// `LANDLOCK_ACCESS_FS_*`, linux/landlock.h.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FileAccess: u64 {
        /// Run a file.
        const EXECUTE = 1 << 0;
        /// Open a file for writing.
        const WRITE_FILE = 1 << 1;
        /// Open a file for reading.
        const READ_FILE = 1 << 2;
        /// Open or list a directory.
        const READ_DIR = 1 << 3;
        /// Remove or rename an empty directory.
        const REMOVE_DIR = 1 << 4;
        /// Unlink or rename a file.
        const REMOVE_FILE = 1 << 5;
        /// Make a character device.
        const MAKE_CHAR = 1 << 6;
        /// Make a directory.
        const MAKE_DIR = 1 << 7;
        /// Make a regular file.
        const MAKE_REG = 1 << 8;
        /// Make a UNIX socket.
        const MAKE_SOCK = 1 << 9;
        /// Make a FIFO.
        const MAKE_FIFO = 1 << 10;
        /// Make a block device.
        const MAKE_BLOCK = 1 << 11;
        /// Make a symbolic link.
        const MAKE_SYM = 1 << 12;
        /// Link or rename from one directory to another (ABI 2).
        const REFER = 1 << 13;
        /// Truncate a file (ABI 3).
        const TRUNCATE = 1 << 14;
        /// ioctl(2) on a device (ABI 5).
        const IOCTL_DEV = 1 << 15;
    }
}

impl FileAccess {
    /// Opening files and directories for reading.
    pub const READ: Self = Self::READ_FILE.union(Self::READ_DIR);

    /// What a kernel of this ABI knows.
    const fn of_abi(abi: u32) -> Self {
        let all = Self::all();
        match abi {
            0 | 1 => {
                all.difference(Self::REFER).difference(Self::TRUNCATE).difference(Self::IOCTL_DEV)
            }
            2 => all.difference(Self::TRUNCATE).difference(Self::IOCTL_DEV),
            3 | 4 => all.difference(Self::IOCTL_DEV),
            _ => all,
        }
    }
}

/// `LANDLOCK_ACCESS_NET_BIND_TCP` and `_CONNECT_TCP` (ABI 4).
const NET_ALL: u64 = 0b11;
/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET` and `_SIGNAL` (ABI 6).
const SCOPE_ALL: u64 = 0b11;
/// `LANDLOCK_CREATE_RULESET_VERSION`.
const GET_VERSION: u32 = 1;
/// `LANDLOCK_RULE_PATH_BENEATH`.
const PATH_BENEATH: u32 = 1;

#[repr(C)]
struct RulesetAttr {
    access_fs: u64,
    access_net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// The kernel's Landlock ABI, 1 or more; `None` where Landlock is missing or
/// off.
#[must_use]
pub fn landlock_abi() -> Option<u32> {
    // SAFETY: asks for the version; no memory is passed.
    let abi = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<RulesetAttr>(),
            0_usize,
            GET_VERSION,
        )
    };
    u32::try_from(abi).ok().filter(|abi| *abi > 0)
}

/// From here on the calling thread may touch files only below the directories
/// of `rules`, each with its rights; and, as far as the kernel's ABI goes, no
/// TCP, no signals and no abstract sockets to processes outside.
///
/// Descriptors that are open already keep working. Sets no_new_privs of the
/// thread. Threads that it starts later inherit the wall; others don't get it.
///
/// # Errors
/// As landlock_create_ruleset(2) and its sisters; nothing is restricted then,
/// though no_new_privs may be set.
pub fn restrict_thread(abi: u32, rules: &[(BorrowedFd<'_>, FileAccess)]) -> io::Result<()> {
    let known = FileAccess::of_abi(abi);
    let attr = RulesetAttr { access_fs: known.bits(), access_net: NET_ALL, scoped: SCOPE_ALL };
    // Older kernels refuse fields that they don't know.
    let size: usize = match abi {
        0..=3 => 8,
        4..=5 => 16,
        _ => 24,
    };
    // SAFETY: `attr` outlives the call and has at least `size` bytes.
    let ruleset = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::from_ref(&attr), size, 0_u32)
    };
    let ruleset = i32::try_from(crate::check(ruleset)?).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us alone.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset) };
    for (dir, access) in rules {
        let rule = PathBeneathAttr {
            allowed_access: access.intersection(known).bits(),
            parent_fd: dir.as_raw_fd(),
        };
        // SAFETY: `rule` outlives the call and is what the rule type asks for.
        let result = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                ruleset.as_raw_fd(),
                PATH_BENEATH,
                std::ptr::from_ref(&rule),
                0_u32,
            )
        };
        crate::check(result)?;
    }
    rustix::thread::set_no_new_privs(true)?;
    // SAFETY: takes a descriptor and flags only.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
    crate::check(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn only_the_thread_that_asked_is_behind_the_wall() {
        let Some(abi) = landlock_abi() else {
            eprintln!("left out: this kernel has no Landlock");
            return;
        };
        let dir = std::fs::File::open("/proc/self").unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                restrict_thread(abi, &[(dir.as_fd(), FileAccess::READ)]).unwrap();
                let refused = std::fs::read_dir("/").err().and_then(|e| e.raw_os_error());
                assert_eq!(refused, Some(libc::EACCES));
                assert!(std::fs::File::create("/tmp/landlock-must-not-appear").is_err());
            });
            inside.join().unwrap();
        });
        std::fs::read_dir("/").unwrap();
    }
}
