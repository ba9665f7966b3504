//! `caisson stats`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use caisson_node::Engine;
use caisson_node::identity::short;
use caisson_node::lifecycle::{ContainerView, Status};
use caisson_node::stats::Sample;
use rustix::stdio::stdout;
use rustix::termios::isatty;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::listing::{Column, ListArgs, Show};
use crate::output::sizes;

/// Show what containers use
#[derive(Debug, clap::Args)]
#[command(after_help = "Columns: id, name, cpu, memory, memory-percent, net, block, pids")]
pub(crate) struct Stats {
    /// Show it once
    #[arg(long)]
    no_stream: bool,
    /// Those that do not run, too
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    list: ListArgs,
    /// Names or ids; all that run otherwise
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    name: String,
    cpu_percent: f64,
    memory_percent: f64,
    #[serde(flatten)]
    sample: Option<Sample>,
}

const COLUMNS: [Column<Row>; 8] = [
    Column::<Row>::new("id", "CONTAINER ID", id),
    Column::<Row>::new("name", "NAME", |row, _| row.name.clone()),
    Column::<Row>::new("cpu", "CPU %", |row, _| format!("{:.2}%", row.cpu_percent)).number(),
    Column::<Row>::new("memory", "MEM USAGE / LIMIT", |row, _| {
        pair(row, |sample| (sample.memory, sample.memory_limit))
    }),
    Column::<Row>::new("memory-percent", "MEM %", |row, _| format!("{:.2}%", row.memory_percent))
        .number(),
    Column::<Row>::new("net", "NET I/O", |row, _| {
        pair(row, |sample| (sample.received, sample.sent))
    }),
    Column::<Row>::new("block", "BLOCK I/O", |row, _| {
        pair(row, |sample| (sample.read, sample.written))
    }),
    Column::<Row>::new("pids", "PIDS", |row, _| {
        row.sample.as_ref().map_or_else(|| "--".to_owned(), |sample| sample.tasks.to_string())
    })
    .number(),
];

/// Between two looks.
const STREAM: Duration = Duration::from_secs(1);
/// The same, where one answer is wanted.
const ONCE: Duration = Duration::from_millis(250);

impl Stats {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        let live = isatty(stdout()) && !self.no_stream;
        let mut before = self.samples(&engine, true)?;
        loop {
            std::thread::sleep(if self.no_stream { ONCE } else { STREAM });
            let now = self.samples(&engine, false)?;
            let rows: Vec<Row> = now
                .iter()
                .map(|(id, (name, sample))| {
                    let earlier = before.get(id).and_then(|(_, sample)| sample.as_ref());
                    row(id, name, sample.as_ref(), earlier)
                })
                .collect();
            if live {
                // Home, and clear what is below.
                output::text("\x1b[H\x1b[J")?;
            }
            self.list.print(&COLUMNS, &rows, id)?;
            if self.no_stream {
                return Ok(ExitCode::SUCCESS);
            }
            before = now;
        }
    }

    /// By id, so that the order stays.
    fn samples(
        &self,
        engine: &Engine,
        strict: bool,
    ) -> Result<BTreeMap<String, (String, Option<Sample>)>, Failure> {
        let up = |view: &ContainerView| {
            matches!(view.status, Status::Running | Status::Paused | Status::Restarting)
        };
        let mut views = Vec::new();
        if self.containers.is_empty() {
            views.extend(engine.containers()?.into_iter().filter(|view| self.all || up(view)));
        } else {
            for name in &self.containers {
                match engine.container(name) {
                    Ok(view) => views.push(view),
                    // One that was there may go while we look.
                    Err(_) if !strict => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let mut samples = BTreeMap::new();
        for view in views {
            let sample = if up(&view) {
                match engine.sample(&view) {
                    Ok(sample) => Some(sample),
                    Err(error) if Engine::has_ended(&error) => None,
                    Err(error) => return Err(error.into()),
                }
            } else {
                None
            };
            samples.insert(view.record.id, (view.record.name, sample));
        }
        Ok(samples)
    }
}

fn row(id: &str, name: &str, sample: Option<&Sample>, earlier: Option<&Sample>) -> Row {
    Row {
        id: id.to_owned(),
        name: name.to_owned(),
        cpu_percent: match (sample, earlier) {
            (Some(now), Some(before)) => now.cpu_percent(before),
            _ => 0.0,
        },
        memory_percent: sample.map_or(0.0, Sample::memory_percent),
        sample: sample.cloned(),
    }
}

fn id(row: &Row, show: Show) -> String {
    if show.full { row.id.clone() } else { short(&row.id).to_owned() }
}

fn pair(row: &Row, of: fn(&Sample) -> (u64, u64)) -> String {
    row.sample.as_ref().map_or_else(
        || "-- / --".to_owned(),
        |sample| {
            let (first, second) = of(sample);
            format!("{} / {}", sizes::human(first), sizes::human(second))
        },
    )
}
