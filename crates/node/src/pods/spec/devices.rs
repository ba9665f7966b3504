//! Devices of the host that the request names.

use crate::oci_spec::{self, Devices};
use crate::pods::PodError;
use crate::pods::request::PodContainerRequest;
use crate::request::{ContainerRequest, DeviceRequest, SecurityRequest};

/// Nodes, rules and mounts. `mapped` tells whether the container is in a user
/// namespace, where nodes can't be made and the host's are bound instead.
pub(super) fn devices(request: &PodContainerRequest, mapped: bool) -> Result<Devices, PodError> {
    let mut list = Vec::with_capacity(request.devices.len());
    for device in &request.devices {
        let invalid = |reason: String| PodError::invalid("devices", reason);
        let access = match device.permissions.as_str() {
            "" => "rwm",
            own if own.len() <= 3 && own.chars().all(|c| "rwm".contains(c)) => own,
            own => return Err(invalid(format!("permissions {own:?} are not out of rwm"))),
        };
        let container = match device.container_path.as_str() {
            "" => &device.host_path,
            _ => &device.container_path,
        };
        if !device.host_path.starts_with('/') || !container.starts_with('/') {
            return Err(invalid(format!("{:?} is not absolute", device.host_path)));
        }
        list.push(DeviceRequest {
            host: device.host_path.clone(),
            container: container.clone(),
            access: access.to_owned(),
        });
    }
    let wanted = ContainerRequest {
        devices: list,
        security: SecurityRequest {
            privileged: request.security.privileged,
            ..SecurityRequest::default()
        },
        ..ContainerRequest::default()
    };
    oci_spec::devices(&wanted, mapped).map_err(|e| PodError::invalid("devices", e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::request::ContainerDevice;

    #[test]
    fn devices_are_checked() {
        let with = |host: &str, container: &str, permissions: &str| {
            let device = ContainerDevice {
                host_path: host.to_owned(),
                container_path: container.to_owned(),
                permissions: permissions.to_owned(),
            };
            let request =
                PodContainerRequest { devices: vec![device], ..PodContainerRequest::default() };
            devices(&request, false)
        };
        let made = with("/dev/null", "/dev/x", "r").unwrap();
        assert_eq!(made.nodes[0].path, "/dev/x");
        assert_eq!(with("/dev/null", "", "").unwrap().nodes[0].path, "/dev/null");
        assert!(with("/dev/null", "/dev/x", "rz").is_err());
        assert!(with("dev/null", "/dev/x", "r").is_err());
        assert!(with("/no/such", "/dev/x", "r").is_err());
    }
}
