//! Images: from a registry or an archive to a root file system, verified.

pub mod archive;
mod buffers;
pub mod content;
mod descriptor;
mod digest;
mod gc;
mod install;
pub mod layer_writer;
mod layers;
mod locked_file;
pub mod manifest;
mod meta;
mod platform;
pub mod policy;
mod progress;
mod pull;
mod push;
mod reference;
pub mod registry;
mod rootfs_image;
mod snapshot;
mod store;
mod timestamp;
pub mod unpack;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, InvalidDigest};
pub use gc::{Problem, PruneFilter, PruneReport, StoreUsage, VerifyReport};
pub use install::InstallError;
pub use layers::LayerError;
pub use locked_file::StoreIoError;
pub use meta::{ImageRecord, MetaError, SnapshotFormat, use_write_ahead_log};
pub use platform::{InvalidPlatform, Platform};
pub use policy::{LocalImage, Policy, PolicyError};
pub use progress::{LayerState, NoProgress, ProgressEvent, ProgressSink};
pub use pull::{PullError, PullPolicy, PullRequest, pull};
pub use push::{PushError, push};
pub use reference::{
    DEFAULT_REGISTRY, DEFAULT_TAG, InvalidReference, MAX_REPOSITORY, MAX_TAG, Reference,
};
pub use registry::{RegistryClient, RegistryError, RegistrySettings};
pub use rootfs_image::{BuildError, BuildRequest, build_from_rootfs};
pub use snapshot::chain_ids;
pub use store::{
    FindImageError, Lease, QuotaPolicy, RemoveImageError, RemovedImage, RootfsLayers, Store,
    StoreError, StoreSettings,
};
