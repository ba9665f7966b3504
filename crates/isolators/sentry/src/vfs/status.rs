//! Flags that `F_SETFL` can change and others that matter later.

#![allow(missing_docs, reason = "names of open(2)")]

pub const ACCESS: u32 = 3;
pub const WRITE_ONLY: u32 = 1;
pub const READ_WRITE: u32 = 2;
pub const CREATE: u32 = 0o100;
pub const EXCLUSIVE: u32 = 0o200;
pub const NO_TTY: u32 = 0o400;
pub const TRUNCATE: u32 = 0o1000;
pub const APPEND: u32 = 0o2000;
pub const NONBLOCK: u32 = 0o4000;
/// `O_ASYNC`
pub const ASYNC: u32 = 0o2_0000;
pub const SYNC: u32 = 0o1_0000;
/// `O_DIRECT`: of a pipe, that what is written are packets; of a file, that nothing is kept of it
/// in between.
pub const DIRECT: u32 = 0o4_0000;
pub const DIRECTORY: u32 = 0o20_0000;
pub const NO_FOLLOW: u32 = 0o40_0000;
pub const NO_ACCESS_TIME: u32 = 0o100_0000;
pub const CLOSE_ON_EXEC: u32 = 0o200_0000;
pub const PATH: u32 = 0o1000_0000;
pub const TEMPORARY: u32 = 0o2020_0000;
