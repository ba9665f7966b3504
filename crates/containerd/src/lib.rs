//! containerd's protocol of shims, for both of its sides: what our supervisor
//! answers when containerd runs it, and what it asks when a shim that somebody
//! else made runs its containers.
//!
//! Messages are encoded by hand: what is needed of protocol buffers is little,
//! and a supervisor's memory is small. What comes from the other side is capped
//! in length and never trusted.

pub mod client;
pub mod info;
pub mod metrics;
pub mod options;
pub mod protobuf;
pub mod start;
pub mod task;
pub mod ttrpc;
