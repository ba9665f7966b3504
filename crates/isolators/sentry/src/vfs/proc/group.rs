//! cgroup2: the container's own cgroup, as far as its kernel knows it, which nothing is
//! made in and nothing can be written to.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::Arc;

use crate::kernel::Kernel;
use crate::task::waiter::lock;
use crate::task::{Row, Tree};
use crate::time::Usage;

use super::resident::Memory;

/// Its files.
pub(super) const NAMES: &[&str] = &[
    "cgroup.controllers",
    "cgroup.events",
    "cgroup.procs",
    "cgroup.subtree_control",
    "cgroup.type",
    "cpu.max",
    "cpu.stat",
    "cpu.weight",
    "memory.current",
    "memory.max",
    "memory.stat",
    "memory.swap.max",
    "pids.current",
    "pids.max",
];

/// The container's processes, by number, and how many threads each has: in one numbering
/// there may be those of others.
fn own(kernel: &Kernel) -> Vec<(i32, usize)> {
    let tree = lock(&kernel.tree);
    own_rows(&tree, kernel).map(|(pid, row)| (pid, row.threads.len())).collect()
}

fn own_rows<'a>(tree: &'a Tree, kernel: &Kernel) -> impl Iterator<Item = (i32, &'a Row)> {
    let own =
        |row: &Row| row.process.kernel().is_some_and(|its| ptr::eq(Arc::as_ptr(&its), kernel));
    tree.rows().filter(move |(_, row)| own(row))
}

/// What its processes have of memory, in bytes: private, of files, shared.
fn memory(kernel: &Kernel) -> [u64; 3] {
    let pids = own(kernel).into_iter().map(|(pid, _)| pid);
    let threads = pids.filter_map(|pid| kernel.threads_of(pid).into_iter().next());
    let mut spaces = BTreeMap::new();
    for thread in threads {
        let stub = thread.space().stub.pid().number();
        spaces.entry(stub).or_insert(thread);
    }
    let all = spaces.values().map(|thread| Memory::of(kernel, thread).bytes());
    all.fold([0; 3], |[a, b, c], [x, y, z]| [a + x, b + y, c + z])
}

/// Processor time of its processes, those that have ended, too.
pub(super) fn time(kernel: &Kernel) -> Usage {
    let (processes, ended): (Vec<_>, Usage) = {
        // Under the lock under which one ends: it is counted once.
        let tree = lock(&kernel.tree);
        let live = own_rows(&tree, kernel).filter(|(_, row)| row.ended.is_none());
        (live.map(|(_, row)| Arc::clone(&row.process)).collect(), *lock(&kernel.used.ended))
    };
    processes.iter().fold(ended, |sum, process| sum.plus(process.usage(kernel)))
}

/// What a file says now; `number`: how who reads knows a process.
pub(super) fn text(kernel: &Kernel, name: &str, number: impl Fn(i32) -> i32) -> String {
    let limits = &kernel.limits;
    let most = |limit: Option<u64>| limit.map_or_else(|| "max".to_owned(), |it| it.to_string());
    let said = match name {
        "cgroup.controllers" => "cpu memory pids".to_owned(),
        "cgroup.events" => "populated 1\nfrozen 0".to_owned(),
        "cgroup.procs" => {
            let pids = own(kernel).into_iter().map(|(pid, _)| number(pid).to_string());
            pids.collect::<Vec<_>>().join("\n")
        }
        "cgroup.type" => "domain".to_owned(),
        "cpu.max" => {
            let (quota, period) = limits.processor();
            format!("{} {period}", most(quota))
        }
        "cpu.weight" => limits.shares().map_or(100, caisson_cgroup::cpu_weight).to_string(),
        "cpu.stat" => {
            let Usage { user, system } = time(kernel);
            format!(
                "usage_usec {}\nuser_usec {}\nsystem_usec {}",
                (user + system).as_micros(),
                user.as_micros(),
                system.as_micros()
            )
        }
        "memory.current" => memory(kernel).iter().sum::<u64>().to_string(),
        "memory.stat" => {
            let [private, file, shared] = memory(kernel);
            format!("anon {private}\nfile {}\nshmem {shared}\nfile_mapped {file}", file + shared)
        }
        "memory.max" => most(limits.memory()),
        "memory.swap.max" => most(limits.swap()),
        "pids.current" => own(kernel).iter().map(|(_, threads)| threads).sum::<usize>().to_string(),
        "pids.max" => most(limits.tasks()),
        _ => String::new(),
    };
    if said.is_empty() { "\n".to_owned() } else { said + "\n" }
}
