//! ImageService: images of the store, for a kubelet.

mod auth;
mod flight;
mod parts;
mod pinned;
mod pull;
mod service;
mod view;

pub(crate) use parts::{Parts, parts};
pub(crate) use pull::Pulls;
pub(crate) use service::Images;
