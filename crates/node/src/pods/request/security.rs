//! Namespaces, identity and confinement.

use serde::{Deserialize, Serialize};

/// Which namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceChoice {
    /// One of the pod's.
    #[default]
    Pod,
    /// One of the container's own.
    Container,
    /// The host's.
    Node,
    /// That of another container, [`NamespaceOptions::target`].
    Target,
}

/// The namespaces of a pod or container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceOptions {
    /// `Pod` or `Node`.
    pub network: NamespaceChoice,
    /// Any.
    pub pid: NamespaceChoice,
    /// `Pod` or `Node`.
    pub ipc: NamespaceChoice,
    /// The container whose PID namespace is joined with `Target`.
    pub target: String,
    /// `None`: the host's.
    pub user: Option<UserNamespace>,
}

/// A user namespace of the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserNamespace {
    /// `Pod` for one of its own, `Node` for the host's; nothing else.
    pub mode: NamespaceChoice,
    /// User ids; exactly one range.
    pub uids: Vec<IdMapping>,
    /// Group ids; exactly one range.
    pub gids: Vec<IdMapping>,
}

/// A range of ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    /// First id on the host.
    pub host: u32,
    /// First id inside.
    pub container: u32,
    /// How many.
    pub length: u32,
}

/// A seccomp or AppArmor profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProfileChoice {
    /// The engine's default one.
    RuntimeDefault,
    /// None at all.
    #[default]
    Unconfined,
    /// For seccomp the path of a file on the host, for AppArmor the name of a
    /// loaded profile.
    Localhost(String),
}

/// An SELinux label; empty parts have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelinuxLabel {
    /// User.
    pub user: String,
    /// Role.
    pub role: String,
    /// Type.
    pub kind: String,
    /// Level.
    pub level: String,
}

/// How the groups of the image's `/etc/group` count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SupplementalGroupsPolicy {
    /// Beside those that are asked for.
    #[default]
    Merge,
    /// Not at all.
    Strict,
}

/// Who runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunAs {
    /// User id.
    pub user: Option<i64>,
    /// Group id; only with a user.
    pub group: Option<i64>,
    /// User by name, in the image; only where `user` is absent.
    pub username: String,
    /// Further groups.
    pub supplemental_groups: Vec<i64>,
    /// What of the image's groups counts.
    pub groups_policy: SupplementalGroupsPolicy,
}

/// Confinement of a pod's sandbox. Containers say their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodSecurity {
    /// Namespaces.
    pub namespaces: NamespaceOptions,
    /// SELinux.
    pub selinux: Option<SelinuxLabel>,
    /// Identity. The sandbox runs no program of an image, so this counts for
    /// nothing but the built-in init of a shared PID namespace.
    pub run_as: RunAs,
    /// Whether the sandbox's root is read-only; it has none.
    pub readonly_rootfs: bool,
    /// Whether its containers may be privileged.
    pub privileged: bool,
    /// Seccomp.
    pub seccomp: Option<ProfileChoice>,
    /// AppArmor.
    pub apparmor: Option<ProfileChoice>,
}

/// Capabilities by name, with or without `CAP_`; `ALL` stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CapabilityRequest {
    /// To add to the default ones.
    pub add: Vec<String>,
    /// To take away.
    pub drop: Vec<String>,
    /// To add to the ambient set; and to all others.
    pub add_ambient: Vec<String>,
}

/// Confinement of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSecurity {
    /// Capabilities.
    pub capabilities: CapabilityRequest,
    /// Everything is allowed; needs a privileged pod.
    pub privileged: bool,
    /// Namespaces.
    pub namespaces: NamespaceOptions,
    /// SELinux.
    pub selinux: Option<SelinuxLabel>,
    /// Identity.
    pub run_as: RunAs,
    /// Whether the root file system is read-only.
    pub readonly_rootfs: bool,
    /// Whether programs can't gain privileges.
    pub no_new_privs: bool,
    /// Paths that can't be read.
    pub masked_paths: Vec<String>,
    /// Paths that can't be written.
    pub readonly_paths: Vec<String>,
    /// Seccomp; `None`: the engine does not filter, as the protocol has it.
    pub seccomp: Option<ProfileChoice>,
    /// AppArmor.
    pub apparmor: Option<ProfileChoice>,
}
