//! The supervisor: what the program `caisson-shim` does.

/// The program's exit code when a supervisor lives and there is nothing to
/// collect.
pub const EXIT_ALIVE: u8 = 3;
