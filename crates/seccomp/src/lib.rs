//! caisson-seccomp
