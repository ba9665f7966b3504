//! The sentry's own wall: the host calls that it makes, each with its reason,
//! and the filter made of such a table.

use caisson_sys::seccomp::{FilterFlags, SockFilter, install};
use rustix::io::Errno;

use super::bpf::{
    ALLOW, ARCH, AT_LEAST, AUDIT_ARCH_X86_64, EQUAL, ERRNO, LOAD, NUMBER, RETURN, SET, halves,
    jump, statement,
};
use super::host_options::{self, Level};

/// What the arguments of a call must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anything.
    Any,
    /// This argument is one of these.
    Is(u32, &'static [u64]),
    /// This argument has none of these bits.
    Without(u32, u64),
    /// Each of these arguments is one of its values.
    All(&'static [(u32, &'static [u64])]),
    /// The second argument is a level, the third one of its options.
    Options(&'static [Level]),
}

/// A call that the sentry makes.
#[derive(Clone, Copy, Debug)]
pub struct HostCallRow {
    /// Its number on x86-64.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// Its arguments.
    pub rule: Rule,
    /// What for.
    pub why: &'static str,
}

/// A process's calls.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    /// Those it makes, in one or more parts; those that are made most come first.
    pub rows: &'static [&'static [HostCallRow]],
    /// Calls that libraries try and can do without: they fail with an error number.
    pub refused: &'static [(u32, u32)],
}

impl Calls {
    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &'static HostCallRow> {
        self.rows.iter().copied().flatten()
    }
}

pub(super) const fn row(
    number: u32,
    name: &'static str,
    rule: Rule,
    why: &'static str,
) -> HostCallRow {
    HostCallRow { number, name, rule, why }
}

/// Flags with which the C library makes a thread.
const THREAD: u64 = 0x3d_0f00;
/// `PROT_EXEC`
pub(super) const EXECUTE: u64 = 4;
/// The notifications' requests (receive, answer, give a descriptor), two
/// questions to terminals, and three to sockets: what waits to be read and to be sent, and
/// whether urgent data is next.
const REQUESTS: &[u64] =
    &[0xc050_2100, 0xc018_2101, 0x4018_2103, 0x5401, 0x802c_542a, 0x5413, 0x541b, 0x5411, 0x8905];

/// `F_GETFD`, `F_GETFL`, `F_DUPFD_CLOEXEC`, `F_ADD_SEALS`, `F_GET_SEALS`
const FCNTL: &[u64] = &[1, 3, 1030, 1033, 1034];

