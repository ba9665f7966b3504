//! `caisson-bench`: measures ours side by side with other runtimes and engines.
//!
//! Sub-commands: `native` (time, CPU and memory per operation), `memory-floor`
//! (smallest limit under which a container still runs), `churn` (many
//! containers, and a census of what they leave), `image` (pulls and runs beside
//! other engines), `cri` (tables of what cribench measured of daemons). All need root and work in a private mount namespace.

mod bundle;
mod census;
mod churn;
mod cri;
mod daemons;
mod engines;
mod error;
mod image;
mod measurer;
mod memory_floor;
mod native;
mod options;
mod record;
mod runtimes;
mod sample;
mod seccomp_profile;
mod surroundings;
mod table;
mod usage;

use std::process::ExitCode;

use error::BenchError;
use options::{Command, Options};

fn main() -> ExitCode {
    // First, and without any allocation that is not needed: this process's
    // memory is the floor of what the measurer can tell about its children.
    if std::env::args_os().nth(1).is_some_and(|a| a == measurer::NAME) {
        return measurer::main();
    }
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("caisson-bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, BenchError> {
    let options = Options::parse()?;
    surroundings::enter()?;
    match options.command {
        Command::Native => native::run(&options),
        Command::MemoryFloor => memory_floor::run(&options),
        Command::Churn => churn::run(&options),
        Command::Image => image::run(&options),
        Command::Cri => cri::run(&options),
    }
}
