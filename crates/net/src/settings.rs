//! What the node's own configuration says about networks.

use std::path::PathBuf;
use std::time::Duration;

use crate::subnet::Ipv4Subnet;

/// Whether pods of the built-in bridge get an IPv6 address too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ipv6 {
    /// If the host has a default route for IPv6 when the bridge is first made.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Settings of [`crate::Network`].
#[derive(Clone, Debug)]
pub struct NetSettings {
    /// Leases and records: `R/net`. Made if it is missing.
    pub state_dir: PathBuf,
    /// Whether the caller is a user without privileges (who is root in a user
    /// namespace of its own): pods are connected by pasta or slirp4netns then.
    pub rootless: bool,
    /// Name of the bridge, at most 10 bytes. Without one it is `caisson0`, or
    /// the next number if another state directory has that.
    pub bridge: Option<String>,
    /// The bridge's subnet; without one, a private one that overlaps no route.
    pub subnet: Option<Ipv4Subnet>,
    /// Whether there is IPv6 as well.
    pub ipv6: Ipv6,
    /// Where CNI networks are configured, in this order.
    pub cni_conf_dirs: Vec<PathBuf>,
    /// Where CNI plugins lie, in this order.
    pub cni_bin_dirs: Vec<PathBuf>,
    /// How long a CNI plugin may take for one call.
    pub plugin_deadline: Duration,
    /// How long `nft` and the like may take.
    pub program_deadline: Duration,
}

impl NetSettings {
    /// The defaults for this state directory.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>, rootless: bool) -> Self {
        Self {
            state_dir: state_dir.into(),
            rootless,
            bridge: None,
            subnet: None,
            ipv6: Ipv6::Auto,
            cni_conf_dirs: vec![PathBuf::from("/etc/cni/net.d")],
            cni_bin_dirs: vec![PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")],
            plugin_deadline: Duration::from_secs(90),
            program_deadline: Duration::from_secs(30),
        }
    }
}
