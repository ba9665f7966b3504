//! A container's transient unit.

use super::bus::BusError;
use super::device_allow;
use super::manager::Manager;
use super::property::UnitProperty;
use super::resource_properties::{self, ResourceProperties};
use super::value::Value;
use crate::config::{CgroupConfig, UnitPath};
use crate::error::LimitError;
use caisson_runtime_spec::Resources;
use serde::{Deserialize, Serialize};

/// Why systemd could not make, change or remove the cgroup.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// Not possible, as with runc.
    #[error("cannot use rootless systemd cgroups manager on cgroup v1")]
    RootlessLegacy,
    /// The host was not booted with systemd.
    #[error("systemd not running on this host, cannot use systemd cgroups manager: {0}")]
    NotRunning(BusError),
    /// systemd refused, or did not answer.
    #[error("systemd unit {unit}: {source}")]
    Bus {
        /// The unit.
        unit: String,
        /// Why.
        source: BusError,
    },
    /// The unit's job ended otherwise than with `done`.
    #[error("error creating systemd unit `{unit}`: got `{result}`")]
    Job {
        /// The unit.
        unit: String,
        /// `failed`, `canceled`, `timeout`, `dependency` …
        result: String,
    },
    /// A limit has no meaning for systemd.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// A unit, as kept in the container's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// Name: `prefix-name.scope`, or `name.slice`.
    pub name: String,
    /// Slice that holds it.
    pub slice: String,
    /// Path of the cgroup below the mount point.
    pub path: String,
    /// Whether the user's own systemd made it.
    #[serde(default)]
    pub user: bool,
}

/// A unit of the system's or the user's systemd.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    state: UnitState,
    /// Address of the bus, where it is not the usual one.
    pub(super) address: Option<String>,
}

impl From<UnitState> for Unit {
    fn from(state: UnitState) -> Unit {
        Unit { state, address: None }
    }
}

impl Unit {
    /// Works out the cgroup's path. A user's systemd has a cgroup of its own, in
    /// which slices lie; only it can tell.
    pub(crate) fn plan(path: UnitPath, config: &CgroupConfig<'_>) -> Result<Unit, UnitError> {
        Unit::plan_at(path, config, None)
    }

    pub(super) fn plan_at(
        path: UnitPath,
        config: &CgroupConfig<'_>,
        address: Option<String>,
    ) -> Result<Unit, UnitError> {
        let state = UnitState {
            path: String::new(),
            name: path.unit,
            slice: path.slice,
            user: config.rootless,
        };
        let mut unit = Unit { state, address };
        let mut parts = vec![path.slice_path.as_str(), unit.state.name.as_str()];
        let own;
        if config.rootless {
            let mut manager = unit.connect()?;
            let failed = |source| UnitError::Bus { unit: unit.state.name.clone(), source };
            own = manager.text_property("ControlGroup").map_err(failed)?;
            parts.insert(0, own.trim_matches('/'));
        }
        parts.retain(|part| !part.is_empty());
        unit.state.path = parts.join("/");
        Ok(unit)
    }

    pub(crate) fn state(&self) -> UnitState {
        self.state.clone()
    }

    pub(crate) fn is_user(&self) -> bool {
        self.state.user
    }

    pub(crate) fn cgroup_path(&self) -> String {
        self.state.path.clone()
    }

    fn connect(&self) -> Result<Manager, UnitError> {
        Manager::connect(self.address.as_deref(), self.state.user).map_err(|source| {
            let booted = rustix::fs::access("/run/systemd/system", rustix::fs::Access::EXISTS);
            if booted.is_ok() || self.address.is_some() {
                UnitError::Bus { unit: self.state.name.clone(), source }
            } else {
                UnitError::NotRunning(source)
            }
        })
    }

    fn failed(&self, source: BusError) -> UnitError {
        UnitError::Bus { unit: self.state.name.clone(), source }
    }

