//! The broker's own filter: the host calls that it makes, each with its reason.

use super::host_calls::{Calls, EXECUTE, HostCallRow, Rule, row};

/// Number of the broker's handle of its own `/proc/self/fd`: the only directory in which
/// it opens, links and changes modes without `openat2`'s restrictions.
pub const OWN: u32 = 100;
const OWN_ONLY: &[u64] = &[OWN as u64];
/// The bit of a mode that devices of either kind have, and FIFOs, sockets and files have not.
const DEVICE: u64 = 0o020_000;
/// `AT_EMPTY_PATH` and `AT_SYMLINK_NOFOLLOW`
const THE_FILE_ITSELF: &[u64] = &[0x1000, 0x100];

/// All of them.
pub const BROKER_CALLS: &[HostCallRow] = &[
    row(47, "recvmsg", Rule::Any, "requests"),
    row(46, "sendmsg", Rule::Any, "answers"),
    row(437, "openat2", Rule::Any, "one name, beneath a directory, no magic links"),
    row(332, "statx", Rule::Is(2, THE_FILE_ITSELF), "on which mount a file is; its attributes"),
    row(3, "close", Rule::Any, ""),
    row(203, "sched_setaffinity", Rule::Any, "it answers on the processor of who waits for it"),
    row(72, "fcntl", Rule::Is(1, &[1, 1034]), "F_GETFD of libraries; F_GET_SEALS: is it memory"),
    row(257, "openat", Rule::Is(0, OWN_ONLY), "a handle that it holds, anew"),
    row(5, "fstat", Rule::Any, "what a handle stands for"),
    row(262, "newfstatat", Rule::Is(3, &[0x1000]), "fstat, as the C library spells it"),
    row(138, "fstatfs", Rule::Any, "interfaces of the host's kernel are not served"),
    row(93, "fchown", Rule::Any, "the owner of a new file"),
    row(91, "fchmod", Rule::Any, "set-id bits of a new file"),
    row(258, "mkdirat", Rule::Any, "mkdir(2) of guests"),
    row(259, "mknodat", Rule::Without(2, DEVICE), "FIFOs and sockets; never a device"),
    row(263, "unlinkat", Rule::Any, "unlink(2), rmdir(2) of guests"),
    row(316, "renameat2", Rule::Any, "rename(2) of guests"),
    row(266, "symlinkat", Rule::Any, "symlink(2) of guests"),
    row(265, "linkat", Rule::Is(0, OWN_ONLY), "link(2) of guests, of a handle that it holds"),
    row(268, "fchmodat", Rule::Is(0, OWN_ONLY), "chmod(2) of guests, the same"),
    row(260, "fchownat", Rule::Is(4, THE_FILE_ITSELF), "chown(2) of guests; owners of what is new"),
    row(280, "utimensat", Rule::Is(3, &[0x1000]), "utimensat(2) of guests"),
    row(193, "fgetxattr", Rule::Any, "extended attributes, user.* alone"),
    row(196, "flistxattr", Rule::Any, "the same"),
    row(190, "fsetxattr", Rule::Any, "the same"),
    row(199, "fremovexattr", Rule::Any, "the same"),
    row(306, "syncfs", Rule::Any, "sync(2), syncfs(2) of guests, by a thread for that"),
    row(202, "futex", Rule::Any, "locks of the C library"),
    row(9, "mmap", Rule::Without(2, EXECUTE), "memory; never executable"),
    row(10, "mprotect", Rule::Without(2, EXECUTE), "memory; never executable"),
    row(11, "munmap", Rule::Any, "memory"),
    row(25, "mremap", Rule::Any, "memory"),
    row(28, "madvise", Rule::Any, "memory"),
    row(12, "brk", Rule::Any, "memory"),
    row(219, "restart_syscall", Rule::Any, "the host's own, after a stop"),
    row(60, "exit", Rule::Any, "the end"),
    row(231, "exit_group", Rule::Any, "the end"),
];

/// The broker's.
pub const BROKER: Calls = Calls { rows: &[BROKER_CALLS], refused: &[] };
