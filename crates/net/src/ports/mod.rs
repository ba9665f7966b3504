//! Publishing ports of a pod on the host.

pub mod holder;
pub mod mapping;
pub mod reservation;
