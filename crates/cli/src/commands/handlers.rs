//! `caisson handlers`.

use caisson_node::handlers::{Handler, HandlerKind, Handlers};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::listing::{Column, ListArgs};

/// List what `--runtime` and a RuntimeClass can name
#[derive(Debug, clap::Args)]
#[command(after_help = "Columns: name, kind, engine, default, usable, problem")]
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
    default: bool,
    /// Whether this build and machine can run it.
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

const COLUMNS: [Column<Row>; 6] = [
    Column::<Row>::new("name", "NAME", |row, _| row.name.clone()),
    Column::<Row>::new("kind", "KIND", |row, _| row.kind.to_owned()),
    Column::<Row>::new("engine", "ENGINE", |row, _| row.engine.clone()),
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
        let handlers = Handlers::new(&context.settings)
            .map_err(|error| Failure::new(format!("settings: {error}")))?;
        let default = handlers.get(None).map(|handler| handler.name).unwrap_or_default();
        let rows: Vec<_> = handlers.iter().map(|handler| row(&handler, &default)).collect();
        self.list.print(&COLUMNS, &rows, |row, _| row.name.clone())
    }
}

fn row(handler: &Handler, default: &str) -> Row {
    let (kind, engine) = match &handler.kind {
        HandlerKind::Isolator(kind) => ("isolator", kind.as_str().to_owned()),
        HandlerKind::Oci(runtime) => ("oci", runtime.path.to_string_lossy().into_owned()),
        HandlerKind::Shim(shim) => ("shim", shim.kind.clone()),
    };
    let problem = handler.isolator().err().map(|error| error.to_string());
    Row {
        name: handler.name.clone(),
        kind,
        engine,
        default: handler.name == default,
        usable: problem.is_none(),
        problem,
    }
}
