//! Texts about the whole: `/proc/<name>`.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::kernel::Kernel;
use crate::syscalls::{MOUNTABLE, system};
use crate::task::pid_namespace::Pids;

use super::super::leases;
use super::super::locks::{LOCKS, Owner, Space};
use super::processors;

/// Names of them.
pub(super) const TEXTS: [&str; 18] = [
    "cgroups",
    "cmdline",
    "cpuinfo",
    "devices",
    "diskstats",
    "filesystems",
    "loadavg",
    "locks",
    "meminfo",
    "modules",
    "partitions",
    "stat",
    "swaps",
    "uptime",
    "version",
    "vmstat",
    "mounts",
    "net",
];

/// What a text says now.
pub(super) fn of_kernel(kernel: &Kernel, pids: &Pids, name: &str) -> Vec<u8> {
    let text = match name {
        "version" => format!("Linux version {} {}\n", system::RELEASE, system::VERSION),
        "uptime" => processors::uptime(kernel),
        "loadavg" => processors::loadavg(kernel),
        "filesystems" => {
            let own = ["cgroup2", "devtmpfs", "overlay"];
            let all = MOUNTABLE.iter().chain(&own);
            all.map(|kind| format!("nodev\t{kind}\n")).collect()
        }
        "locks" => locks(kernel, pids),
        "vmstat" => "nr_free_pages 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\n\
                     pgmajfault 0\noom_kill 0\n"
            .to_owned(),
        "devices" => {
            "Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n\nBlock devices:\n".to_owned()
        }
        "partitions" => "major minor  #blocks  name\n\n".to_owned(),
        "cgroups" => "#subsys_name\thierarchy\tnum_cgroups\tenabled\n".to_owned(),
        "modules" | "diskstats" => String::new(),
        "meminfo" => {
            let (total, free) = kernel.memory();
            let (total, free) = (total / 1024, free / 1024);
            format!(
                "MemTotal:       {total:8} kB\nMemFree:        {free:8} kB\n\
                 MemAvailable:   {free:8} kB\nBuffers:               0 kB\n\
                 Cached:                0 kB\nSwapCached:            0 kB\n\
                 SwapTotal:             0 kB\nSwapFree:              0 kB\n\
                 Shmem:                 0 kB\nSReclaimable:          0 kB\n\
                 HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n\
                 HugePages_Surp:        0\nHugepagesize:       2048 kB\n\
                 Hugetlb:               0 kB\n"
            )
        }
        "cpuinfo" => processors::cpuinfo(),
        "stat" => processors::stat(kernel),
        "swaps" => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_owned(),
        _ => "\n".to_owned(),
    };
    text.into_bytes()
}

/// Those that were taken by processes which have a number in the namespace.
fn locks(kernel: &Kernel, pids: &Pids) -> String {
    let locks = LOCKS.all().into_iter().map(|(id, lock)| {
        let kind = match (lock.space, lock.owner) {
            (Space::Whole, _) => "FLOCK  ADVISORY ",
            (Space::Ranges, Owner::Process(_)) => "POSIX  ADVISORY ",
            (Space::Ranges, Owner::File(_)) => "OFDLCK ADVISORY ",
        };
        let access = if lock.exclusive { "WRITE" } else { "READ " };
        let range = if lock.last >= i64::MAX.cast_unsigned() {
            format!("{} EOF", lock.start)
        } else {
            format!("{} {}", lock.start, lock.last)
        };
        (kind, access, lock.taker, id, range)
    });
    let leases = leases::all().into_iter().map(|lease| {
        let kind = if lease.breaking { "LEASE  BREAKING " } else { "LEASE  ACTIVE   " };
        let access = match lease.kind {
            Some(leases::Kind::Write) => "WRITE",
            Some(leases::Kind::Read) => "READ",
            None => "UNLCK",
        };
        (kind, access, lease.taker, lease.id, "0 EOF".to_owned())
    });
    // Each looks through all processes.
    let mut numbers = HashMap::new();
    let seen = locks.chain(leases).filter_map(|(kind, access, taker, id, range)| {
        let pid = *numbers.entry(taker).or_insert_with(|| taker.number(kernel, pids));
        (pid != 0).then_some((kind, access, pid, id, range))
    });
    let mut text = String::new();
    for (number, (kind, access, pid, (device, inode), range)) in (1..).zip(seen) {
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let _ = writeln!(
            text,
            "{number}: {kind} {access} {pid} {major:02x}:{minor:02x}:{inode} {range}"
        );
    }
    text
}
