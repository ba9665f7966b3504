//! Limits.

use caisson_node::request::{
    ContainerRequest, ResourceRequest, parse_cpus, parse_size, parse_ulimit,
};
use caisson_runtime_spec::Rlimit;

/// Options that `update` has too.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct ResourceOptions {
    /// Memory
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Memory and swap together; -1 is unlimited
    #[arg(long, value_name = "SIZE", value_parser = parse_swap, allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Memory that it is pushed back to when memory is short
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_reservation: Option<u64>,
    /// Number of processors, such as 1.5
    #[arg(long, value_name = "NUMBER", value_parser = parse_cpus)]
    cpus: Option<u64>,
    /// Weight of its processor time
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// Microseconds of processor time per period
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true, conflicts_with = "cpus")]
    cpu_quota: Option<i64>,
    /// Microseconds of a period
    #[arg(long, value_name = "MICROSECONDS", conflicts_with = "cpus")]
    cpu_period: Option<u64>,
    /// Processors that it may use, such as 0-2,4
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that it may use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Number of processes and threads; -1 is unlimited
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Weight of its block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
}

/// Options about limits.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitOptions {
    #[command(flatten)]
    resources: ResourceOptions,
    /// Tendency to swap, 0 to 100
    #[arg(long, value_name = "NUMBER")]
    memory_swappiness: Option<u64>,
    /// Let it wait for memory instead of killing it
    #[arg(long)]
    oom_kill_disable: bool,
    /// Who is killed first when memory is short, -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true,
          value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    oom_score_adj: Option<i32>,
    /// Limit of the process, such as nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = parse_ulimit)]
    ulimit: Vec<Rlimit>,
    /// The cgroup that its own is made below
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
}

fn parse_swap(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    i64::try_from(bytes).map_err(|error| error.to_string())
}

impl ResourceOptions {
    /// Sets what was given.
    pub(crate) fn apply(&self, resources: &mut ResourceRequest) {
        fn set<T: Clone>(slot: &mut Option<T>, given: Option<&T>) {
            if let Some(value) = given {
                *slot = Some(value.clone());
            }
        }
        set(&mut resources.memory, self.memory.as_ref());
        set(&mut resources.memory_swap, self.memory_swap.as_ref());
        set(&mut resources.memory_reservation, self.memory_reservation.as_ref());
        set(&mut resources.nano_cpus, self.cpus.as_ref());
        set(&mut resources.cpu_shares, self.cpu_shares.as_ref());
        if self.cpu_quota.is_some() || self.cpu_period.is_some() {
            resources.nano_cpus = None;
        }
        set(&mut resources.cpu_quota, self.cpu_quota.as_ref());
        set(&mut resources.cpu_period, self.cpu_period.as_ref());
        set(&mut resources.cpuset_cpus, self.cpuset_cpus.as_ref());
        set(&mut resources.cpuset_mems, self.cpuset_mems.as_ref());
        set(&mut resources.pids_limit, self.pids_limit.as_ref());
        set(&mut resources.blkio_weight, self.blkio_weight.as_ref());
    }
}

impl LimitOptions {
    pub(super) fn apply(&self, request: &mut ContainerRequest) {
        self.resources.apply(&mut request.resources);
        request.resources.memory_swappiness = self.memory_swappiness;
        request.resources.oom_kill_disable = self.oom_kill_disable;
        request.resources.oom_score_adj = self.oom_score_adj;
        request.ulimits.clone_from(&self.ulimit);
        request.cgroup_parent.clone_from(&self.cgroup_parent);
    }
}
