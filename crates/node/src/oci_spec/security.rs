//! What is hidden, filtered and labelled.

use std::path::Path;

use caisson_runtime_spec::{CapabilitySet, Seccomp};
use caisson_seccomp::docker_default;

use super::seccomp_profile::{self, ProfileError};
use crate::request::{SeccompChoice, SecurityRequest};

/// Docker's list of what can't be read.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Docker's list of what can't be written.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Paths that can't be read, and paths that can't be written.
pub(super) fn hidden_paths(security: &SecurityRequest) -> (Vec<String>, Vec<String>) {
    if security.privileged || security.unmask {
        return (Vec::new(), Vec::new());
    }
    let strings = |list: &[&str]| list.iter().map(|path| (*path).to_owned()).collect();
    (strings(&MASKED), strings(&READ_ONLY))
}

/// The filter of system calls.
pub(super) fn seccomp(
    security: &SecurityRequest,
    bounding: &CapabilitySet,
) -> Result<Option<Seccomp>, ProfileError> {
    match &security.seccomp {
        SeccompChoice::Unconfined => Ok(None),
        SeccompChoice::Profile(text) => seccomp_profile::resolve(text, bounding).map(Some),
        SeccompChoice::Default if security.privileged => Ok(None),
        SeccompChoice::Default => Ok(Some(docker_default(bounding))),
    }
}

/// The AppArmor profile: only one that is asked for, and only where the host
/// has AppArmor, as docker does.
pub(super) fn apparmor(security: &SecurityRequest) -> Option<String> {
    let profile = security.apparmor.as_deref().filter(|profile| *profile != "unconfined")?;
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|text| text.starts_with('Y')).then(|| profile.to_owned())
}

/// SELinux labels of the process and of its mounts, where the host has SELinux.
pub(super) fn selinux(security: &SecurityRequest) -> Option<(String, String)> {
    let off = security.privileged || security.labels.iter().any(|label| label == "disable");
    if off || !Path::new("/sys/fs/selinux/enforce").exists() {
        return None;
    }
    let part = |name: &str, default: &str| {
        let own = security.labels.iter().rev().find_map(|label| label.strip_prefix(name));
        own.and_then(|rest| rest.strip_prefix([':', '='])).unwrap_or(default).to_owned()
    };
    let (user, role, level) =
        (part("user", "system_u"), part("role", "system_r"), part("level", "s0"));
    let kind = part("type", "container_t");
    let files = part("filetype", "container_file_t");
    Some((format!("{user}:{role}:{kind}:{level}"), format!("{user}:object_r:{files}:{level}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileged_containers_are_neither_hidden_from_nor_filtered() {
        let caps = CapabilitySet::default();
        let mut security = SecurityRequest::default();
        assert_eq!(hidden_paths(&security).0.len(), MASKED.len());
        assert!(seccomp(&security, &caps).unwrap().is_some());
        security.seccomp = SeccompChoice::Unconfined;
        assert!(seccomp(&security, &caps).unwrap().is_none());
        security = SecurityRequest { privileged: true, ..SecurityRequest::default() };
        assert!(hidden_paths(&security).0.is_empty() && hidden_paths(&security).1.is_empty());
        assert!(seccomp(&security, &caps).unwrap().is_none());
        security.seccomp = SeccompChoice::Profile("nonsense".to_owned());
        assert!(seccomp(&security, &caps).is_err());
    }
}
