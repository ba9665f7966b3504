//! caisson-bench
