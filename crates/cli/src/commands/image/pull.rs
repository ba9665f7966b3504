//! `caisson pull`, and the pull of `caisson run` and its kin.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use caisson_image::{
    FindImageError, ImageRecord, Platform, PullPolicy, PullRequest, Reference, Store, pull,
};

use crate::context::Context;
use crate::failure::{self, Failure};
use crate::output::{self, sizes};
use crate::progress::Progress;
use crate::registry_args::RegistryArgs;

/// Fetch images from a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "A name without a registry is one of docker.io, one without a tag means \
                        `latest`.\nPrints the ids of the images.")]
pub(crate) struct Pull {
    /// Names, such as `busybox`, `localhost:5000/web:1.2` or `busybox@sha256:…`
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// For another platform than this machine's, such as `linux/arm64`
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// When to ask the registry
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = When::Always)]
    policy: When,
    /// Which images are accepted, as in containers-policy.json(5)
    #[arg(long, value_name = "FILE")]
    signature_policy: Option<PathBuf>,
    /// Only print the ids
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// When a registry is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum When {
    /// Each time; only what is not here is fetched
    Always,
    /// If the image is not here
    #[default]
    Missing,
    /// Each time, but the image that is here will do if there is no answer
    Newer,
    /// Never
    Never,
}

/// How images are fetched.
#[derive(Debug, Default)]
pub(crate) struct Fetch<'a> {
    /// For which platform, if not for this machine.
    pub(crate) platform: Option<&'a Platform>,
    /// When the registry is asked.
    pub(crate) when: When,
    /// In place of the policy of the settings.
    pub(crate) signature_policy: Option<PathBuf>,
    /// No progress.
    pub(crate) quiet: bool,
    /// How to talk to the registry.
    pub(crate) registry: RegistryArgs,
}

impl Pull {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.store()?;
        let fetch = Fetch {
            platform: self.platform.as_ref(),
            when: self.policy,
            signature_policy: self.signature_policy.clone(),
            quiet: self.quiet,
            registry: self.registry.clone(),
        };
        failure::each(&self.images, |name| {
            let image = fetch.image(context, &store, name)?;
            output::text(&format!("{}\n", image.id))
        })
    }
}

impl Fetch<'_> {
    /// Sees to it that the image `name` is in `store`, and shows progress on
    /// standard error meanwhile.
    pub(crate) fn image(
        &self,
        context: &Context,
        store: &Store,
        name: &str,
    ) -> Result<ImageRecord, Failure> {
        let reference: Reference = name.parse()?;
        let request = PullRequest {
            platform: self.platform.cloned(),
            when: self.when.into(),
            policy: context.signature_policy(self.signature_policy.as_deref())?.map(Arc::new),
            ..PullRequest::new(reference.clone())
        };
        let client = self.registry.client(context)?;
        let progress = Progress::new(context, self.quiet);
        let began = Instant::now();
        let image = match pull(store, &client, &request, &progress) {
            Ok(image) => image,
            Err(error) => {
                // Below the bars, not between them.
                drop(progress);
                return Err(with_near(error.into(), store, name));
            }
        };
        if progress.worked() {
            context.note_image(store, "pull", &image.id, Some(reference.familiar()));
            progress.end(&format!(
                "{}: {} in {:.1} s",
                reference.familiar(),
                sizes::human(image.size),
                began.elapsed().as_secs_f64()
            ));
        }
        Ok(image)
    }
}

/// A name that is mistyped is often one of an image that is here.
fn with_near(failure: Failure, store: &Store, name: &str) -> Failure {
    match store.find(name) {
        Err(FindImageError::NotFound { near, .. }) if !near.is_empty() => {
            failure.hint(format!("did you mean {}, which is here?", near.join(", ")))
        }
        _ => failure,
    }
}

impl From<When> for PullPolicy {
    fn from(when: When) -> Self {
        match when {
            When::Always => Self::Always,
            When::Missing => Self::Missing,
            When::Newer => Self::Newer,
            When::Never => Self::Never,
        }
    }
}
