//! What this runtime can do, in the OCI's words (runtime-spec, features.md).
//!
//! Nothing here asks the host, but for the seccomp flags of its kernel:
//! the document says what the runtime knows.

use std::collections::BTreeMap;

use caisson_runtime_spec::features::{
    CgroupFeatures, Enabled, Features, IntelRdtFeatures, LinuxFeatures, MemoryPolicyFeatures,
    MountExtensions, SeccompFeatures,
};
use caisson_runtime_spec::{
    Capability, MemoryPolicyFlag, MemoryPolicyMode, NamespaceKind, SeccompAction, SeccompArch,
    SeccompFlag, SeccompOperator, VERSION, mount_options,
};
use caisson_sys::seccomp::{FilterFlags, flags_available};

const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

const YES: Option<bool> = Some(true);
const ENABLED: Option<Enabled> = Some(Enabled { enabled: YES });

/// The names of a closed set.
macro_rules! names {
    ($set:ty) => {
        <$set>::ALL.iter().map(|member| member.as_str().to_owned()).collect()
    };
}

/// The features document.
pub(crate) fn features() -> Features {
    Features {
        oci_version_min: "1.0.0".to_owned(),
        oci_version_max: VERSION.to_owned(),
        hooks: HOOKS.map(str::to_owned).to_vec(),
        mount_options: mount_options::known().map(str::to_owned).collect(),
        linux: Some(linux()),
        annotations: annotations(),
        // What systemd is told about a container's unit.
        potentially_unsafe_config_annotations: vec!["org.systemd.property.".to_owned()],
    }
}

fn annotations() -> BTreeMap<String, String> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    BTreeMap::from([
        pair("caisson.isolator", crate::NAME),
        pair("caisson.version", env!("CARGO_PKG_VERSION")),
        // Container engines look here before they offer checkpoints.
        pair("org.opencontainers.runc.checkpoint.enabled", "false"),
    ])
}

fn linux() -> LinuxFeatures {
    LinuxFeatures {
        namespaces: names!(NamespaceKind),
        capabilities: names!(Capability),
        cgroup: Some(CgroupFeatures {
            v1: YES,
            v2: YES,
            systemd: YES,
            systemd_user: YES,
            rdma: YES,
        }),
        seccomp: Some(SeccompFeatures {
            enabled: YES,
            actions: names!(SeccompAction),
            operators: names!(SeccompOperator),
            archs: names!(SeccompArch),
            known_flags: names!(SeccompFlag),
            supported_flags: supported_flags(),
        }),
        apparmor: ENABLED,
        selinux: ENABLED,
        intel_rdt: Some(IntelRdtFeatures { enabled: YES, schemata: YES, monitoring: YES }),
        memory_policy: Some(MemoryPolicyFeatures {
            modes: names!(MemoryPolicyMode),
            flags: names!(MemoryPolicyFlag),
        }),
        mount_extensions: Some(MountExtensions { idmap: ENABLED }),
        net_devices: ENABLED,
    }
}

fn supported_flags() -> Vec<String> {
    let is_supported = |flag: &SeccompFlag| {
        let mut flags = FilterFlags::from_bits_retain(flag.bit());
        if *flag == SeccompFlag::WaitKillableRecv {
            // Means something for listeners only, and is refused without.
            flags |= FilterFlags::NEW_LISTENER;
        }
        flags_available(flags)
    };
    let supported = SeccompFlag::ALL.iter().copied().filter(is_supported);
    supported.map(|flag| flag.as_str().to_owned()).collect()
}
