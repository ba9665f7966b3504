//! cgroup2: the container's own cgroup, as far as its kernel knows it, which nothing is
//! made in and nothing can be written to.

use crate::kernel::Kernel;
use crate::task::waiter::lock;

/// Its files.
pub(super) const NAMES: &[&str] = &[
    "cgroup.controllers",
    "cgroup.events",
    "cgroup.procs",
    "cgroup.subtree_control",
    "cgroup.type",
    "cpu.max",
    "cpu.weight",
    "memory.max",
    "memory.swap.max",
    "pids.current",
    "pids.max",
];

/// The container's processes, by number, and how many threads each has: in one numbering
/// there may be those of others.
fn own(kernel: &Kernel) -> Vec<(i32, usize)> {
    let tree = lock(&kernel.tree);
    let own = tree.rows().filter(|(_, row)| {
        row.process.kernel().is_some_and(|its| std::ptr::eq(std::sync::Arc::as_ptr(&its), kernel))
    });
    own.map(|(pid, row)| (pid, row.threads.len())).collect()
}

/// What a file says now.
pub(super) fn text(kernel: &Kernel, name: &str) -> String {
    let limits = &kernel.limits;
    let most = |limit: Option<u64>| limit.map_or_else(|| "max".to_owned(), |it| it.to_string());
    let said = match name {
        "cgroup.controllers" => "cpu memory pids".to_owned(),
        "cgroup.events" => "populated 1\nfrozen 0".to_owned(),
        "cgroup.procs" => {
            let pids = own(kernel).into_iter().map(|(pid, _)| pid.to_string());
            pids.collect::<Vec<_>>().join("\n")
        }
        "cgroup.type" => "domain".to_owned(),
        "cpu.max" => {
            let (quota, period) = limits.processor();
            format!("{} {period}", most(quota))
        }
        "cpu.weight" => limits.shares().map_or(100, caisson_cgroup::cpu_weight).to_string(),
        "memory.max" => most(limits.memory()),
        "memory.swap.max" => most(limits.swap()),
        "pids.current" => own(kernel).iter().map(|(_, threads)| threads).sum::<usize>().to_string(),
        "pids.max" => most(limits.tasks()),
        _ => String::new(),
    };
    if said.is_empty() { "\n".to_owned() } else { said + "\n" }
}
