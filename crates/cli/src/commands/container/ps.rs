//! `caisson ps`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caisson_node::clock;
use caisson_node::identity::short;
use caisson_node::lifecycle::{ContainerView, Status};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::filters::{FilterArgs, Filters};
use crate::output::listing::{Column, ListArgs, Show};
use crate::output::times;

/// List containers
#[derive(Debug, clap::Args)]
#[command(after_help = "Filters: id=ID, name=TEXT, label=KEY[=VALUE], status=STATUS, \
    ancestor=IMAGE, volume=NAME, exited=CODE\n\
    Columns: id, image, command, created, status, ports, names, runtime, pid, labels, mounts, \
    networks, created-at, state")]
pub(crate) struct Ps {
    /// Those that do not run, too
    #[arg(short, long)]
    all: bool,
    /// The N newest, whatever they do
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// The newest, whatever it does
    #[arg(short, long)]
    latest: bool,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// A container.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    image: String,
    command: Vec<String>,
    created: String,
    state: &'static str,
    status: String,
    ports: Vec<String>,
    names: String,
    runtime: String,
    pid: i32,
    exit_code: Option<u8>,
    labels: BTreeMap<String, String>,
    mounts: Vec<String>,
    networks: String,
    #[serde(skip)]
    created_at: SystemTime,
}

const COLUMNS: [Column<Row>; 14] = [
    Column::<Row>::new("id", "CONTAINER ID", id),
    Column::<Row>::new("image", "IMAGE", |row, _| row.image.clone()),
    Column::<Row>::new("command", "COMMAND", command),
    Column::<Row>::new("created", "CREATED", |row, show| times::ago(row.created_at, show.now)),
    Column::<Row>::new("status", "STATUS", |row, _| row.status.clone()),
    Column::<Row>::new("ports", "PORTS", |row, _| row.ports.join(", ")),
    Column::<Row>::new("names", "NAMES", |row, _| row.names.clone()),
    Column::<Row>::new("runtime", "RUNTIME", |row, _| row.runtime.clone()).on_request(),
    Column::<Row>::new("pid", "PID", |row, _| row.pid.to_string()).on_request(),
    Column::<Row>::new("labels", "LABELS", |row, _| labels(row)).on_request(),
    Column::<Row>::new("mounts", "MOUNTS", |row, _| row.mounts.join(",")).on_request(),
    Column::<Row>::new("networks", "NETWORKS", |row, _| row.networks.clone()).on_request(),
    Column::<Row>::new("created-at", "CREATED AT", |row, _| row.created.clone()).on_request(),
    Column::<Row>::new("state", "STATE", |row, _| row.state.to_owned()).on_request(),
];

impl Ps {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let keys = ["id", "name", "label", "status", "ancestor", "volume", "exited"];
        let filters = self.filter.parse(&keys)?;
        let engine = context.engine()?;
        let now = SystemTime::now();
        let asked =
            filters.values("status").next().is_some() || filters.values("exited").next().is_some();
        let last = if self.latest { Some(1) } else { self.last };
        let every = self.all || asked || last.is_some();
        let mut rows: Vec<Row> = engine
            .containers()?
            .iter()
            .filter(|view| every || is_up(view.status))
            .filter(|view| matches(view, &filters))
            .map(|view| row(view, now))
            .collect();
        rows.truncate(last.unwrap_or(usize::MAX));
        self.list.print(&COLUMNS, &rows, id)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn is_up(status: Status) -> bool {
    matches!(status, Status::Running | Status::Paused | Status::Restarting)
}

fn matches(view: &ContainerView, filters: &Filters) -> bool {
    let record = &view.record;
    let request = &record.document.request;
    let image = |wanted: &str| {
        request.image == wanted
            || request.image.split(':').next() == Some(wanted)
            || record.document.image.hex().starts_with(wanted)
    };
    filters.any("id", |wanted| record.id.starts_with(wanted))
        && filters.any("name", |wanted| record.name.contains(wanted))
        && filters.any("status", |wanted| view.status.as_str() == wanted)
        && filters.any("ancestor", image)
        && filters.any("volume", |wanted| {
            record
                .document
                .mounts
                .iter()
                .any(|mount| mount.volume.as_deref() == Some(wanted) || mount.destination == wanted)
        })
        && filters.any("exited", |wanted| {
            view.status == Status::Exited && wanted.parse() == Ok(record.outcome.exit_code)
        })
        && filters.labels(&record.document.program.labels)
}

fn row(view: &ContainerView, now: SystemTime) -> Row {
    let record = &view.record;
    let network = record.outcome.network.as_ref();
    let up = is_up(view.status);
    Row {
        id: record.id.clone(),
        image: record.document.request.image.clone(),
        command: record.document.program.args.clone(),
        created: clock::rfc3339(record.created),
        state: view.status.as_str(),
        status: status(view, now),
        ports: network
            .filter(|_| up)
            .map(|network| network.ports.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        names: record.name.clone(),
        runtime: record.document.handler.clone(),
        pid: view.live.as_ref().and_then(|live| live.pid).unwrap_or(0),
        exit_code: (view.status == Status::Exited).then_some(record.outcome.exit_code),
        labels: record.document.program.labels.clone(),
        mounts: record
            .document
            .mounts
            .iter()
            .map(|mount| mount.volume.clone().unwrap_or_else(|| mount.source.clone()))
            .collect(),
        networks: record
            .document
            .request
            .network
            .mode
            .clone()
            .unwrap_or_else(|| "bridge".to_owned()),
        created_at: at(record.created),
    }
}

fn at(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// As docker says it: `Up 3 minutes`, `Exited (0) 2 hours ago`.
fn status(view: &ContainerView, now: SystemTime) -> String {
    let outcome = &view.record.outcome;
    let started = view.live.as_ref().and_then(|live| live.started_at).or(outcome.started);
    let up = || {
        let span = started.and_then(|started| now.duration_since(at(started)).ok());
        times::rough(span.unwrap_or_default())
    };
    match view.status {
        Status::Created => "Created".to_owned(),
        Status::Running => format!("Up {}", up()),
        Status::Paused => format!("Up {} (Paused)", up()),
        Status::Restarting => format!("Restarting ({})", outcome.exit_code),
        Status::Exited => {
            let ended = outcome.finished.map(|finished| times::ago(at(finished), now));
            format!("Exited ({}) {}", outcome.exit_code, ended.unwrap_or_default())
                .trim_end()
                .to_owned()
        }
    }
}

fn id(row: &Row, show: Show) -> String {
    if show.full { row.id.clone() } else { short(&row.id).to_owned() }
}

fn command(row: &Row, show: Show) -> String {
    let text = row.command.join(" ");
    if show.full || text.chars().count() <= 20 {
        return format!("\"{text}\"");
    }
    let start: String = text.chars().take(19).collect();
    format!("\"{start}…\"")
}

fn labels(row: &Row) -> String {
    row.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
