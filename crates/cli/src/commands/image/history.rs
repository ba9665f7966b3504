//! `caisson history`: how an image came about.

use caisson_image::ImageRecord;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::listing::{Column, ListArgs, Show};
use crate::output::{sizes, times};

/// How much of a command is shown.
const COMMAND_WIDTH: usize = 45;

/// Show the steps that made an image, the last one first
#[derive(Debug, clap::Args)]
#[command(after_help = "Columns: created, created-by, size, comment, layer, created-at\n\
                        Sizes are those of the compressed layers.")]
pub(crate) struct History {
    /// Name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    list: ListArgs,
}

/// One step.
#[derive(Debug, Serialize)]
struct Row {
    created: Option<String>,
    created_by: String,
    size: u64,
    comment: String,
    /// The blob that the step made, unless it made none.
    layer: Option<String>,
}

const COLUMNS: [Column<Row>; 6] = [
    Column::<Row>::new("created", "CREATED", |row, show| {
        let moment = row.created.as_deref().and_then(|text| times::moment(text, show.now));
        moment.map_or_else(|| "N/A".to_owned(), |then| times::ago(then, show.now))
    }),
    Column::<Row>::new("created-by", "CREATED BY", |row, show| {
        let line = row.created_by.split_whitespace().collect::<Vec<_>>().join(" ");
        if show.full || line.chars().count() <= COMMAND_WIDTH {
            return line;
        }
        format!("{}…", line.chars().take(COMMAND_WIDTH - 1).collect::<String>())
    }),
    Column::<Row>::new("size", "SIZE", |row, _| sizes::human(row.size)).number(),
    Column::<Row>::new("comment", "COMMENT", |row, _| row.comment.clone()),
    Column::<Row>::new("layer", "LAYER", layer).on_request(),
    Column::<Row>::new("created-at", "CREATED AT", |row, _| {
        row.created.clone().unwrap_or_default()
    })
    .on_request(),
];

fn layer(row: &Row, show: Show) -> String {
    let digest = row.layer.as_deref().unwrap_or("<none>");
    if show.full { digest.to_owned() } else { super::short(digest) }
}

impl History {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let image = context.store()?.find(&self.image)?;
        self.list.print(&COLUMNS, &rows(&image), layer)
    }
}

/// The steps, the last first. An image whose history does not account for all
/// its layers has the others as steps of their own.
fn rows(image: &ImageRecord) -> Vec<Row> {
    let mut layers = image.layers.iter();
    let mut rows: Vec<Row> = Vec::new();
    for step in &image.config.history {
        let layer = if step.empty_layer { None } else { layers.next() };
        rows.push(Row {
            created: step.created.clone(),
            created_by: step.created_by.clone().unwrap_or_default(),
            size: layer.map_or(0, |layer| layer.size),
            comment: step.comment.clone().unwrap_or_default(),
            layer: layer.map(|layer| layer.digest.to_string()),
        });
    }
    rows.extend(layers.map(|layer| Row {
        created: image.created.map(times::rfc3339),
        created_by: String::new(),
        size: layer.size,
        comment: String::new(),
        layer: Some(layer.digest.to_string()),
    }));
    rows.reverse();
    rows
}
