//! A namespace that stands in for one that is gone.
//!
//! The plugins bridge and ptp find the pod's addresses, and with them the rules
//! to remove, in the pod's network namespace only. When that has died with the
//! pod, what they look for is shown to them in another.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::{POD_LINK, conf};
use crate::netns;
use crate::request::{AddressWithPrefix, MacAddress};

/// Those that read addresses there. Others get no namespace, as the
/// specification has it (section DEL): host-device would move the link out.
const READERS: [&str; 2] = ["bridge", "ptp"];

/// Locally administered; nothing ever sees it.
const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const MTU: u32 = 1500;

/// Whether this plugin's DEL finds less without a namespace.
pub(super) fn helps(plugin: &Map<String, Value>) -> bool {
    READERS.contains(&conf::plugin_type(plugin))
}

/// A namespace with the pod's link and addresses, for as long as it is held.
#[derive(Debug)]
pub(super) struct StandIn {
    pub(super) path: PathBuf,
    _netns: OwnedFd,
}

impl StandIn {
    /// `None` if the kernel does not let us: then DEL does without.
    pub(super) fn new(addresses: &[AddressWithPrefix]) -> Option<Self> {
        let netns = netns::create().ok()?;
        let mut inside = netns::route_socket(netns.as_fd()).ok()?;
        inside.add_bridge(POD_LINK, MAC, MTU, POD_LINK).ok()?;
        let index = inside.link(POD_LINK).ok()??.index;
        for address in addresses {
            inside.add_address(index, *address).ok()?;
        }
        let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
        Some(Self { path: path.into(), _netns: netns })
    }
}
