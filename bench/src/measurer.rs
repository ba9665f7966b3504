//! The measuring process: one small process per sample.
//!
//! It runs commands one after the other and says what each took. Being a
//! process of its own makes `getrusage(RUSAGE_CHILDREN)` exact per sample,
//! peak memory included, and being a subreaper it also reaps a container's
//! init, so that CPU time spent behind a detached `create` is counted.
//!
//! Command line: `__measure` then commands separated by `::`. The command
//! `@reap` waits for one orphan instead of running anything. Standard output:
//! one line `wall_ns cpu_us ok` per command, then `rss KIB`.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{WaitOptions, set_child_subreaper, wait};

/// The hidden sub-command.
pub(crate) const NAME: &str = "__measure";
/// Separates commands.
pub(crate) const SEPARATOR: &str = "::";
/// Stands for waiting for an orphan.
pub(crate) const REAP: &str = "@reap";

/// CPU microseconds and peak KiB of all children reaped so far.
fn children() -> (i64, i64) {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or((0, 0), |usage| {
        let micros = |t: nix::sys::time::TimeVal| t.tv_sec() * 1_000_000 + t.tv_usec();
        (micros(usage.user_time()) + micros(usage.system_time()), usage.max_rss())
    })
}

fn step(command: &[OsString]) -> bool {
    let Some((program, arguments)) = command.split_first() else {
        return false;
    };
    if program == REAP {
        return matches!(wait(WaitOptions::empty()), Ok(Some((_, status))) if status.exit_status() == Some(0));
    }
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs the commands of the command line.
pub(crate) fn main() -> ExitCode {
    if set_child_subreaper(Some(rustix::process::getpid())).is_err() {
        return ExitCode::from(2);
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(2).collect();
    let mut report = String::new();
    for command in arguments.split(|a| a == SEPARATOR) {
        let (cpu_before, _) = children();
        let began = Instant::now();
        let ok = step(command);
        let wall = began.elapsed().as_nanos();
        let (cpu, _) = children();
        report.push_str(&format!("{wall} {} {ok}\n", cpu - cpu_before));
    }
    report.push_str(&format!("rss {}\n", children().1));
    match std::io::stdout().write_all(report.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}
