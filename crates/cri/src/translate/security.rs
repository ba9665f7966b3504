//! Walls and identities.

use caisson_node::pods::request::{
    CapabilityRequest, ContainerSecurity, IdMapping, NamespaceChoice, NamespaceOptions,
    PodSecurity, ProfileChoice, RunAs, SelinuxLabel, SupplementalGroupsPolicy, UserNamespace,
};
use tonic::Status;

use super::{choice, refused};
use crate::v1;
use crate::v1::security_profile::ProfileType;

fn namespace(field: &str, mode: i32) -> Result<NamespaceChoice, Status> {
    Ok(match choice(field, mode)? {
        v1::NamespaceMode::Pod => NamespaceChoice::Pod,
        v1::NamespaceMode::Container => NamespaceChoice::Container,
        v1::NamespaceMode::Node => NamespaceChoice::Node,
        v1::NamespaceMode::Target => NamespaceChoice::Target,
    })
}

/// Ranges of ids.
pub(super) fn mappings(from: Vec<v1::IdMapping>) -> Vec<IdMapping> {
    let one = |m: v1::IdMapping| IdMapping {
        host: m.host_id,
        container: m.container_id,
        length: m.length,
    };
    from.into_iter().map(one).collect()
}

fn namespaces(from: Option<v1::NamespaceOption>) -> Result<NamespaceOptions, Status> {
    let from = from.unwrap_or_default();
    let user = match from.userns_options {
        None => None,
        Some(user) => Some(UserNamespace {
            mode: namespace("namespace_options.userns_options.mode", user.mode)?,
            uids: mappings(user.uids),
            gids: mappings(user.gids),
        }),
    };
    Ok(NamespaceOptions {
        network: namespace("namespace_options.network", from.network)?,
        pid: namespace("namespace_options.pid", from.pid)?,
        ipc: namespace("namespace_options.ipc", from.ipc)?,
        target: from.target_id,
        user,
    })
}

