//! Which number is served by what. `coverage/syscalls.tsv` tells the same, and
//! what is missing; a test compares.

use std::sync::LazyLock;

use rustix::io::Errno;

use super::{
    Call, Failure, Outcome, advice, aio, approved, capabilities, copying, descriptors, epoll,
    extended, files, futex, handles, identity, inotify, kcmp, limits, locking, locks, mapping,
    memory, messages, mount_contexts, mount_trees, mounts, namespaces, owners, paths, pidfd,
    polling, priorities, process_vm, processes, ptrace, queues, remapping, scheduling, seccomp,
    semaphores, setns, shared_memory, signals, sockets, system, threads, time, timers, transfer,
    usage, wait,
};
use crate::kernel::Frame;

/// What a call with a frame returns: `None` if the thread goes on by itself.
pub type Framed = Result<Option<i64>, Failure>;

/// How a call is served.
pub enum Handler {
    /// With its arguments alone.
    Plain(fn(&Call<'_>) -> Outcome),
    /// With its arguments; it sees to the answer itself.
    Own(fn(&Call<'_>)),
    /// With all registers.
    Framed(fn(&Call<'_>, &Frame) -> Framed),
    /// With its arguments; with all registers if the first one says that it needs
    /// them.
    Both(fn(&Call<'_>) -> Outcome, fn(&Call<'_>, &Frame) -> Framed),
    /// Not, and knowingly: with what Linux without it returns. The log tells of the first.
    Refused(Errno),
}

/// A call.
pub struct Row {
    /// Its number on x86-64.
    pub number: u64,
    /// Its name.
    pub name: &'static str,
    /// How it is served.
    pub handler: Handler,
}

const fn plain(number: u64, name: &'static str, f: fn(&Call<'_>) -> Outcome) -> Row {
    Row { number, name, handler: Handler::Plain(f) }
}

const fn framed(number: u64, name: &'static str, f: fn(&Call<'_>, &Frame) -> Framed) -> Row {
    Row { number, name, handler: Handler::Framed(f) }
}

const fn both(
    number: u64,
    name: &'static str,
    f: fn(&Call<'_>) -> Outcome,
    framed: fn(&Call<'_>, &Frame) -> Framed,
) -> Row {
    Row { number, name, handler: Handler::Both(f, framed) }
}

const fn refused(number: u64, name: &'static str, errno: Errno) -> Row {
    Row { number, name, handler: Handler::Refused(errno) }
}

/// All of them, by number.
pub static TABLE: &[Row] = &[
    plain(0, "read", transfer::read),
    plain(1, "write", transfer::write),
    plain(2, "open", files::open_plain),
    plain(3, "close", files::close),
    plain(4, "stat", paths::stat),
    plain(5, "fstat", paths::fstat),
    plain(6, "lstat", paths::lstat),
    plain(7, "poll", polling::poll),
    plain(8, "lseek", files::lseek),
    both(9, "mmap", approved::mmap, mapping::mmap),
    both(10, "mprotect", approved::mprotect, memory::mprotect),
    both(11, "munmap", approved::munmap, memory::munmap),
    framed(12, "brk", memory::brk),
    plain(13, "rt_sigaction", signals::sigaction),
    plain(14, "rt_sigprocmask", signals::sigprocmask),
    plain(16, "ioctl", descriptors::ioctl),
    plain(17, "pread64", transfer::pread64),
    plain(18, "pwrite64", transfer::pwrite64),
    plain(19, "readv", transfer::readv),
    plain(20, "writev", transfer::writev),
    plain(21, "access", paths::access_plain),
    plain(22, "pipe", descriptors::pipe1),
    plain(23, "select", polling::select),
    plain(24, "sched_yield", system::sched_yield),
    framed(25, "mremap", memory::mremap),
    plain(26, "msync", memory::msync),
    plain(27, "mincore", memory::mincore),
    plain(28, "madvise", advice::madvise),
    plain(29, "shmget", shared_memory::shmget),
    framed(30, "shmat", shared_memory::shmat),
    plain(31, "shmctl", shared_memory::shmctl),
    plain(32, "dup", descriptors::dup),
    plain(33, "dup2", descriptors::dup2),
    plain(34, "pause", signals::pause),
    plain(35, "nanosleep", time::nanosleep),
    plain(36, "getitimer", timers::getitimer),
    plain(37, "alarm", timers::alarm),
    plain(38, "setitimer", timers::setitimer),
    plain(39, "getpid", processes::getpid),
    plain(40, "sendfile", copying::sendfile),
    plain(41, "socket", sockets::socket_),
    plain(42, "connect", sockets::connect),
    plain(43, "accept", sockets::accept),
    plain(44, "sendto", sockets::sendto),
    plain(45, "recvfrom", sockets::recvfrom),
    plain(46, "sendmsg", sockets::sendmsg),
    plain(47, "recvmsg", sockets::recvmsg),
    plain(48, "shutdown", sockets::shutdown),
    plain(49, "bind", sockets::bind),
    plain(50, "listen", sockets::listen),
    plain(51, "getsockname", sockets::getsockname),
    plain(52, "getpeername", sockets::getpeername),
    plain(53, "socketpair", sockets::socketpair),
    plain(54, "setsockopt", sockets::setsockopt),
    plain(55, "getsockopt", sockets::getsockopt),
    framed(56, "clone", processes::clone),
    framed(57, "fork", processes::fork),
    framed(58, "vfork", processes::vfork),
    framed(59, "execve", processes::execve),
    Row { number: 60, name: "exit", handler: Handler::Own(processes::exit) },
    plain(61, "wait4", wait::wait4),
    plain(62, "kill", signals::kill),
    plain(63, "uname", system::uname),
    plain(64, "semget", semaphores::semget),
    plain(65, "semop", semaphores::semop),
    plain(66, "semctl", semaphores::semctl),
    framed(67, "shmdt", shared_memory::shmdt),
    plain(68, "msgget", messages::msgget),
    plain(69, "msgsnd", messages::msgsnd),
    plain(70, "msgrcv", messages::msgrcv),
    plain(71, "msgctl", messages::msgctl),
    plain(72, "fcntl", descriptors::fcntl),
    plain(73, "flock", locks::flock),
    plain(74, "fsync", files::fsync),
    plain(75, "fdatasync", files::fsync),
    plain(76, "truncate", owners::truncate),
    plain(77, "ftruncate", files::ftruncate),
    plain(78, "getdents", files::getdents),
    plain(79, "getcwd", paths::getcwd),
    plain(80, "chdir", paths::chdir),
    plain(81, "fchdir", paths::fchdir),
    plain(82, "rename", paths::rename),
    plain(83, "mkdir", paths::mkdir),
    plain(84, "rmdir", paths::rmdir),
    plain(85, "creat", files::creat),
    plain(86, "link", paths::link),
    plain(87, "unlink", paths::unlink),
    plain(88, "symlink", paths::symlink),
    plain(89, "readlink", paths::readlink),
    plain(90, "chmod", owners::chmod),
    plain(91, "fchmod", owners::fchmod),
    plain(92, "chown", owners::chown),
    plain(93, "fchown", owners::fchown),
    plain(94, "lchown", owners::lchown),
    plain(95, "umask", owners::umask),
    plain(96, "gettimeofday", time::gettimeofday),
    plain(97, "getrlimit", limits::getrlimit),
    both(98, "getrusage", usage::getrusage, usage::getrusage_of_process),
    plain(99, "sysinfo", system::sysinfo),
    plain(100, "times", usage::times),
    plain(101, "ptrace", ptrace::ptrace),
    plain(102, "getuid", identity::getuid),
    plain(103, "syslog", system::syslog),
    plain(104, "getgid", identity::getgid),
    plain(105, "setuid", identity::setuid),
    plain(106, "setgid", identity::setgid),
    plain(107, "geteuid", identity::geteuid),
    plain(108, "getegid", identity::getegid),
    plain(109, "setpgid", processes::setpgid),
    plain(110, "getppid", processes::getppid),
    plain(111, "getpgrp", processes::getpgrp),
    plain(112, "setsid", processes::setsid),
    plain(113, "setreuid", identity::setreuid),
    plain(114, "setregid", identity::setregid),
    plain(115, "getgroups", identity::getgroups),
    plain(116, "setgroups", identity::setgroups),
    plain(117, "setresuid", identity::setresuid),
    plain(118, "getresuid", identity::getresuid),
    plain(119, "setresgid", identity::setresgid),
    plain(120, "getresgid", identity::getresgid),
    plain(121, "getpgid", processes::getpgid),
    plain(122, "setfsuid", identity::setfsuid),
    plain(123, "setfsgid", identity::setfsgid),
    plain(124, "getsid", processes::getsid),
    plain(125, "capget", capabilities::capget),
    plain(126, "capset", capabilities::capset),
    plain(127, "rt_sigpending", signals::sigpending),
    plain(128, "rt_sigtimedwait", signals::sigtimedwait),
    plain(129, "rt_sigqueueinfo", signals::sigqueueinfo),
    plain(130, "rt_sigsuspend", signals::sigsuspend),
    both(131, "sigaltstack", signals::sigaltstack, signals::sigaltstack_framed),
    plain(132, "utime", owners::utime),
    plain(133, "mknod", paths::mknod),
    plain(135, "personality", system::personality),
    plain(136, "ustat", owners::ustat),
    plain(137, "statfs", owners::statfs),
    plain(138, "fstatfs", owners::fstatfs),
    plain(140, "getpriority", scheduling::getpriority),
    plain(141, "setpriority", scheduling::setpriority),
    plain(142, "sched_setparam", scheduling::sched_setparam),
    plain(143, "sched_getparam", scheduling::sched_getparam),
    plain(144, "sched_setscheduler", scheduling::sched_setscheduler),
    plain(145, "sched_getscheduler", scheduling::sched_getscheduler),
    plain(146, "sched_get_priority_max", scheduling::sched_get_priority_max),
    plain(147, "sched_get_priority_min", scheduling::sched_get_priority_min),
    plain(148, "sched_rr_get_interval", scheduling::sched_rr_get_interval),
    both(149, "mlock", locking::mlock, locking::mlock_there),
    plain(150, "munlock", locking::munlock),
    both(151, "mlockall", locking::mlockall, locking::mlockall_there),
    plain(152, "munlockall", locking::munlockall),
    refused(153, "vhangup", Errno::PERM),
    plain(155, "pivot_root", mounts::pivot_root),
    plain(157, "prctl", threads::prctl),
    Row { number: 158, name: "arch_prctl", handler: Handler::Own(processes::arch_prctl) },
    plain(159, "adjtimex", time::adjtimex),
    plain(160, "setrlimit", limits::setrlimit),
    plain(161, "chroot", mounts::chroot),
    plain(162, "sync", system::sync),
    plain(164, "settimeofday", time::settimeofday),
    plain(165, "mount", mounts::mount),
    plain(166, "umount2", mounts::umount2),
    refused(169, "reboot", Errno::PERM),
    plain(170, "sethostname", system::sethostname),
    plain(171, "setdomainname", system::setdomainname),
    plain(186, "gettid", processes::gettid),
    plain(187, "readahead", files::readahead),
    plain(188, "setxattr", extended::setxattr),
    plain(189, "lsetxattr", extended::lsetxattr),
    plain(190, "fsetxattr", extended::fsetxattr),
    plain(191, "getxattr", extended::getxattr),
    plain(192, "lgetxattr", extended::lgetxattr),
    plain(193, "fgetxattr", extended::fgetxattr),
    plain(194, "listxattr", extended::listxattr),
    plain(195, "llistxattr", extended::llistxattr),
    plain(196, "flistxattr", extended::flistxattr),
    plain(197, "removexattr", extended::removexattr),
    plain(198, "lremovexattr", extended::lremovexattr),
    plain(199, "fremovexattr", extended::fremovexattr),
    plain(200, "tkill", signals::tkill),
    plain(201, "time", time::time),
    both(202, "futex", futex::futex, futex::futex_with_frame),
    plain(203, "sched_setaffinity", scheduling::sched_setaffinity),
    plain(204, "sched_getaffinity", scheduling::sched_getaffinity),
    both(206, "io_setup", aio::with_frame, aio::io_setup),
    both(207, "io_destroy", aio::with_frame, aio::io_destroy),
    plain(208, "io_getevents", aio::io_getevents),
    plain(209, "io_submit", aio::io_submit),
    plain(210, "io_cancel", aio::io_cancel),
    plain(213, "epoll_create", epoll::epoll_create),
    both(216, "remap_file_pages", remapping::check, remapping::remap_file_pages),
    plain(217, "getdents64", files::getdents64),
    plain(218, "set_tid_address", threads::set_tid_address),
    plain(220, "semtimedop", semaphores::semtimedop),
    plain(221, "fadvise64", files::fadvise64),
    plain(222, "timer_create", timers::timer_create),
    plain(223, "timer_settime", timers::timer_settime),
    plain(224, "timer_gettime", timers::timer_gettime),
    plain(225, "timer_getoverrun", timers::timer_getoverrun),
    plain(226, "timer_delete", timers::timer_delete),
    plain(227, "clock_settime", time::clock_settime),
    both(228, "clock_gettime", time::clock_gettime_, time::clock_gettime_of_thread),
    plain(229, "clock_getres", time::clock_getres),
    plain(230, "clock_nanosleep", time::clock_nanosleep),
    Row { number: 231, name: "exit_group", handler: Handler::Own(processes::exit_group) },
    plain(232, "epoll_wait", epoll::epoll_wait),
    plain(233, "epoll_ctl", epoll::epoll_ctl),
    plain(234, "tgkill", signals::tgkill),
    plain(235, "utimes", owners::utimes),
    plain(240, "mq_open", queues::mq_open),
    plain(241, "mq_unlink", queues::mq_unlink),
    plain(242, "mq_timedsend", queues::mq_timedsend),
    plain(243, "mq_timedreceive", queues::mq_timedreceive),
    plain(244, "mq_notify", queues::mq_notify),
    plain(245, "mq_getsetattr", queues::mq_getsetattr),
    plain(247, "waitid", wait::waitid),
    refused(248, "add_key", Errno::NOSYS),
    refused(249, "request_key", Errno::NOSYS),
    refused(250, "keyctl", Errno::NOSYS),
    plain(251, "ioprio_set", priorities::ioprio_set),
    plain(252, "ioprio_get", priorities::ioprio_get),
    plain(253, "inotify_init", inotify::inotify_init),
    plain(254, "inotify_add_watch", inotify::inotify_add_watch),
    plain(255, "inotify_rm_watch", inotify::inotify_rm_watch),
    plain(257, "openat", files::open_at),
    plain(258, "mkdirat", paths::mkdirat),
    plain(259, "mknodat", paths::mknodat),
    plain(260, "fchownat", owners::fchownat),
    plain(261, "futimesat", owners::futimesat),
    plain(262, "newfstatat", paths::newfstatat),
    plain(263, "unlinkat", paths::unlinkat),
    plain(264, "renameat", paths::renameat),
    plain(265, "linkat", paths::linkat),
    plain(266, "symlinkat", paths::symlinkat),
    plain(267, "readlinkat", paths::readlinkat),
    plain(268, "fchmodat", owners::fchmodat),
    plain(269, "faccessat", paths::faccessat),
    plain(270, "pselect6", polling::pselect6),
    plain(271, "ppoll", polling::ppoll),
    plain(272, "unshare", namespaces::unshare),
    plain(273, "set_robust_list", threads::set_robust_list),
    plain(274, "get_robust_list", threads::get_robust_list),
    plain(275, "splice", copying::splice),
    plain(276, "tee", copying::tee),
    plain(277, "sync_file_range", files::sync_file_range),
    plain(278, "vmsplice", copying::vmsplice),
    plain(280, "utimensat", owners::utimensat),
    plain(281, "epoll_pwait", epoll::epoll_pwait),
    plain(282, "signalfd", signals::signalfd),
    plain(283, "timerfd_create", timers::timerfd_create),
    plain(284, "eventfd", epoll::eventfd),
    plain(285, "fallocate", files::fallocate),
    plain(286, "timerfd_settime", timers::timerfd_settime),
    plain(287, "timerfd_gettime", timers::timerfd_gettime),
    plain(288, "accept4", sockets::accept4),
    plain(289, "signalfd4", signals::signalfd4),
    plain(290, "eventfd2", epoll::eventfd2),
    plain(291, "epoll_create1", epoll::epoll_create1),
    plain(292, "dup3", descriptors::dup3),
    plain(293, "pipe2", descriptors::pipe2),
    plain(294, "inotify_init1", inotify::inotify_init1),
    plain(295, "preadv", transfer::preadv),
    plain(296, "pwritev", transfer::pwritev),
    plain(297, "rt_tgsigqueueinfo", signals::tgsigqueueinfo),
    plain(299, "recvmmsg", sockets::recvmmsg),
    plain(302, "prlimit64", limits::prlimit64),
    plain(303, "name_to_handle_at", handles::name_to_handle_at),
    plain(304, "open_by_handle_at", handles::open_by_handle_at),
    plain(305, "clock_adjtime", time::clock_adjtime),
    plain(306, "syncfs", files::syncfs),
    plain(307, "sendmmsg", sockets::sendmmsg),
    plain(308, "setns", setns::setns),
    plain(309, "getcpu", system::getcpu),
    plain(310, "process_vm_readv", process_vm::process_vm_readv),
    plain(311, "process_vm_writev", process_vm::process_vm_writev),
    plain(312, "kcmp", kcmp::kcmp),
    plain(314, "sched_setattr", scheduling::sched_setattr),
    plain(315, "sched_getattr", scheduling::sched_getattr),
    plain(316, "renameat2", paths::renameat2),
    plain(317, "seccomp", seccomp::seccomp),
    plain(318, "getrandom", system::getrandom),
    plain(319, "memfd_create", descriptors::memfd_create),
    framed(322, "execveat", processes::execveat),
    plain(324, "membarrier", scheduling::membarrier),
    both(325, "mlock2", locking::mlock2, locking::mlock_there),
    plain(326, "copy_file_range", copying::copy_file_range),
    plain(327, "preadv2", transfer::preadv2),
    plain(328, "pwritev2", transfer::pwritev2),
    plain(332, "statx", paths::statx),
    plain(333, "io_pgetevents", aio::io_pgetevents),
    refused(334, "rseq", Errno::NOSYS),
    plain(424, "pidfd_send_signal", pidfd::pidfd_send_signal),
    refused(425, "io_uring_setup", Errno::NOSYS),
    plain(428, "open_tree", mount_trees::open_tree),
    plain(429, "move_mount", mount_trees::move_mount),
    plain(430, "fsopen", mount_contexts::fsopen),
    plain(431, "fsconfig", mount_contexts::fsconfig),
    plain(432, "fsmount", mount_contexts::fsmount),
    plain(433, "fspick", mount_contexts::fspick),
    plain(434, "pidfd_open", pidfd::pidfd_open),
    framed(435, "clone3", processes::clone3),
    plain(436, "close_range", files::close_range),
    plain(437, "openat2", files::openat2),
    plain(438, "pidfd_getfd", pidfd::pidfd_getfd),
    plain(439, "faccessat2", paths::faccessat2),
    plain(440, "process_madvise", advice::process_madvise),
    plain(441, "epoll_pwait2", epoll::epoll_pwait2),
    plain(442, "mount_setattr", mount_trees::mount_setattr),
    plain(449, "futex_waitv", futex::futex_waitv),
    plain(452, "fchmodat2", owners::fchmodat2),
];

/// Numbers on x86-64 end below this.
const END: usize = 512;

static BY_NUMBER: LazyLock<Vec<Option<&'static Row>>> = LazyLock::new(|| {
    let mut rows = vec![None; END];
    for row in TABLE {
        let slot = usize::try_from(row.number).ok().and_then(|n| rows.get_mut(n));
        if let Some(slot) = slot {
            *slot = Some(row);
        }
    }
    rows
});

/// The row of a number.
pub(super) fn find(number: u64) -> Option<&'static Row> {
    let index = usize::try_from(number).ok()?;
    BY_NUMBER.get(index).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::TRAPPED;

    #[test]
    fn rows_are_sorted_and_found() {
        assert!(TABLE.windows(2).all(|w| w[0].number < w[1].number));
        for row in TABLE {
            assert_eq!(find(row.number).map(|r| r.name), Some(row.name));
        }
        assert!(find(u64::MAX).is_none());
    }

    /// The filter decides which calls bring their registers.
    #[test]
    fn the_filter_traps_what_needs_a_frame() {
        for row in TABLE {
            let trapped = TRAPPED.iter().any(|n| u64::from(*n) == row.number);
            // Some of mmap's are told at once.
            let framed = matches!(row.handler, Handler::Framed(_)) || row.name == "mmap";
            assert_eq!(trapped, framed, "{}", row.name);
        }
    }
}
