//! `linux.netDevices`: moving network devices into the container.

use std::collections::BTreeMap;

use caisson_runtime_spec::NetDevice;

use crate::step::StepError;

/// Moves every device into the network namespace of `pid`, renamed if asked.
pub(crate) fn move_all(devices: &BTreeMap<String, NetDevice>, pid: i32) -> Result<(), StepError> {
    let _ = pid;
    match devices.keys().next() {
        None => Ok(()),
        Some(name) => Err(StepError::new(format!("move network device {name:?}"), "not yet")),
    }
}
