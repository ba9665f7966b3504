//! The systemd driver: cgroups made by systemd, asked over D-Bus.

pub(crate) mod slice;
pub(crate) mod unit;
