//! Privileges, namespaces and devices.

use caisson_node::request::{ContainerRequest, DeviceRequest, NamespaceMode, NamespaceRequest};

use crate::failure::Failure;

/// Options about what it may do.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Privileges")]
pub(super) struct SecurityOptions {
    /// Every capability and device, no filter, nothing hidden
    #[arg(long)]
    privileged: bool,
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Take a capability away, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// no-new-privileges, seccomp=FILE|unconfined, apparmor=PROFILE, label=…,
    /// systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Give it a device of the host
    #[arg(long, value_name = "PATH[:PATH][:rwm]")]
    device: Vec<DeviceRequest>,
    /// Allow devices by number, such as `c 10:* rw`
    #[arg(long, value_name = "RULE")]
    device_cgroup_rule: Vec<String>,
    /// Kernel parameter of its namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// PID namespace: private, host or container:NAME
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    pid: NamespaceMode,
    /// IPC namespace: private, host or container:NAME
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    ipc: NamespaceMode,
    /// UTS namespace: private or host
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    uts: NamespaceMode,
    /// User namespace: only host, the caller's, which is the default
    #[arg(long, value_name = "MODE", value_parser = user_namespace, default_value = "",
          hide_default_value = true)]
    userns: NamespaceMode,
    /// Cgroup namespace: private or host
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    cgroupns: NamespaceMode,
}

impl SecurityOptions {
    pub(super) fn apply(&self, request: &mut ContainerRequest) -> Result<(), Failure> {
        request.security.privileged = self.privileged;
        request.security.cap_add.clone_from(&self.cap_add);
        request.security.cap_drop.clone_from(&self.cap_drop);
        for text in &self.security_opt {
            let read = |file: &str| std::fs::read_to_string(file);
            request
                .security
                .apply(text, &read)
                .map_err(|error| Failure::usage(format!("--security-opt {error}")))?;
        }
        request.devices.clone_from(&self.device);
        request.device_cgroup_rules.clone_from(&self.device_cgroup_rule);
        for text in &self.sysctl {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--sysctl {text:?}: wants NAME=VALUE")))?;
            request.sysctls.insert(name.to_owned(), value.to_owned());
        }
        request.namespaces = NamespaceRequest {
            pid: self.pid.clone(),
            ipc: self.ipc.clone(),
            uts: self.uts.clone(),
            user: self.userns.clone(),
            cgroup: self.cgroupns.clone(),
        };
        Ok(())
    }
}

/// `--userns`: a container's own user namespace can't be asked for.
fn user_namespace(text: &str) -> Result<NamespaceMode, String> {
    match text {
        "" => Ok(NamespaceMode::Default),
        "host" => Ok(NamespaceMode::Host),
        _ if text == "keep-id" || text.starts_with("keep-id:") => Err(
            "keep-id is not in this build: without root the user is root inside (as with podman's \
             default), and what root inside writes to a volume is the user's; leave --userns out"
                .to_owned(),
        ),
        other => Err(format!(
            "{other:?} is not in this build, only host is: as root, ids are the host's; without \
             root, containers are in the user's namespace anyway, where id 0 is the user"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_namespaces_are_the_hosts_or_refused() {
        assert_eq!(user_namespace("host"), Ok(NamespaceMode::Host));
        assert_eq!(user_namespace(""), Ok(NamespaceMode::Default));
        for text in ["private", "auto", "nomap", "keep-id", "keep-id:uid=5", "container:x"] {
            assert!(user_namespace(text).unwrap_err().contains("not in this build"), "{text}");
        }
    }
}
