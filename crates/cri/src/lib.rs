//! CRI v1 over gRPC. Translates between the contract and the engine, and decides
//! nothing itself.

mod blocking;
mod call;
pub mod client;
mod config;
pub mod contract;
pub mod error;
mod images;
pub mod log;
pub mod metrics;
mod runtime;
pub mod serve;
mod show;
mod streams;
mod trace;
mod translate;
pub mod v1;

pub use config::InvalidConfig;
pub use serve::{ServeError, ServeOptions, serve};
