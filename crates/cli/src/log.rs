//! What the command says on standard error besides its result.

use std::io::Write as _;

use clap::ValueEnum;

/// How much is said; each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    /// Only why a command failed.
    Error,
    /// What works, but not as asked.
    #[default]
    Warn,
    /// What was done along the way.
    Info,
    /// Each step.
    Debug,
}

impl Level {
    /// Writes one line to standard error if `self` (what the user asked for)
    /// includes `level`. Nobody is told when standard error is closed.
    pub(crate) fn say(self, level: Level, message: &str) {
        if level <= self {
            let word = match level {
                Level::Error => "error",
                Level::Warn => "warning",
                Level::Info => "info",
                Level::Debug => "debug",
            };
            let _ = writeln!(std::io::stderr(), "caisson: {word}: {message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Level;

    #[test]
    fn a_level_includes_those_before_it() {
        assert!(Level::Warn <= Level::default() && Level::Info > Level::default());
    }
}
