//! The supervisor: what the program `caisson-shim` does.
//!
//! One process with one thread and one event loop. Whatever calls the isolator
//! is done by a short-lived copy of it ([`job`]).

mod client;
mod collect;
mod container_requests;
mod creation;
mod ending;
mod engine;
mod event_loop;
mod exec_requests;
mod execs;
mod exit_command;
mod front;
mod guard;
mod host_mounts;
mod init_program;
mod job;
mod log;
mod pod;
mod reap;
mod requests;
mod restart;
mod rootfs;
mod rootfs_mounts;
mod settle;
mod startup;
mod state;
mod step;
mod streams;
mod unit;
mod worker;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

pub(crate) use collect::{remove_collected, remove_forgotten};
use pod::PodDir;
use step::{Context as _, StepError, warn};

/// The program's exit code when a supervisor lives and there is nothing to
/// collect.
pub const EXIT_ALIVE: u8 = 3;
/// So much of an event is read.
const LONGEST_EVENT: u64 = 4 << 20;
const USAGE: &str = "usage: caisson-shim run POD-DIRECTORY (by a launcher, on standard input) | \
                     caisson-shim collect POD-DIRECTORY";

/// The program `caisson-shim` with these arguments; its exit code. Needs a
/// process with a single thread.
#[must_use]
pub fn main(args: impl Iterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.collect();
    let as_shim = |program: &OsString| {
        let name = Path::new(program).file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("containerd-shim-")
    };
    let result = match args.as_slice() {
        [program, command, _] if command == "run" => run(Path::new(program)),
        [program, command, dir] if command == "collect" => collect_in(program, dir.into()),
        [program, command] if command == "describe" => describe(Path::new(program)),
        [_, rest @ ..] if rest.iter().any(|arg| arg == "publish") => publish(),
        [program, rest @ ..] if as_shim(program) => for_containerd(program, rest),
        _ => Err(StepError::new("read the arguments", USAGE)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            warn(&error);
            1
        }
    }
}

/// The command is called `run` for [`caisson_sys::protect`], which knows it.
fn run(program: &Path) -> Result<u8, StepError> {
    // The container's processes are copies of this one for a moment: none may
    // be a way to the program's file.
    caisson_sys::protect::protect()
        .map_err(|error| StepError::new("protect the program's own file", error))?;
    let received = startup::detach()?;
    Ok(startup::serve(received, program))
}

/// What containerd wants the program for.
fn for_containerd(program: &OsString, args: &[OsString]) -> Result<u8, StepError> {
    let step = || "serve containerd";
    // By path: it is started again.
    let own = std::env::current_exe().unwrap_or_else(|_| program.into());
    let own = match Path::new(program).is_absolute() {
        true => PathBuf::from(program),
        false => own,
    };
    let said = crate::containerd::command::run(&own, program, args).context(step)?;
    let mut out = std::io::stdout();
    out.write_all(&said).and_then(|()| out.flush()).context(step)?;
    Ok(0)
}

/// Says what the engine of a pod with this configuration is.
fn describe(program: &Path) -> Result<u8, StepError> {
    let step = || "describe an engine";
    let asked = std::io::Read::take(std::io::stdin(), LONGEST_EVENT);
    let config = serde_json::from_reader(asked).context(step)?;
    let engine = engine::Engine::open(&config, program)?;
    let features = Some(engine.isolator().features());
    let description = crate::Description {
        version: engine.isolator().version(),
        // Every engine that answers names the versions that it knows.
        features: features.filter(|features| !features.oci_version_max.is_empty()),
    };
    let said = serde_json::to_vec(&description).context(step)?;
    let mut out = std::io::stdout();
    out.write_all(&said).and_then(|()| out.flush()).context(step)?;
    Ok(0)
}

/// What a foreign shim calls us for when it has no socket to tell of an event:
/// it is taken, and found out otherwise.
fn publish() -> Result<u8, StepError> {
    let event = std::io::Read::take(std::io::stdin(), LONGEST_EVENT);
    std::io::copy(&mut { event }, &mut std::io::sink()).context(|| "read the event")?;
    Ok(0)
}

fn collect_in(program: &OsString, dir: PathBuf) -> Result<u8, StepError> {
    let dir = PodDir::open(dir)?;
    let config = dir.config()?;
    let engine = engine::Engine::open(&config, Path::new(program))?;
    let collected = collect::collect(&dir, &engine)?;
    Ok(if collected { 0 } else { EXIT_ALIVE })
}
