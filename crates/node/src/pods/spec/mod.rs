//! The OCI configuration of a pod's container.
//!
//! What an image says chooses program, variables, user and directory inside,
//! never a path, device or handler of the host.

mod annotations;
mod build;
mod cdi;
mod cdi_edits;
mod cdi_file;
mod confinement;
mod devices;
mod identity;
mod image_volume;
mod mounts;
mod program;
mod resources;

pub(super) use build::{SpecInput, build, init_spec};
pub(super) use image_volume::{Volume, volume};
pub(super) use program::stop_signal;
pub(super) use resources::{merge, resources};
