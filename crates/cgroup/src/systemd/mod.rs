//! The systemd driver: cgroups made by systemd, asked over D-Bus.
//!
//! The D-Bus client is our own: four methods and one signal of one peer, with a
//! handful of types, need a few hundred lines; the crates for it bring an async
//! runtime (zbus) or a second system call crate and macros (rustbus).

pub(crate) mod bus;
mod device_allow;
mod manager;
pub(crate) mod property;
mod resource_properties;
pub(crate) mod slice;
mod start;
#[cfg(test)]
mod tests;
pub(crate) mod unit;
pub(crate) mod value;
pub(crate) mod wire;
