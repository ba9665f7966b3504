//! Containers.

use caisson_node::pods::request::{
    ContainerDevice, ContainerMount, ImageChoice, PodContainerRequest, Propagation,
};
use tonic::Status;

use super::signal::from_signal;
use super::{choice, no_windows, refused, resources, security};
use crate::v1;

/// The container that a kubelet asks for.
pub(crate) fn container(config: v1::ContainerConfig) -> Result<PodContainerRequest, Status> {
    no_windows("config.windows", config.windows.as_ref())?;
    let metadata = config
        .metadata
        .ok_or_else(|| refused("config.metadata", "it is missing: which container?"))?;
    let linux = config.linux.unwrap_or_default();
    Ok(PodContainerRequest {
        name: metadata.name,
        attempt: metadata.attempt,
        image: config
            .image
            .map(image)
            .ok_or_else(|| refused("config.image", "it is missing: made from what?"))?,
        command: config.command,
        args: config.args,
        working_dir: config.working_dir,
        envs: config.envs.into_iter().map(variable).collect::<Result<_, _>>()?,
        mounts: config.mounts.into_iter().map(mount).collect::<Result<_, _>>()?,
        devices: config.devices.into_iter().map(device).collect(),
        cdi_devices: config.cdi_devices.into_iter().map(|device| device.name).collect(),
        labels: config.labels,
        annotations: config.annotations,
        log_path: config.log_path,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        resources: linux.resources.map(resources),
        security: security::of_container(linux.security_context.unwrap_or_default())?,
        stop_signal: from_signal("config.stop_signal", config.stop_signal)?,
    })
}

fn image(from: v1::ImageSpec) -> ImageChoice {
    ImageChoice {
        image: from.image,
        user_specified: from.user_specified_image,
        annotations: from.annotations,
        handler: from.runtime_handler,
    }
}

fn variable(from: v1::KeyValue) -> Result<(String, String), Status> {
    let value = String::from_utf8(from.value)
        .map_err(|_| refused("config.envs", format!("the value of {:?} is not UTF-8", from.key)))?;
    Ok((from.key, value))
}

fn mount(from: v1::Mount) -> Result<ContainerMount, Status> {
    Ok(ContainerMount {
        container_path: from.container_path,
        host_path: from.host_path,
        readonly: from.readonly,
        selinux_relabel: from.selinux_relabel,
        propagation: match choice("config.mounts.propagation", from.propagation)? {
            v1::MountPropagation::PropagationPrivate => Propagation::Private,
            v1::MountPropagation::PropagationHostToContainer => Propagation::HostToContainer,
            v1::MountPropagation::PropagationBidirectional => Propagation::Bidirectional,
        },
        uid_mappings: security::mappings(from.uid_mappings),
        gid_mappings: security::mappings(from.gid_mappings),
        recursive_read_only: from.recursive_read_only,
        // Some clients fill in an empty one.
        image: from.image.filter(|image| !image.image.is_empty()).map(image),
        image_sub_path: from.image_sub_path,
        options: from.mount_options,
    })
}

fn device(from: v1::Device) -> ContainerDevice {
    ContainerDevice {
        container_path: from.container_path,
        host_path: from.host_path,
        permissions: from.permissions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> v1::ContainerConfig {
        v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: "c".to_owned(), attempt: 1 }),
            image: Some(v1::ImageSpec { image: "i".to_owned(), ..v1::ImageSpec::default() }),
            ..v1::ContainerConfig::default()
        }
    }

    fn refusal(change: impl FnOnce(&mut v1::ContainerConfig)) -> String {
        let mut config = config();
        change(&mut config);
        container(config).unwrap_err().message().to_owned()
    }

    #[test]
    fn what_has_no_meaning_is_refused_by_name() {
        assert!(container(config()).is_ok());
        assert!(refusal(|c| c.metadata = None).starts_with("config.metadata: "));
        assert!(refusal(|c| c.image = None).starts_with("config.image: "));
        assert!(refusal(|c| c.windows = Some(Default::default())).starts_with("config.windows: "));
        assert!(refusal(|c| c.stop_signal = 99).starts_with("config.stop_signal: "));
        let value = vec![0xff];
        let text = refusal(|c| c.envs.push(v1::KeyValue { key: "K".to_owned(), value }));
        assert_eq!(text, "config.envs: the value of \"K\" is not UTF-8");
        let mount = v1::Mount { propagation: 3, ..v1::Mount::default() };
        assert!(refusal(|c| c.mounts.push(mount)).starts_with("config.mounts.propagation: "));
    }

    #[test]
    fn an_empty_image_is_no_image_volume() {
        let mut with = config();
        with.mounts.push(v1::Mount { image: Some(v1::ImageSpec::default()), ..Default::default() });
        assert!(container(with).unwrap().mounts.iter().all(|m| m.image.is_none()));
    }
}
