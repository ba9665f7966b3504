//! `caisson system df`: what takes how much space.

use caisson_image::StoreUsage;
use caisson_node::Engine;
use caisson_node::lifecycle::{ContainerView, Status};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::listing::{Column, ListArgs};
use crate::output::sizes;

/// Show how much space images and volumes take, and how many containers there are
#[derive(Debug, clap::Args)]
#[command(after_help = "Columns: type, total, active, size, reclaimable\n\
                        Reclaimable is what `caisson image prune --all` and \
                        `caisson volume prune --all` would free.")]
pub(crate) struct DiskUsage {
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Serialize)]
struct Row {
    r#type: &'static str,
    total: usize,
    active: Option<usize>,
    size: Option<u64>,
    reclaimable: Option<u64>,
}

const COLUMNS: [Column<Row>; 5] = [
    Column::new("type", "TYPE", |row, _| row.r#type.to_owned()),
    Column::<Row>::new("total", "TOTAL", |row, _| row.total.to_string()).number(),
    Column::<Row>::new("active", "ACTIVE", |row, _| {
        row.active.map_or_else(|| "-".to_owned(), |count| count.to_string())
    })
    .number(),
    Column::<Row>::new("size", "SIZE", |row, _| {
        row.size.map_or_else(|| "-".to_owned(), sizes::human)
    })
    .number(),
    Column::<Row>::new("reclaimable", "RECLAIMABLE", |row, _| {
        row.reclaimable.map_or_else(|| "-".to_owned(), sizes::human)
    })
    .number(),
];

impl DiskUsage {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let engine = context.engine()?;
        let mut rows = rows(&engine.store()?.usage()?);
        let views = engine.containers()?;
        let runs = |view: &&ContainerView| !matches!(view.status, Status::Created | Status::Exited);
        rows.push(Row {
            r#type: "Containers",
            total: views.len(),
            active: Some(views.iter().filter(runs).count()),
            size: None,
            reclaimable: None,
        });
        rows.push(volumes(&engine)?);
        self.list.print(&COLUMNS, &rows, |row, _| row.r#type.to_owned())
    }
}

fn volumes(engine: &Engine) -> Result<Row, Failure> {
    let volumes = engine.volumes()?;
    let (mut size, mut reclaimable) = (0, 0);
    for volume in &volumes {
        // One that is removed at this moment takes nothing.
        let bytes = engine.volume_size(&volume.record.name).unwrap_or_default();
        size += bytes;
        reclaimable += if volume.containers.is_empty() { bytes } else { 0 };
    }
    Ok(Row {
        r#type: "Volumes",
        total: volumes.len(),
        active: Some(volumes.iter().filter(|volume| !volume.containers.is_empty()).count()),
        size: Some(size),
        reclaimable: Some(reclaimable),
    })
}

fn rows(usage: &StoreUsage) -> Vec<Row> {
    let part = |r#type, total, size| Row {
        r#type,
        total,
        active: None,
        size: Some(size),
        reclaimable: None,
    };
    vec![
        Row {
            r#type: "Images",
            total: usage.images,
            active: Some(usage.images_in_use),
            size: Some(usage.total()),
            reclaimable: Some(usage.reclaimable),
        },
        part("  blobs", usage.blobs, usage.blob_bytes),
        part("  unpacked layers", usage.snapshots, usage.snapshot_bytes),
    ]
}
