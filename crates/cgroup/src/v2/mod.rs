//! Limits in cgroup v2 files (Documentation/admin-guide/cgroup-v2.rst).

pub(crate) mod controllers;
pub(crate) mod convert;
pub(crate) mod cpu;
pub(crate) mod io;
pub(crate) mod memory;
pub(crate) mod unified;
