//! `caisson logs`.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use caisson_node::clock;
use caisson_node::logs::{LogLine, LogOptions};
use rustix::stdio::{stderr, stdout};

use super::pump::write_all;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::times;

/// Show what a container has written
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Show what it writes, until it ends
    #[arg(short, long)]
    follow: bool,
    /// Only what it wrote since then: a moment, or a span such as 10m
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// Only what it wrote until then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<u64>,
    /// Only so many of the last lines; `all` for all
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all", value_parser = lines)]
    tail: Lines,
    /// Show when it was written
    #[arg(short, long)]
    timestamps: bool,
    /// Name or id
    container: String,
}

/// How many lines.
#[derive(Clone, Copy, Debug)]
struct Lines(Option<usize>);

fn lines(text: &str) -> Result<Lines, String> {
    match text {
        "all" | "-1" => Ok(Lines(None)),
        _ => {
            text.parse().map(|count| Lines(Some(count))).map_err(|_| "a number, or all".to_owned())
        }
    }
}

/// A moment or a span before now, as nanoseconds since 1970.
pub(super) fn moment(text: &str) -> Result<u64, String> {
    let moment = times::moment(text, SystemTime::now()).ok_or(
        "a moment such as 2026-11-26T12:00:00Z, seconds since 1970, or a span such as 10m",
    )?;
    let span = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(span.as_nanos()).map_err(|error| error.to_string())
}

impl Logs {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        let options = LogOptions {
            follow: self.follow,
            since: self.since,
            until: self.until,
            tail: self.tail.0,
        };
        let mut failed = None;
        // Gathered, so that many short lines are not many writes.
        let mut pending: (bool, Vec<u8>) = (false, Vec::new());
        let follow = self.follow;
        engine.logs(&self.container, options, &mut |line| {
            let result = self.show(&mut pending, &line, follow);
            match result {
                Ok(()) => ControlFlow::Continue(()),
                Err(failure) => {
                    failed = Some(failure);
                    ControlFlow::Break(())
                }
            }
        })?;
        flush(&mut pending)?;
        failed.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    fn show(
        &self,
        pending: &mut (bool, Vec<u8>),
        line: &LogLine,
        at_once: bool,
    ) -> Result<(), Failure> {
        if pending.0 != line.stderr || pending.1.len() > 32 * 1024 {
            flush(pending)?;
            pending.0 = line.stderr;
        }
        if self.timestamps {
            pending.1.extend(clock::rfc3339(line.time).bytes());
            pending.1.push(b' ');
        }
        pending.1.extend(line.text.bytes());
        if at_once { flush(pending) } else { Ok(()) }
    }
}

fn flush(pending: &mut (bool, Vec<u8>)) -> Result<(), Failure> {
    let to = if pending.0 { stderr() } else { stdout() };
    let result = write_all(to, &pending.1);
    pending.1.clear();
    result
}
