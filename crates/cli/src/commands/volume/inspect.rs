//! What `inspect` shows of a volume, in the members that docker's users know.

use caisson_node::clock;
use caisson_node::volumes::VolumeView;
use serde_json::{Value, json};

use crate::commands::inspect::InspectFormat;
use crate::context::Context;
use crate::failure::Failure;

/// The only driver: directories of this machine.
pub(super) const DRIVER: &str = "local";

/// Show everything that is known about volumes, as JSON
#[derive(Debug, clap::Args)]
pub(crate) struct InspectVolume {
    /// Names
    #[arg(value_name = "VOLUME", required = true)]
    volumes: Vec<String>,
    #[command(flatten)]
    format: InspectFormat,
}

impl InspectVolume {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let engine = context.engine()?;
        self.format.print(&self.volumes, |name| Ok(describe(&engine.volume(name)?)))
    }
}

/// The JSON form.
pub(crate) fn describe(volume: &VolumeView) -> Value {
    json!({
        "Name": volume.record.name,
        "Driver": DRIVER,
        "Scope": "local",
        "Mountpoint": volume.path.to_string_lossy(),
        "CreatedAt": clock::rfc3339(volume.record.created),
        "Labels": volume.record.labels,
        "Options": {},
        "Anonymous": volume.record.anonymous,
        "Containers": volume.containers,
    })
}
