//! The engine itself.

/// Who makes cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CgroupDriver {
    /// The engine, in the file system.
    #[default]
    Cgroupfs,
    /// systemd.
    Systemd,
}

/// Whether a part works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether it does.
    pub ready: bool,
    /// One word why not; empty if it does.
    pub reason: String,
    /// A line why not; empty if it does.
    pub message: String,
}

/// What a handler can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerFeatures {
    /// Its name; empty for the default one, which comes twice.
    pub name: String,
    /// Mounts that are read-only with all below them.
    pub recursive_read_only_mounts: bool,
    /// User namespaces.
    pub user_namespaces: bool,
}

/// What the engine says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeStatus {
    /// Whether containers can be run.
    pub runtime: Condition,
    /// Whether pods can be connected.
    pub network: Condition,
    /// The handlers that this build and machine can run.
    pub handlers: Vec<HandlerFeatures>,
    /// Whether the strict policy of supplemental groups is honoured.
    pub supplemental_groups_policy: bool,
    /// Who makes cgroups.
    pub cgroup_driver: CgroupDriver,
}
