//! Limits in cgroup v1 files (Documentation/admin-guide/cgroup-v1). Files that
//! v2 has in the same form (`pids.max`, `cpuset.*`, `hugetlb.*`, `rdma.max`)
//! are written by the same functions.

pub(crate) mod blkio;
pub(crate) mod cpu;
pub(crate) mod cpuset;
pub(crate) mod hugetlb;
pub(crate) mod memory;
pub(crate) mod net;
pub(crate) mod pids;
pub(crate) mod rdma;
