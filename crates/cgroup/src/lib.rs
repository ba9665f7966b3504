//! cgroups of a container: v1, hybrid and v2, through the file system or systemd.
//!
//! [`Cgroup::create`] makes a cgroup with its limits in force, before any process
//! is in it. A child that was cloned for the container then puts itself in with
//! a [`Joiner`]. [`Cgroup::state`] and [`Cgroup::open`] carry it across
//! invocations of the runtime.
//!
//! Behaviour follows runc's where clients can tell the difference.

mod apply;
mod cgroup;
mod config;
mod controllers;
mod create;
mod delete;
mod devices;
mod dir;
mod enter;
mod error;
mod freeze;
mod join;
mod kill;
mod layout;
mod member;
mod mountinfo;
mod oom;
mod plan;
mod procs;
mod requested;
pub mod resctrl;
mod state;
pub mod stats;
mod systemd;
mod update;
mod v1;
mod v2;

pub use caisson_runtime_spec::Resources;
pub use cgroup::Cgroup;
pub use config::{CgroupConfig, Driver, PathError};
pub use controllers::Controllers;
pub use create::CreateError;
pub use delete::{DeleteError, remove_unused};
pub use enter::EnterError;
pub use error::{FileError, LimitError};
pub use freeze::FreezeError;
pub use join::{AttachError, JoinError, Joiner};
pub use kill::KillError;
pub use layout::{Hierarchy, Layout, LayoutError, LayoutKind};
pub use member::MemberError;
pub use oom::{OomError, OomEvent, OomEvents};
pub use plan::CgroupPlan;
pub use state::{CgroupState, HierarchyState, OpenError};
pub use systemd::bus::BusError;
pub use systemd::property::{AnnotationError, UnitProperty};
pub use systemd::slice::SliceError;
pub use systemd::unit::{UnitError, UnitState};
pub use systemd::value::Value as PropertyValue;
pub use systemd::wire::WireError;
pub use update::UpdateError;
pub use v2::convert::cpu_weight;
