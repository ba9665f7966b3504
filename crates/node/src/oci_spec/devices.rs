//! Devices of the host that the request names.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use caisson_runtime_spec::{Device, DeviceCgroup, DeviceKind, DeviceRuleKind, Mount};

use crate::request::{ContainerRequest, DeviceRequest, OptionError, parse_device_rule};

/// Folders of `/dev` that are the container's own, and not for it to see.
const NOT_FOR_CONTAINERS: [&str; 7] = ["pts", "shm", "mqueue", "fd", ".lxc", ".udev", "console"];

/// Deepest folder of devices.
const MAX_DEPTH: u32 = 8;

/// Why a device can't be given.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// It can't be looked at.
    #[error("cannot use device {path}: {source}")]
    Inspect {
        /// Its path on the host.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{0} is no device, and no folder of devices")]
    NoDevice(PathBuf),
    /// A rule makes no sense.
    #[error("device rule {0}")]
    Rule(#[from] OptionError),
}

/// Nodes to make and rules to set.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    pub(crate) nodes: Vec<Device>,
    pub(crate) rules: Vec<DeviceCgroup>,
    /// In place of nodes that only root can make: the host's own.
    pub(crate) binds: Vec<Mount>,
    rootless: bool,
}

/// All that `request` asks for; everything for a privileged container.
/// `rootless` is who can't make nodes; the engine then binds the host's device
/// of the same name, so that another name takes a mount of its own.
pub(crate) fn devices(request: &ContainerRequest, rootless: bool) -> Result<Devices, DeviceError> {
    let mut devices = Devices { rootless, ..Devices::default() };
    if request.security.privileged {
        devices.rules.push(rule(true, None, None, None, "rwm"));
        let all = DeviceRequest {
            host: "/dev".to_owned(),
            container: "/dev".to_owned(),
            access: "rwm".to_owned(),
        };
        folder(&all, 0, true, &mut devices)?;
        // Everything is allowed already.
        devices.rules.truncate(1);
    } else {
        devices.rules.push(rule(false, None, None, None, "rwm"));
    }
    for wanted in &request.devices {
        let path = Path::new(&wanted.host);
        let fail = |source| DeviceError::Inspect { path: path.to_owned(), source };
        let kind = std::fs::metadata(path).map_err(fail)?;
        if kind.is_dir() {
            folder(wanted, 0, false, &mut devices)?;
        } else if !one(wanted, &kind, &mut devices) {
            return Err(DeviceError::NoDevice(path.to_owned()));
        }
    }
    for text in &request.device_cgroup_rules {
        devices.rules.push(parse_device_rule(text)?);
    }
    Ok(devices)
}

fn rule(
    allow: bool,
    kind: Option<DeviceRuleKind>,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> DeviceCgroup {
    DeviceCgroup { allow, kind, major, minor, access: Some(access.to_owned()) }
}

/// Adds the node of one device; false if it is none.
fn one(wanted: &DeviceRequest, metadata: &std::fs::Metadata, devices: &mut Devices) -> bool {
    let (kind, rule_kind) = if metadata.file_type().is_char_device() {
        (DeviceKind::Char, DeviceRuleKind::Char)
    } else if metadata.file_type().is_block_device() {
        (DeviceKind::Block, DeviceRuleKind::Block)
    } else {
        return false;
    };
    let major = i64::from(rustix::fs::major(metadata.rdev()));
    let minor = i64::from(rustix::fs::minor(metadata.rdev()));
    devices.rules.push(rule(true, Some(rule_kind), Some(major), Some(minor), &wanted.access));
    if devices.rootless && wanted.host != wanted.container {
        devices.binds.push(Mount {
            destination: wanted.container.clone(),
            kind: Some("bind".to_owned()),
            source: Some(wanted.host.clone()),
            options: ["bind", "nosuid", "noexec", "private"].map(str::to_owned).to_vec(),
            ..Mount::default()
        });
        return true;
    }
    devices.nodes.push(Device {
        path: wanted.container.clone(),
        kind,
        major,
        minor,
        file_mode: Some(metadata.mode() & 0o7777),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
    });
    true
}

fn folder(
    wanted: &DeviceRequest,
    depth: u32,
    system: bool,
    devices: &mut Devices,
) -> Result<(), DeviceError> {
    let path = PathBuf::from(&wanted.host);
    let fail = |source| DeviceError::Inspect { path: path.clone(), source };
    for entry in std::fs::read_dir(&path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            continue;
        };
        if depth == 0 && system && NOT_FOR_CONTAINERS.contains(&name) {
            continue;
        }
        let inner = DeviceRequest {
            host: format!("{}/{name}", wanted.host),
            container: format!("{}/{name}", wanted.container),
            access: wanted.access.clone(),
        };
        // Links are not followed: /dev holds some that lead out of it. What
        // vanishes meanwhile is not there.
        let Ok(metadata) = std::fs::symlink_metadata(&inner.host) else {
            continue;
        };
        if metadata.is_dir() && depth < MAX_DEPTH {
            folder(&inner, depth + 1, system, devices)?;
        } else {
            one(&inner, &metadata, devices);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_but_what_is_named() {
        let none = devices(&ContainerRequest::default(), false).unwrap();
        assert!(none.nodes.is_empty());
        assert_eq!(none.rules, [rule(false, None, None, None, "rwm")]);
        let request = ContainerRequest {
            devices: vec!["/dev/null:/dev/x:r".parse().unwrap()],
            device_cgroup_rules: vec!["c 7:* rw".to_owned()],
            ..ContainerRequest::default()
        };
        let some = devices(&request, false).unwrap();
        assert_eq!((some.nodes[0].path.as_str(), some.nodes[0].minor), ("/dev/x", 3));
        assert_eq!(some.rules.len(), 3);
        assert_eq!(some.rules[1].access.as_deref(), Some("r"));
        for bad in ["/etc/passwd", "/dev/no-such-device"] {
            let request = ContainerRequest {
                devices: vec![bad.parse().unwrap()],
                ..ContainerRequest::default()
            };
            assert!(devices(&request, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn privileged_gets_all() {
        let mut request = ContainerRequest::default();
        request.security.privileged = true;
        let all = devices(&request, false).unwrap();
        assert_eq!(all.rules, [rule(true, None, None, None, "rwm")]);
        assert!(all.nodes.iter().any(|node| node.path == "/dev/null"));
        assert!(!all.nodes.iter().any(|node| node.path.starts_with("/dev/pts/")));
    }

    #[test]
    fn without_root_another_name_is_a_mount() {
        let request = ContainerRequest {
            devices: vec![
                DeviceRequest {
                    host: "/dev/full".to_owned(),
                    container: "/dev/mine".to_owned(),
                    access: "rwm".to_owned(),
                },
                DeviceRequest {
                    host: "/dev/zero".to_owned(),
                    container: "/dev/zero".to_owned(),
                    access: "rwm".to_owned(),
                },
            ],
            ..ContainerRequest::default()
        };
        let paths = |devices: &Devices| -> Vec<String> {
            devices.nodes.iter().map(|node| node.path.clone()).collect()
        };
        let plain = devices(&request, false).unwrap();
        assert_eq!(paths(&plain), ["/dev/mine", "/dev/zero"]);
        assert!(plain.binds.is_empty());
        let rootless = devices(&request, true).unwrap();
        assert_eq!(paths(&rootless), ["/dev/zero"]);
        let bind = &rootless.binds[0];
        assert_eq!((bind.source.as_deref(), &*bind.destination), (Some("/dev/full"), "/dev/mine"));
    }
}
