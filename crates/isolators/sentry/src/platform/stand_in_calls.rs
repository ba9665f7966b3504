//! The filter of what stands for a program of the sandbox's outside: the host calls that it makes
//! while it waits for the program's end, each with its reason.

use super::host_calls::{Calls, EXECUTE, HostCallRow, Rule, row};

/// `RLIMIT_CORE`
const CORE: &[u64] = &[4];

/// All of them but the one by which it ends.
pub const STAND_IN_CALLS: &[HostCallRow] = &[
    row(7, "poll", Rule::Any, "waits for a signal, or for the sentry's word"),
    row(271, "ppoll", Rule::Any, "the same"),
    row(0, "read", Rule::Any, "signals"),
    row(46, "sendmsg", Rule::Any, "passes a signal on"),
    row(47, "recvmsg", Rule::Any, "how the program has ended"),
    row(39, "getpid", Rule::Any, "whom it ends"),
    row(302, "prlimit64", Rule::Is(1, CORE), "no core file of what has done nothing"),
    row(13, "rt_sigaction", Rule::Any, "ends as the signal has it"),
    row(14, "rt_sigprocmask", Rule::Any, "the same"),
    row(3, "close", Rule::Any, "descriptors that came with a message"),
    row(72, "fcntl", Rule::Is(1, &[1]), "F_GETFD of libraries"),
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

/// Those of the process with this number, which may end itself and nobody else. What the table
/// needs stays in memory: it is to be asked for once in a process.
#[must_use]
pub fn of_stand_in(own: u32) -> Calls {
    let own: &'static [u64] = Box::leak(Box::new([u64::from(own)]));
    let end = [row(62, "kill", Rule::Is(0, own), "the end by a signal")];
    let rows: [&[HostCallRow]; 2] = [STAND_IN_CALLS, Box::leak(Box::new(end))];
    Calls { rows: Box::leak(Box::new(rows)), refused: &[] }
}
