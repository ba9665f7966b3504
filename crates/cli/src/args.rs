//! The command line's frame: global options and the command.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::commands::Command;
use crate::log::Level;

/// Images and containers, with no daemon to start first.
#[derive(Debug, Parser)]
#[command(
    name = "caisson",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "`caisson COMMAND --help` shows a command's options."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that stand before or after any command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Where images and containers are kept; else CAISSON_ROOT, else
    /// /var/lib/caisson, or ~/.local/share/caisson without root
    #[arg(long, global = true, hide_short_help = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Where the state of what runs is kept; else CAISSON_RUN_ROOT, else
    /// /run/caisson, or $XDG_RUNTIME_DIR/caisson without root
    #[arg(long, global = true, hide_short_help = true, value_name = "DIR")]
    pub(crate) run_root: Option<PathBuf>,
    /// Configuration file, in place of /etc/caisson/config.toml
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How much to say on standard error
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "LEVEL",
        value_enum,
        default_value_t
    )]
    pub(crate) log_level: Level,
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn globals_stand_before_and_after_the_command() {
        for line in [["caisson", "--root", "/x", "version"], ["caisson", "version", "--root", "/x"]]
        {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.global.root.as_deref(), Some(std::path::Path::new("/x")));
        }
    }
}