fn selinux(from: v1::SeLinuxOption) -> SelinuxLabel {
    SelinuxLabel { user: from.user, role: from.role, kind: from.r#type, level: from.level }
}

fn groups_policy(policy: i32) -> Result<SupplementalGroupsPolicy, Status> {
    Ok(match choice("supplemental_groups_policy", policy)? {
        v1::SupplementalGroupsPolicy::Merge => SupplementalGroupsPolicy::Merge,
        v1::SupplementalGroupsPolicy::Strict => SupplementalGroupsPolicy::Strict,
    })
}

/// The profile in either form: the message, or the older string.
fn profile(
    field: &str,
    message: Option<v1::SecurityProfile>,
    older: &str,
) -> Result<Option<ProfileChoice>, Status> {
    if let Some(profile) = message {
        return Ok(Some(match choice(field, profile.profile_type)? {
            ProfileType::RuntimeDefault => ProfileChoice::RuntimeDefault,
            ProfileType::Unconfined => ProfileChoice::Unconfined,
            ProfileType::Localhost if profile.localhost_ref.is_empty() => {
                return Err(refused(field, "Localhost needs a localhost_ref"));
            }
            ProfileType::Localhost => ProfileChoice::Localhost(profile.localhost_ref),
        }));
    }
    match older {
        "" => Ok(None),
        "runtime/default" | "docker/default" => Ok(Some(ProfileChoice::RuntimeDefault)),
        "unconfined" => Ok(Some(ProfileChoice::Unconfined)),
        other => match other.strip_prefix("localhost/") {
            Some(name) if !name.is_empty() => Ok(Some(ProfileChoice::Localhost(name.to_owned()))),
            _ => Err(refused(
                field,
                format!("{other:?} is none of runtime/default, unconfined, localhost/NAME"),
            )),
        },
    }
}

fn value(from: Option<v1::Int64Value>) -> Option<i64> {
    from.map(|v| v.value)
}

/// The walls of a pod.
#[allow(deprecated, reason = "clients of older kubelets fill in the older fields")]
pub(super) fn of_pod(from: v1::LinuxSandboxSecurityContext) -> Result<PodSecurity, Status> {
    Ok(PodSecurity {
        namespaces: namespaces(from.namespace_options)?,
        selinux: from.selinux_options.map(selinux),
        run_as: RunAs {
            user: value(from.run_as_user),
            group: value(from.run_as_group),
            username: String::new(),
            supplemental_groups: from.supplemental_groups,
            groups_policy: groups_policy(from.supplemental_groups_policy)?,
        },
        readonly_rootfs: from.readonly_rootfs,
        privileged: from.privileged,
        seccomp: profile("seccomp", from.seccomp, &from.seccomp_profile_path)?,
        apparmor: profile("apparmor", from.apparmor, "")?,
    })
}

/// The walls of a container.
#[allow(deprecated, reason = "clients of older kubelets fill in the older fields")]
pub(super) fn of_container(
    from: v1::LinuxContainerSecurityContext,
) -> Result<ContainerSecurity, Status> {
    let capabilities = from.capabilities.unwrap_or_default();
    Ok(ContainerSecurity {
        capabilities: CapabilityRequest {
            add: capabilities.add_capabilities,
            drop: capabilities.drop_capabilities,
            add_ambient: capabilities.add_ambient_capabilities,
        },
        privileged: from.privileged,
        namespaces: namespaces(from.namespace_options)?,
        selinux: from.selinux_options.map(selinux),
        run_as: RunAs {
            user: value(from.run_as_user),
            group: value(from.run_as_group),
            username: from.run_as_username,
            supplemental_groups: from.supplemental_groups,
            groups_policy: groups_policy(from.supplemental_groups_policy)?,
        },
        readonly_rootfs: from.readonly_rootfs,
        no_new_privs: from.no_new_privs,
        masked_paths: from.masked_paths,
        readonly_paths: from.readonly_paths,
        seccomp: profile("seccomp", from.seccomp, &from.seccomp_profile_path)?,
        apparmor: profile("apparmor", from.apparmor, &from.apparmor_profile)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_come_in_two_forms() {
        let message = |profile_type: i32, name: &str| {
            let localhost_ref = name.to_owned();
            Some(v1::SecurityProfile { profile_type, localhost_ref })
        };
        let of = |m, older: &str| profile("seccomp", m, older).unwrap();
        assert_eq!(of(None, ""), None);
        assert_eq!(of(message(0, ""), "unconfined"), Some(ProfileChoice::RuntimeDefault));
        assert_eq!(of(message(1, ""), ""), Some(ProfileChoice::Unconfined));
        assert_eq!(of(None, "localhost/a/b"), Some(ProfileChoice::Localhost("a/b".to_owned())));
        assert_eq!(of(None, "runtime/default"), Some(ProfileChoice::RuntimeDefault));
        for (m, older) in
            [(message(2, ""), ""), (message(9, "x"), ""), (None, "x"), (None, "localhost/")]
        {
            let refused = profile("seccomp", m, older).unwrap_err();
            assert!(refused.message().starts_with("seccomp: "), "{refused}");
        }
    }

    #[test]
    fn unknown_numbers_are_refused_by_name() {
        let options = v1::NamespaceOption { pid: 17, ..v1::NamespaceOption::default() };
        let from = v1::LinuxSandboxSecurityContext {
            namespace_options: Some(options),
            ..v1::LinuxSandboxSecurityContext::default()
        };
        let refused = of_pod(from).unwrap_err();
        assert_eq!(refused.message(), "namespace_options.pid: 17 means nothing");
        let from = v1::LinuxContainerSecurityContext {
            supplemental_groups_policy: -1,
            ..v1::LinuxContainerSecurityContext::default()
        };
        assert!(
            of_container(from).unwrap_err().message().starts_with("supplemental_groups_policy")
        );
    }
}