/// All of them; those that are made most come first.
pub const HOST_CALLS: &[HostCallRow] = &[
    row(16, "ioctl", Rule::Is(1, REQUESTS), "events and answers; terminals; what sockets hold"),
    row(310, "process_vm_readv", Rule::Any, "guest memory; only stubs are in reach"),
    row(311, "process_vm_writev", Rule::Any, "guest memory; only stubs are in reach"),
    row(202, "futex", Rule::Any, "locks and waiting"),
    row(17, "pread64", Rule::Any, "files that the broker opened"),
    row(18, "pwrite64", Rule::Any, "files that the broker opened"),
    row(328, "pwritev2", Rule::Any, "the same, at the end"),
    row(0, "read", Rule::Any, "standard input; frames of the interface"),
    row(1, "write", Rule::Any, "standard output; frames of the interface"),
    row(271, "ppoll", Rule::Any, "whether a standard stream or a frame is ready"),
    row(5, "fstat", Rule::Any, "attributes of what is open"),
    row(138, "fstatfs", Rule::Any, "statfs(2) of guests"),
    row(267, "readlinkat", Rule::Any, "links, by their handle"),
    row(217, "getdents64", Rule::Any, "directories that the broker opened"),
    row(8, "lseek", Rule::Any, "where a directory's listing goes on"),
    row(46, "sendmsg", Rule::Any, "to the broker; data of host-sockets"),
    row(47, "recvmsg", Rule::Any, "from the broker; data of host-sockets"),
    row(48, "shutdown", Rule::Is(1, &[0, 1, 2]), "a forwarded connection's end of what is said"),
    row(3, "close", Rule::Any, ""),
    row(72, "fcntl", Rule::Is(1, FCNTL), "descriptors that it holds; seals of memory"),
    row(77, "ftruncate", Rule::Any, "ftruncate(2), truncate(2) of guests"),
    row(74, "fsync", Rule::Any, "fsync(2), sync_file_range(2) of guests"),
    row(285, "fallocate", Rule::Any, "fallocate(2) of guests"),
    row(319, "memfd_create", Rule::Any, "files in memory: tmpfs, memfd_create(2) of guests"),
    row(281, "epoll_pwait", Rule::Any, "waits for standard streams"),
    row(233, "epoll_ctl", Rule::Any, "which ones"),
    row(234, "tgkill", Rule::Is(2, &[23]), "SIGURG: makes a stub's thread report"),
    row(62, "kill", Rule::Is(1, &[9]), "SIGKILL: ends a stub"),
    row(247, "waitid", Rule::Any, "notices the ends of stubs, and reaps them"),
    row(228, "clock_gettime", Rule::Any, "where the vDSO can't tell"),
    row(230, "clock_nanosleep", Rule::Any, "pauses"),
    row(318, "getrandom", Rule::Any, "random bytes for guests"),
    row(99, "sysinfo", Rule::Any, "memory of the machine"),
    row(24, "sched_yield", Rule::Any, "sched_yield(2) of guests"),
    row(
        203,
        "sched_setaffinity",
        Rule::Any,
        "threads that post their calls keep off the processor of who serves them",
    ),
    row(204, "sched_getaffinity", Rule::Any, "the C library's allocator counts processors"),
    row(9, "mmap", Rule::Without(2, EXECUTE), "memory, stacks; never executable"),
    row(10, "mprotect", Rule::Without(2, EXECUTE), "guard pages; never executable"),
    row(11, "munmap", Rule::Any, "memory"),
    row(25, "mremap", Rule::Any, "memory"),
    row(28, "madvise", Rule::Any, "memory"),
    row(12, "brk", Rule::Any, "memory"),
    row(56, "clone", Rule::Is(0, &[THREAD]), "threads, no processes"),
    row(273, "set_robust_list", Rule::Any, "a new thread's"),
    row(334, "rseq", Rule::Any, "a new thread's"),
    row(14, "rt_sigprocmask", Rule::Any, "the C library, around a new thread"),
    row(15, "rt_sigreturn", Rule::Any, "loads registers"),
    row(13, "rt_sigaction", Rule::Any, "the C library, at an abort"),
    row(219, "restart_syscall", Rule::Any, "the host's own, after a stop"),
    row(60, "exit", Rule::Any, "of a thread"),
    row(231, "exit_group", Rule::Any, "the end"),
];

/// The sentry's.
pub const SENTRY: Calls = Calls { rows: &[HOST_CALLS], refused: REFUSED };

/// The sentry's where its network is `host-sockets`.
pub const WITH_SOCKETS: Calls = Calls { rows: &[HOST_CALLS, SOCKET_CALLS], refused: REFUSED };

const REFUSED: &[(u32, u32)] = &[
    // clone3: its flags are in memory. ENOSYS sends the C library to clone.
    (435, 38),
    // open, openat: EACCES.
    (2, 13),
    (257, 13),
];

/// `SOCK_CLOEXEC`, `SOCK_NONBLOCK`
const NEW: u64 = 0x8_0800;
/// Streams and datagrams of IPv4 and IPv6, by TCP and UDP.
const SOCKETS: &[(u32, &[u64])] = &[(0, &[2, 10]), (1, &[1 | NEW, 2 | NEW]), (2, &[6, 17])];

