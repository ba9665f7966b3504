//! Capabilities, filters, labels, and what is hidden.

use caisson_runtime_spec::{Capabilities, CapabilitySet, Seccomp};
use caisson_seccomp::docker_default;

use crate::oci_spec::{available, bounding_set, resolve_profile};
use crate::pods::PodError;
use crate::pods::request::{CapabilityRequest, ContainerSecurity, ProfileChoice, SelinuxLabel};
use crate::request::SecurityRequest;

/// Longest seccomp profile that is read, bytes.
const PROFILE_LIMIT: u64 = 4 << 20;

/// The capabilities of a container whose process has this uid.
pub(super) fn capabilities(
    security: &ContainerSecurity,
    uid: u32,
) -> Result<Capabilities, PodError> {
    let CapabilityRequest { add, drop, add_ambient } = &security.capabilities;
    let asked = |privileged: bool, add: &[String], drop: &[String]| {
        let request = SecurityRequest {
            privileged,
            cap_add: add.to_vec(),
            cap_drop: drop.to_vec(),
            ..SecurityRequest::default()
        };
        bounding_set(&request, &available())
            .map_err(|error| PodError::invalid("security_context.capabilities", error.to_string()))
    };
    let ambient = match add_ambient.is_empty() {
        true => CapabilitySet::default(),
        false => asked(false, add_ambient, &["ALL".to_owned()])?,
    };
    let mut bounding = asked(security.privileged, add, drop)?;
    bounding = bounding.iter().chain(ambient.iter()).collect();
    // Others than root keep over exec only what is ambient.
    let own = if uid == 0 { bounding.clone() } else { ambient.clone() };
    Ok(Capabilities {
        bounding,
        effective: own.clone(),
        permitted: own,
        inheritable: ambient.clone(),
        ambient,
    })
}

/// The filter of system calls.
pub(super) fn seccomp(
    security: &ContainerSecurity,
    bounding: &CapabilitySet,
) -> Result<Option<Seccomp>, PodError> {
    if security.privileged {
        return Ok(None);
    }
    match &security.seccomp {
        None | Some(ProfileChoice::Unconfined) => Ok(None),
        Some(ProfileChoice::RuntimeDefault) => Ok(Some(docker_default(bounding))),
        Some(ProfileChoice::Localhost(path)) => {
            let path = path.strip_prefix("localhost/").unwrap_or(path);
            let invalid = |reason: String| {
                PodError::invalid("security_context.seccomp", format!("profile {path}: {reason}"))
            };
            let length = std::fs::metadata(path).map_err(|e| invalid(e.to_string()))?.len();
            if length > PROFILE_LIMIT {
                return Err(invalid("it is longer than 4 MiB".to_owned()));
            }
            let text = std::fs::read_to_string(path).map_err(|e| invalid(e.to_string()))?;
            resolve_profile(&text, bounding).map(Some).map_err(|e| invalid(e.to_string()))
        }
    }
}

/// The AppArmor profile. One that is asked for by name is refused where the
/// kernel has no AppArmor; the default one is for kernels that do.
pub(super) fn apparmor(security: &ContainerSecurity) -> Result<Option<String>, PodError> {
    match &security.apparmor {
        None | Some(ProfileChoice::Unconfined | ProfileChoice::RuntimeDefault) => Ok(None),
        Some(ProfileChoice::Localhost(name)) => {
            let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
            if enabled.is_ok_and(|text| text.starts_with('Y')) {
                return Ok(Some(name.strip_prefix("localhost/").unwrap_or(name).to_owned()));
            }
            let what = format!("AppArmor profile {name:?}: this kernel runs without AppArmor");
            Err(PodError::Unsupported(what))
        }
    }
}

/// SELinux labels of the process and of its mounts, where the host has SELinux.
/// Elsewhere they say nothing, as everybody has it.
pub(super) fn selinux(security: &ContainerSecurity) -> Option<(String, String)> {
    labels(security, std::path::Path::new("/sys/fs/selinux/enforce").exists())
}

fn labels(security: &ContainerSecurity, enabled: bool) -> Option<(String, String)> {
    let label: &SelinuxLabel = security.selinux.as_ref()?;
    if *label == SelinuxLabel::default() || !enabled {
        return None;
    }
    let part = |own: &str, default: &str| {
        if own.is_empty() { default.to_owned() } else { own.to_owned() }
    };
    let user = part(&label.user, "system_u");
    let role = part(&label.role, "system_r");
    let kind = part(&label.kind, "container_t");
    let level = part(&label.level, "s0");
    Some((
        format!("{user}:{role}:{kind}:{level}"),
        format!("{user}:object_r:container_file_t:{level}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_runtime_spec::Capability;

    #[test]
    fn ambient_capabilities_are_everywhere() {
        let mut security = ContainerSecurity::default();
        security.capabilities.add_ambient = vec!["NET_BIND_SERVICE".to_owned()];
        security.capabilities.drop = vec!["ALL".to_owned()];
        let made = capabilities(&security, 1000).unwrap();
        let only: CapabilitySet = [Capability::NetBindService].into_iter().collect();
        for set in [made.ambient, made.inheritable, made.permitted, made.effective, made.bounding] {
            assert_eq!(set, only);
        }
        security.capabilities.add = vec!["NOPE".to_owned()];
        assert!(capabilities(&security, 0).is_err());
    }

    #[test]
    fn labels_are_for_hosts_that_know_them() {
        let with = |label: SelinuxLabel| ContainerSecurity {
            selinux: Some(label),
            ..ContainerSecurity::default()
        };
        let level = with(SelinuxLabel { level: "s0:c1,c2".to_owned(), ..SelinuxLabel::default() });
        let (process, files) = labels(&level, true).unwrap();
        assert_eq!(process, "system_u:system_r:container_t:s0:c1,c2");
        assert_eq!(files, "system_u:object_r:container_file_t:s0:c1,c2");
        let own = with(SelinuxLabel {
            user: "u".to_owned(),
            role: "r".to_owned(),
            kind: "spc_t".to_owned(),
            level: "s1".to_owned(),
        });
        assert_eq!(labels(&own, true).unwrap().0, "u:r:spc_t:s1");
        assert_eq!(labels(&level, false), None);
        assert_eq!(labels(&with(SelinuxLabel::default()), true), None);
        assert_eq!(labels(&ContainerSecurity::default(), true), None);
    }

    #[test]
    fn filters() {
        let caps = CapabilitySet::default();
        let mut security = ContainerSecurity::default();
        assert!(seccomp(&security, &caps).unwrap().is_none());
        security.seccomp = Some(ProfileChoice::RuntimeDefault);
        assert!(seccomp(&security, &caps).unwrap().is_some());
        security.privileged = true;
        assert!(seccomp(&security, &caps).unwrap().is_none());
        security.privileged = false;
        security.seccomp = Some(ProfileChoice::Localhost("/no/such/profile.json".to_owned()));
        assert!(seccomp(&security, &caps).is_err());
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("p.json");
        std::fs::write(&path, r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
        let choice = ProfileChoice::Localhost(format!("localhost/{}", path.display()));
        security.seccomp = Some(choice);
        assert!(seccomp(&security, &caps).unwrap().is_some());
    }
}
