//! Options of `run` and `create`.

mod health;
mod limits;
mod network;
mod process;
mod security;
mod storage;

pub(crate) use limits::ResourceOptions;

use std::io::Write as _;
use std::path::PathBuf;

use caisson_image::{FindImageError, ImageRecord, Platform};
use caisson_node::Engine;
use caisson_node::request::ContainerRequest;

use crate::context::Context;
use crate::failure::Failure;

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum PullWhen {
    /// If it is not here
    #[default]
    Missing,
    /// If the registry has a newer one
    #[value(alias = "newer")]
    Always,
    /// Never
    Never,
}

/// What a new container is to be.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct CreateOptions {
    /// Name; a made-up one otherwise
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Remove it when it has ended
    #[arg(long)]
    rm: bool,
    /// Write its id to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
    /// When to pull the image
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pull: PullWhen,
    /// Platform of the image, such as `linux/arm64`
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Handler that runs it, such as `native`
    #[arg(long, value_name = "HANDLER")]
    runtime: Option<String>,
    /// Be quiet about pulling
    #[arg(short, long)]
    quiet: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    process: process::ProcessOptions,
    #[command(flatten)]
    network: network::NetworkOptions,
    #[command(flatten)]
    storage: storage::StorageOptions,
    #[command(flatten)]
    limits: limits::LimitOptions,
    #[command(flatten)]
    security: security::SecurityOptions,
    #[command(flatten)]
    health: health::HealthOptions,
    /// Name or id of the image; program and arguments, in place of the image's
    // One list: whatever stands behind the image's name is the container's.
    #[arg(value_names = ["IMAGE", "COMMAND"], required = true, num_args = 1.., trailing_var_arg = true)]
    words: Vec<String>,
}

impl CreateOptions {
    fn image_name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// What is asked of the engine.
    pub(super) fn request(&self) -> Result<ContainerRequest, Failure> {
        self.health.check()?;
        let mut request = ContainerRequest {
            name: self.name.clone(),
            image: self.image_name().to_owned(),
            command: self.words.iter().skip(1).cloned().collect(),
            auto_remove: self.rm,
            handler: self.runtime.clone(),
            platform: self.platform.as_ref().map(ToString::to_string),
            ..ContainerRequest::default()
        };
        self.process.apply(&mut request)?;
        self.network.apply(&mut request);
        self.storage.apply(&mut request)?;
        self.limits.apply(&mut request);
        self.security.apply(&mut request)?;
        if let Some(file) = &self.cidfile
            && file.exists()
        {
            let message = format!("--cidfile {}: the file exists", file.display());
            return Err(Failure::usage(message).hint("remove it, or name another"));
        }
        Ok(request)
    }

    /// The image, pulled if need be.
    pub(super) fn image(&self, context: &Context, engine: &Engine) -> Result<ImageRecord, Failure> {
        let store = engine.store().map_err(Failure::of_engine)?;
        if self.pull != PullWhen::Always {
            match store.find_for(self.image_name(), self.platform.as_ref()) {
                Ok(image) => return Ok(image),
                Err(
                    error
                    @ (FindImageError::NotFound { .. } | FindImageError::OtherPlatform { .. }),
                ) => {
                    if self.pull == PullWhen::Never {
                        return Err(Failure::of_engine(error));
                    }
                }
                Err(error) => return Err(Failure::of_engine(error)),
            }
        }
        let always = self.pull == PullWhen::Always;
        super::pulling::pull(
            context,
            store,
            self.image_name(),
            self.platform.as_ref(),
            always,
            self.quiet,
        )
        .map_err(|failure| failure.with_code(crate::failure::code::USAGE))
    }

    /// Writes the id where `--cidfile` says.
    pub(super) fn write_cidfile(&self, id: &str) -> Result<(), Failure> {
        let Some(path) = &self.cidfile else {
            return Ok(());
        };
        let written =
            std::fs::File::create_new(path).and_then(|mut file| file.write_all(id.as_bytes()));
        written.map_err(|error| Failure::usage(format!("--cidfile {}: {error}", path.display())))
    }
}