/// What sockets of the host's need, of IPv4 and IPv6 only.
const SOCKET_CALLS: &[HostCallRow] = &[
    row(41, "socket", Rule::All(SOCKETS), "socket(2) of guests"),
    row(288, "accept4", Rule::Is(3, &[NEW]), "accept(2) of guests"),
    row(42, "connect", Rule::Any, "connect(2) of guests"),
    row(49, "bind", Rule::Any, "bind(2) of guests"),
    row(50, "listen", Rule::Any, "listen(2) of guests"),
    row(51, "getsockname", Rule::Any, "getsockname(2) of guests"),
    row(52, "getpeername", Rule::Any, "getpeername(2) of guests"),
    row(54, "setsockopt", Rule::Options(host_options::SET), "options whose values are plain bytes"),
    row(55, "getsockopt", Rule::Options(host_options::GET), "the same; errors of connections"),
];

const KILL: u32 = 0x8000_0000;

/// Where argument `index` is in `struct seccomp_data`: low half, high half.
fn place(index: u32) -> (u32, u32) {
    (16 + index * 8, 20 + index * 8)
}

fn rule(rule: Rule) -> Vec<SockFilter> {
    let mut block = Vec::new();
    match rule {
        Rule::Any => block.push(statement(RETURN, ALLOW)),
        Rule::Is(index, values) => {
            block.extend(is_one(index, values));
            block.push(statement(RETURN, ALLOW));
        }
        Rule::All(arguments) => {
            for (index, values) in arguments {
                block.extend(is_one(*index, values));
            }
            block.push(statement(RETURN, ALLOW));
        }
        Rule::Options(levels) => block.extend(options(levels)),
        Rule::Without(index, bits) => {
            let (low_at, _) = place(index);
            block.push(statement(LOAD, low_at));
            block.push(jump(SET, halves(bits).1, 0, 1));
            block.push(statement(RETURN, KILL));
            block.push(statement(RETURN, ALLOW));
        }
    }
    block
}

/// Goes on behind it if the high half of an argument is 0, else it is over: the kernel takes
/// it as an `int`.
fn is_int(index: u32) -> [SockFilter; 3] {
    [statement(LOAD, place(index).1), jump(EQUAL, 0, 1, 0), statement(RETURN, KILL)]
}

/// The same if it is one of these, as an `int`.
fn is_one(index: u32, values: &[u64]) -> Vec<SockFilter> {
    let mut block = is_int(index).to_vec();
    block.push(statement(LOAD, place(index).0));
    for (value, left) in values.iter().zip((0..values.len()).rev()) {
        let past = u8::try_from(left + 1).unwrap_or(u8::MAX);
        block.push(jump(EQUAL, halves(*value).1, past, 0));
    }
    block.push(statement(RETURN, KILL));
    block
}

/// Lets options of levels through.
fn options(levels: &[Level]) -> Vec<SockFilter> {
    const LEVEL: u32 = 1;
    const OPTION: u32 = 2;
    let mut block = Vec::new();
    block.extend([LEVEL, OPTION].into_iter().flat_map(is_int));
    for (level, ranges) in levels {
        let length = u8::try_from(ranges.len() * 3 + 2).unwrap_or(u8::MAX);
        block.push(statement(LOAD, place(LEVEL).0));
        block.push(jump(EQUAL, halves(*level).1, 0, length));
        block.push(statement(LOAD, place(OPTION).0));
        for (first, last) in *ranges {
            block.push(jump(AT_LEAST, halves(*first).1, 0, 2));
            block.push(jump(AT_LEAST, halves(*last + 1).1, 1, 0));
            block.push(statement(RETURN, ALLOW));
        }
        block.push(statement(RETURN, KILL));
    }
    block.push(statement(RETURN, KILL));
    block
}

