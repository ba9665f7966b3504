//! `caisson handlers`.

use std::path::PathBuf;

use caisson_node::engine::Engine;
use caisson_node::handlers::{Description, Handler, HandlerKind};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::listing::{Column, ListArgs};
use crate::output::sizes;

/// List what `--runtime` and a RuntimeClass can name
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Columns: name, kind, engine, version, features, overhead, path, default, usable,\n\
problem. The overhead is what a pod costs beside its containers, measured on those\n\
that run now."
)]
pub(crate) struct List {
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    /// `isolator`, `oci` or `shim`, as in the settings.
    kind: &'static str,
    /// The isolator, the program or the type.
    engine: String,
    /// What the engine says that it is; absent if it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// What it can do of what not all can; absent if it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<Vec<&'static str>>,
    /// Bytes that a pod costs beside its containers; absent if none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    overhead: Option<u64>,
    /// The program that somebody else made.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    default: bool,
    /// Whether this build and machine can run it.
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

const COLUMNS: [Column<Row>; 10] = [
    Column::<Row>::new("name", "NAME", |row, _| row.name.clone()),
    Column::<Row>::new("kind", "KIND", |row, _| row.kind.to_owned()),
    Column::<Row>::new("engine", "ENGINE", |row, _| row.engine.clone()),
    Column::<Row>::new("version", "VERSION", |row, _| row.version.clone().unwrap_or_default()),
    Column::<Row>::new("features", "FEATURES", |row, _| {
        row.features.as_ref().map(|all| all.join(",")).unwrap_or_default()
    })
    .on_request(),
    Column::<Row>::new("overhead", "OVERHEAD", |row, _| {
        row.overhead.map(sizes::human).unwrap_or_default()
    }),
    Column::<Row>::new("path", "PATH", |row, _| {
        row.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    })
    .on_request(),
    Column::<Row>::new("default", "DEFAULT", |row, _| yes(row.default)),
    Column::<Row>::new("usable", "USABLE", |row, _| yes(row.usable)),
    Column::<Row>::new("problem", "PROBLEM", |row, _| row.problem.clone().unwrap_or_default())
        .on_request(),
];

fn yes(it: bool) -> String {
    if it { "yes" } else { "no" }.to_owned()
}

impl List {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let engine = context.engine()?;
        let handlers = engine.handlers();
        let default = handlers.get(None).map(|handler| handler.name).unwrap_or_default();
        let rows: Vec<_> =
            handlers.iter().map(|handler| row(&engine, &handler, &default)).collect();
        self.list.print(&COLUMNS, &rows, |row, _| row.name.clone())
    }
}

fn row(node: &Engine, handler: &Handler, default: &str) -> Row {
    let (kind, engine) = match &handler.kind {
        HandlerKind::Isolator(kind) => ("isolator", kind.as_str().to_owned()),
        HandlerKind::Oci(runtime) => ("oci", runtime.path.to_string_lossy().into_owned()),
        HandlerKind::Shim(shim) => ("shim", shim.kind.clone()),
    };
    let problem = handler.isolator().err().map(|error| error.to_string());
    let description = problem.is_none().then(|| node.describe(handler));
    Row {
        name: handler.name.clone(),
        kind,
        engine,
        version: description.as_ref().and_then(|it| it.version.clone()),
        features: description.filter(|it| it.features.is_some()).map(|it| features(&it)),
        overhead: node.measured_overhead(handler),
        path: handler.program().ok().flatten(),
        default: handler.name == default,
        usable: problem.is_none(),
        problem,
    }
}

fn features(description: &Description) -> Vec<&'static str> {
    let all = [
        (description.seccomp(), "seccomp"),
        (description.user_namespaces(), "user-namespaces"),
        (description.recursive_read_only_mounts(), "recursive-read-only-mounts"),
    ];
    all.into_iter().filter(|(can, _)| *can).map(|(_, name)| name).collect()
}
