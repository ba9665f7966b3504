//! Names of controllers.

bitflags::bitflags! {
    /// A set of controllers that share one hierarchy.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Controllers: u32 {
        /// `cpu`
        const CPU = 1;
        /// `cpuacct` (v1 only)
        const CPUACCT = 1 << 1;
        /// `cpuset`
        const CPUSET = 1 << 2;
        /// `memory`
        const MEMORY = 1 << 3;
        /// `devices` (v1 only; v2 uses a BPF program)
        const DEVICES = 1 << 4;
        /// `freezer` (v1 only; part of the core in v2)
        const FREEZER = 1 << 5;
        /// `blkio` in v1, `io` in v2
        const IO = 1 << 6;
        /// `pids`
        const PIDS = 1 << 7;
        /// `hugetlb`
        const HUGETLB = 1 << 8;
        /// `net_cls` (v1 only)
        const NET_CLS = 1 << 9;
        /// `net_prio` (v1 only)
        const NET_PRIO = 1 << 10;
        /// `rdma`
        const RDMA = 1 << 11;
        /// `perf_event`
        const PERF_EVENT = 1 << 12;
        /// `misc`
        const MISC = 1 << 13;
        /// The hierarchy `name=systemd` (v1 only).
        const SYSTEMD = 1 << 14;
        /// The v2 hierarchy, alone or beside v1 ones.
        const UNIFIED = 1 << 15;
    }
}

/// Kernel names, in the order in which hierarchies are handled.
const NAMES: [(&str, Controllers); 17] = [
    ("cpuset", Controllers::CPUSET),
    ("devices", Controllers::DEVICES),
    ("memory", Controllers::MEMORY),
    ("cpu", Controllers::CPU),
    ("cpuacct", Controllers::CPUACCT),
    ("pids", Controllers::PIDS),
    ("blkio", Controllers::IO),
    ("io", Controllers::IO),
    ("hugetlb", Controllers::HUGETLB),
    ("net_cls", Controllers::NET_CLS),
    ("net_prio", Controllers::NET_PRIO),
    ("perf_event", Controllers::PERF_EVENT),
    ("freezer", Controllers::FREEZER),
    ("rdma", Controllers::RDMA),
    ("misc", Controllers::MISC),
    ("name=systemd", Controllers::SYSTEMD),
    ("", Controllers::UNIFIED),
];

impl Controllers {
    /// The set named by a list such as `cpu,cpuacct` (second field of
    /// `/proc/PID/cgroup`); unknown names are left out.
    #[must_use]
    pub fn from_list(list: &str, separator: char) -> Controllers {
        let mut set = Controllers::empty();
        for name in list.split(separator) {
            for (known, flag) in NAMES {
                if known == name {
                    set |= flag;
                }
            }
        }
        set
    }

    /// Kernel names of the members of a v1 set, as runc's state file uses them
    /// for keys (`""` for the v2 hierarchy).
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .into_iter()
            .filter(move |(name, flag)| *name != "io" && self.contains(*flag))
            .map(|(name, _)| name)
    }
}
