//! From the contract's requests to the engine's. What the contract can say and
//! the engine has no word for is refused here, by the field's name; everything
//! else is the engine's to check.

mod container;
mod pod;
mod resources;
mod security;
mod signal;

pub(crate) use container::container;
pub(crate) use pod::{container_filter, pod, pod_filter, stats_filter};
pub(crate) use resources::resources;
pub(crate) use signal::to_signal;

use tonic::Status;

/// A number that must be one of an enumeration's.
fn choice<E: TryFrom<i32>>(field: &str, value: i32) -> Result<E, Status> {
    E::try_from(value).map_err(|_| refused(field, format!("{value} means nothing")))
}

fn refused(field: &str, reason: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {reason}"))
}

/// Nothing of Windows' is for this node.
fn no_windows<T>(field: &str, part: Option<&T>) -> Result<(), Status> {
    match part {
        Some(_) => Err(refused(field, "this is a Linux node")),
        None => Ok(()),
    }
}
