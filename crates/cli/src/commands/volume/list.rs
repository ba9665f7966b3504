//! `caisson volume ls`.

use std::collections::BTreeMap;

use caisson_node::clock;
use caisson_node::volumes::VolumeView;
use serde::Serialize;

use super::inspect::DRIVER;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::filters::{FilterArgs, Filters};
use crate::output::listing::{Column, ListArgs};

/// List volumes
#[derive(Debug, clap::Args)]
#[command(after_help = "Filters: name=TEXT, label=KEY[=VALUE], dangling=true|false (whether no \
                        container uses it), driver=local\n\
                        Columns: driver, name, mountpoint, created, anonymous, containers, labels")]
pub(crate) struct List {
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    driver: &'static str,
    mountpoint: String,
    created: String,
    anonymous: bool,
    containers: Vec<String>,
    labels: BTreeMap<String, String>,
}

const COLUMNS: [Column<Row>; 7] = [
    Column::<Row>::new("driver", "DRIVER", |row, _| row.driver.to_owned()),
    Column::<Row>::new("name", "VOLUME NAME", |row, _| row.name.clone()),
    Column::<Row>::new("mountpoint", "MOUNTPOINT", |row, _| row.mountpoint.clone()).on_request(),
    Column::<Row>::new("created", "CREATED", |row, _| row.created.clone()).on_request(),
    Column::<Row>::new("anonymous", "ANONYMOUS", |row, _| row.anonymous.to_string()).on_request(),
    Column::<Row>::new("containers", "CONTAINERS", |row, _| row.containers.join(",")).on_request(),
    Column::<Row>::new("labels", "LABELS", |row, _| {
        let labels = row.labels.iter().map(|(name, value)| format!("{name}={value}"));
        labels.collect::<Vec<_>>().join(",")
    })
    .on_request(),
];

impl List {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let filters = self.filter.parse(&["name", "label", "dangling", "driver"])?;
        if let Some(other) = filters.values("dangling").find(|v| !matches!(*v, "true" | "false")) {
            return Err(Failure::usage(format!("--filter dangling={other}: true or false")));
        }
        let volumes = context.engine()?.volumes()?;
        let rows: Vec<_> = volumes.iter().filter(|it| matches(it, &filters)).map(row).collect();
        self.list.print(&COLUMNS, &rows, |row, _| row.name.clone())
    }
}

fn matches(volume: &VolumeView, filters: &Filters) -> bool {
    let dangling = if volume.containers.is_empty() { "true" } else { "false" };
    filters.any("name", |wanted| volume.record.name.contains(wanted))
        && filters.any("driver", |wanted| wanted == DRIVER)
        && filters.any("dangling", |wanted| wanted == dangling)
        && filters.labels(&volume.record.labels)
}

fn row(volume: &VolumeView) -> Row {
    Row {
        name: volume.record.name.clone(),
        driver: DRIVER,
        mountpoint: volume.path.to_string_lossy().into_owned(),
        created: clock::rfc3339(volume.record.created),
        anonymous: volume.record.anonymous,
        containers: volume.containers.clone(),
        labels: volume.record.labels.clone(),
    }
}
