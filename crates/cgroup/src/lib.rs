//! caisson-cgroup
