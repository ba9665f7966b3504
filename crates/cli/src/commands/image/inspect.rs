//! What `inspect` shows of an image, in the members that docker's users know.

use caisson_image::manifest::ContainerConfig;
use caisson_image::{Descriptor, FindImageError, ImageRecord, Platform, Reference, Store};
use serde::Serialize;
use serde_json::Value;

use crate::commands::inspect::InspectFormat;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::times;

/// Show everything that is known about images, as JSON
#[derive(Debug, clap::Args)]
pub(crate) struct InspectImage {
    /// Names or ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// The one for this platform, such as `linux/arm64`
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    #[command(flatten)]
    format: InspectFormat,
}

/// The JSON form.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Image<'a> {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    created: Option<&'a str>,
    author: &'a str,
    architecture: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    os: &'a str,
    size: u64,
    config: &'a ContainerConfig,
    #[serde(rename = "RootFS")]
    root_fs: RootFs,
    manifest: &'a Descriptor,
    layers: &'a [Descriptor],
    chain_ids: Vec<String>,
    containers: &'a [String],
    pulled: String,
    last_used: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    r#type: &'static str,
    layers: Vec<String>,
}

impl InspectImage {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.store()?;
        self.format.print(&self.images, |name| match store.find_for(name, self.platform.as_ref()) {
            Ok(image) => describe(&image),
            Err(error) => Err(error.into()),
        })
    }
}

/// The image that `name` means, if there is one.
pub(crate) fn find(store: &Store, name: &str) -> Result<Option<Value>, Failure> {
    match store.find(name) {
        Ok(image) => describe(&image).map(Some),
        Err(FindImageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn describe(image: &ImageRecord) -> Result<Value, Failure> {
    let texts =
        |digests: &[caisson_image::Digest]| digests.iter().map(ToString::to_string).collect();
    Ok(serde_json::to_value(Image {
        id: image.id.to_string(),
        repo_tags: image.names.iter().map(Reference::familiar).collect(),
        repo_digests: image.digests.iter().map(Reference::familiar).collect(),
        created: image.config.created.as_deref(),
        author: image.config.author.as_deref().unwrap_or_default(),
        architecture: &image.config.architecture,
        variant: image.config.variant.as_deref(),
        os: &image.config.os,
        size: image.size,
        config: &image.config.config,
        root_fs: RootFs { r#type: "layers", layers: texts(&image.config.rootfs.diff_ids) },
        manifest: &image.manifest,
        layers: &image.layers,
        chain_ids: texts(&image.chain),
        containers: &image.containers,
        pulled: times::rfc3339(image.pulled),
        last_used: times::rfc3339(image.used),
    })?)
}