/// The filter's program: what is not in the table ends the process.
#[must_use]
pub fn program(calls: &Calls) -> Vec<SockFilter> {
    let mut all = vec![
        statement(LOAD, ARCH),
        jump(EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        statement(RETURN, KILL),
        statement(LOAD, NUMBER),
    ];
    for call in calls.rows() {
        let block = rule(call.rule);
        let length = u8::try_from(block.len()).unwrap_or(u8::MAX);
        all.push(jump(EQUAL, call.number, 0, length));
        all.extend(block);
    }
    for (number, errno) in calls.refused {
        all.push(jump(EQUAL, *number, 0, 1));
        all.push(statement(RETURN, ERRNO | errno));
    }
    all.push(statement(RETURN, KILL));
    all
}

/// Confines the calling thread, and all threads that it starts.
///
/// # Errors
/// What seccomp(2) says.
pub fn confine(calls: &Calls) -> Result<(), Errno> {
    rustix::thread::set_no_new_privs(true)?;
    install(&program(calls), FilterFlags::empty()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(calls: &Calls, number: u32, args: [u64; 6]) -> u32 {
        super::super::bpf::run(&program(calls), |field| match field {
            NUMBER => number,
            ARCH => AUDIT_ARCH_X86_64,
            at => {
                let index = usize::try_from((at - 16) / 8).unwrap();
                let (high, low) = halves(args[index]);
                if at % 8 == 0 { low } else { high }
            }
        })
    }

    fn with(index: u32, value: u64) -> [u64; 6] {
        let mut args = [0; 6];
        args[usize::try_from(index).unwrap()] = value;
        args
    }

    fn the_filter_is(calls: &Calls) {
        for number in 0..600 {
            let row = calls.rows().find(|row| row.number == number);
            let refused = calls.refused.iter().find(|(n, _)| *n == number);
            let zero = run(calls, number, [0; 6]);
            match (row.map(|r| r.rule), refused) {
                (Some(Rule::Any), None) => assert_eq!(zero, ALLOW, "{number}"),
                (Some(Rule::Is(index, values)), None) => {
                    for value in 0..1_100_u64 {
                        let expected = if values.contains(&value) { ALLOW } else { KILL };
                        let got = run(calls, number, with(index, value));
                        assert_eq!(got, expected, "{number} {value}");
                    }
                    for value in values {
                        let got = run(calls, number, with(index, *value));
                        assert_eq!(got, ALLOW, "{number} {value:#x}");
                        let got = run(calls, number, with(index, *value | 1 << 40));
                        assert_eq!(got, KILL, "{number} {value:#x}");
                    }
                }
                (Some(Rule::All(arguments)), None) => {
                    let mut good = [0; 6];
                    for (index, values) in arguments {
                        good[usize::try_from(*index).unwrap()] = values[0];
                    }
                    for (index, values) in arguments {
                        let with = |value| {
                            let mut args = good;
                            args[usize::try_from(*index).unwrap()] = value;
                            run(calls, number, args)
                        };
                        for value in (0..3000).chain((0..300).map(|n| n | NEW)) {
                            let expected = if values.contains(&value) { ALLOW } else { KILL };
                            assert_eq!(with(value), expected, "{number} {index} {value:#x}");
                        }
                        assert_eq!(with(values[0] | 1 << 32), KILL);
                    }
                }
                (Some(Rule::Options(levels)), None) => {
                    for level in (0..300).chain([1 << 32, 1 << 32 | 6, u64::MAX]) {
                        for option in (0..150).chain([1 << 32 | 1, u64::MAX]) {
                            let number_of = |n: u64| i32::try_from(n).unwrap_or(-1);
                            let (l, o) = (number_of(level), number_of(option));
                            let good = host_options::has(levels, l, o);
                            let got = run(calls, number, [3, level, option, 0, 0, 0]);
                            let expected = if good { ALLOW } else { KILL };
                            assert_eq!(got, expected, "{number} {level} {option}");
                        }
                    }
                }
                (Some(Rule::Without(index, bits)), None) => {
                    assert_eq!(zero, ALLOW);
                    assert_eq!(run(calls, number, with(index, bits | 3)), KILL, "{number}");
                }
                (None, Some((_, errno))) => assert_eq!(zero, ERRNO | errno),
                (None, None) => assert_eq!(zero, KILL, "{number}"),
                other => panic!("{number} is twice in the tables: {other:?}"),
            }
        }
        assert_eq!(run(calls, 0x4000_0000, [0; 6]), KILL);
    }

    #[test]
    fn the_filters_are_the_tables() {
        for calls in [&SENTRY, &WITH_SOCKETS, &super::super::broker_calls::BROKER] {
            let count = calls.rows().count();
            assert!(count <= 60, "{count} host calls");
            the_filter_is(calls);
        }
    }
}