    /// Starts the unit with a process in it. Returns the limits as they are to
    /// be written to the files: systemd rounds the CPU quota.
    pub(crate) fn start(
        &self,
        pid: u32,
        resources: &Resources,
        unified: bool,
        extra: &[UnitProperty],
    ) -> Result<Resources, UnitError> {
        let mut manager = self.connect()?;
        let version = manager.version();
        let mut properties = self.base_properties(pid, unified);
        properties.extend_from_slice(extra);
        if unified {
            properties.extend(resource_properties::oom_policy(resources, version));
        }
        properties.extend(device_allow::properties(&resources.devices, version)?);
        let limits = resource_properties::properties(resources, unified, version)?;
        let adjusted = adjust(resources, &limits);
        properties.extend(limits.list);
        let name = &self.state.name;
        let result = match manager.start_transient_unit(name, &properties) {
            Err(BusError::Method { name: error, .. }) if error.ends_with(".UnitExists") => {
                // Perhaps one that failed and was not collected yet.
                let _ = manager.reset_failed_unit(name);
                manager.start_transient_unit(name, &properties)
            }
            other => other,
        };
        match result {
            Ok(result) if result == "done" => Ok(adjusted),
            Ok(result) => {
                let _ = manager.reset_failed_unit(name);
                Err(UnitError::Job { unit: name.clone(), result })
            }
            Err(error) => {
                let _ = manager.reset_failed_unit(name);
                Err(self.failed(error))
            }
        }
    }

    fn base_properties(&self, pid: u32, unified: bool) -> Vec<UnitProperty> {
        let property = UnitProperty::new;
        let text = |value: &str| Value::Str(value.to_owned());
        let description = format!("caisson container {}", self.state.name);
        let mut list = vec![property("Description", text(&description))];
        if self.state.name.ends_with(".slice") {
            // A slice's parent follows from its name; this makes it exist.
            list.push(property("Wants", Value::Strings(vec![self.state.slice.clone()])));
        } else {
            list.push(property("Slice", text(&self.state.slice)));
            list.push(property("Delegate", Value::Bool(true)));
        }
        list.push(property("PIDs", Value::U32s(vec![pid])));
        let io = if unified { "IOAccounting" } else { "BlockIOAccounting" };
        for name in ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"] {
            list.push(property(name, Value::Bool(true)));
        }
        list.push(property("DefaultDependencies", Value::Bool(false)));
        list
    }

    /// Changes limits; returns them as in [`Unit::start`].
    pub(crate) fn update(
        &self,
        resources: &Resources,
        unified: bool,
    ) -> Result<Resources, UnitError> {
        let mut manager = self.connect()?;
        let version = manager.version();
        let limits = resource_properties::properties(resources, unified, version)?;
        let adjusted = adjust(resources, &limits);
        if !limits.list.is_empty() {
            manager
                .set_unit_properties(&self.state.name, &limits.list)
                .map_err(|error| self.failed(error))?;
        }
        Ok(adjusted)
    }

    /// Moves a process into the unit. A user can't do that by writing to
    /// `cgroup.procs` if the process comes from another unit.
    pub(crate) fn attach(&self, sub: &str, pid: u32) -> Result<(), UnitError> {
        let sub = format!("/{sub}");
        self.connect()?
            .attach_process(&self.state.name, &sub, pid)
            .map_err(|error| self.failed(error))
    }

    /// Stops the unit and clears a failed state, without which systemd would
    /// keep it. A unit that is gone is no error.
    pub(crate) fn stop(&self) -> Result<(), UnitError> {
        let mut manager = self.connect()?;
        let stopped = manager.stop_unit(&self.state.name);
        let _ = manager.reset_failed_unit(&self.state.name);
        match stopped {
            Ok(_) | Err(BusError::Method { .. }) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }
}

fn adjust(resources: &Resources, limits: &ResourceProperties) -> Resources {
    let mut adjusted = resources.clone();
    if let (Some(cpu), Some(quota)) = (&mut adjusted.cpu, limits.quota) {
        cpu.quota = Some(quota);
    }
    adjusted
}
