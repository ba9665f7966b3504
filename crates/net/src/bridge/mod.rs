//! The built-in network for root: a bridge, a pair of links for each pod, and
//! nftables.

pub mod firewall;
pub mod sysctl;

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::netlink::Netlink;
use crate::netlink::link::Pair;
use crate::netns::{self, NetnsError};
use crate::request::{AddressWithPrefix, Interface, MacAddress};
use crate::settings::{Ipv6, NetSettings};
use crate::state::{BridgeNetwork, StateError, StateLock};
use crate::subnet::{Ipv4Subnet, Ipv6Subnet};
use firewall::{Firewall, FirewallError};
use sysctl::SysctlError;

/// Name of a pod's interface.
pub(crate) const POD_LINK: &str = "eth0";
/// A link's name has at most 15 bytes; five are for what tells pods apart.
const MAX_BRIDGE_NAME: usize = 10;
/// How many bridges of other state directories are stepped over.
const MAX_BRIDGES: u32 = 256;
/// Ethernet's, where there is no default route to follow.
const DEFAULT_MTU: u32 = 1500;
/// Longest alias of a link in the kernel.
const MAX_ALIAS: usize = 255;

/// Why a pod could not be connected to the bridge.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// rtnetlink said no.
    #[error("can't {what} {on}: {cause}")]
    Netlink {
        /// What was tried.
        what: &'static str,
        /// On which link or address.
        on: String,
        /// The kernel's answer.
        cause: Errno,
    },
    /// Not to be worked in.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A switch of the kernel.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// The rules.
    #[error(transparent)]
    Firewall(#[from] FirewallError),
    /// The records.
    #[error(transparent)]
    State(#[from] StateError),
    /// Every candidate overlaps a route.
    #[error(
        "every subnet for the built-in network overlaps a route of this machine: configure one"
    )]
    NoSubnet,
    /// Something else has the name.
    #[error(
        "a link {0} is there that is no bridge of this state directory: configure another name"
    )]
    NameTaken(String),
    /// Not a name.
    #[error("bridge name {0:?}: at most 10 letters, digits, `-` and `_`, and a letter first")]
    BadName(String),
    /// Changed while pods are there.
    #[error("the built-in network is {has}, and {pods} pods use it: stop them to make it {wanted}")]
    InUse {
        /// What it is.
        has: String,
        /// What the settings say.
        wanted: String,
        /// How many.
        pods: usize,
    },
}

fn failed(what: &'static str, on: impl Into<String>) -> impl FnOnce(Errno) -> BridgeError {
    let on = on.into();
    move |cause| BridgeError::Netlink { what, on, cause }
}

/// The bridge, ready for pods.
#[derive(Clone, Debug)]
pub(crate) struct Bridge {
    pub(crate) network: BridgeNetwork,
    index: u32,
    mtu: u32,
}

/// The address of the station with this IPv4 address; so a pod that gets the
/// address of an earlier one is no surprise to anybody's neighbour table.
fn station(ip: std::net::Ipv4Addr) -> MacAddress {
    let [a, b, c, d] = ip.octets();
    MacAddress([0x0a, 0xca, a, b, c, d])
}

/// By this a bridge is known as one of this state directory.
fn alias(settings: &NetSettings) -> String {
    let dir = std::path::absolute(&settings.state_dir);
    let mut text = format!("caisson:{}", dir.as_deref().unwrap_or(&settings.state_dir).display());
    while text.len() > MAX_ALIAS {
        text.pop();
    }
    text
}

/// Finds the bridge, or makes it and what belongs to it.
pub(crate) fn ensure(settings: &NetSettings, lock: &StateLock<'_>) -> Result<Bridge, BridgeError> {
    let mut netlink = Netlink::route().map_err(failed("open", "a netlink socket"))?;
    let stored = fitting(settings, lock)?;
    if let Some(network) = &stored {
        let link = netlink.link(&network.bridge).map_err(failed("look for", &network.bridge))?;
        if let Some(link) = link.filter(|link| link.up && link.alias == alias(settings)) {
            sysctl::forward(network.ipv6.is_some())?;
            return Ok(Bridge { network: network.clone(), index: link.index, mtu: link.mtu });
        }
    }
    make(settings, lock, &mut netlink, stored)
}

/// The network as it is recorded, if the settings are content with it.
fn fitting(
    settings: &NetSettings,
    lock: &StateLock<'_>,
) -> Result<Option<BridgeNetwork>, BridgeError> {
    let Some(stored) = lock.network()? else { return Ok(None) };
    let same_name = settings.bridge.as_ref().is_none_or(|name| *name == stored.bridge);
    let same_subnet = settings.subnet.is_none_or(|subnet| subnet == stored.subnet);
    let same_ipv6 = match settings.ipv6 {
        Ipv6::Auto => true,
        Ipv6::On => stored.ipv6.is_some(),
        Ipv6::Off => stored.ipv6.is_none(),
    };
    if same_name && same_subnet && same_ipv6 {
        return Ok(Some(stored));
    }
    let pods = lock.leases(&stored.subnet)?.taken.len();
    if pods > 0 {
        let describe = |name: &str, subnet: Ipv4Subnet, ipv6: bool| {
            format!("{name} {subnet}{}", if ipv6 { " with IPv6" } else { "" })
        };
        let has = describe(&stored.bridge, stored.subnet, stored.ipv6.is_some());
        let wanted = describe(
            settings.bridge.as_ref().unwrap_or(&stored.bridge),
            settings.subnet.unwrap_or(stored.subnet),
            settings.ipv6 == Ipv6::On || (stored.ipv6.is_some() && settings.ipv6 != Ipv6::Off),
        );
        return Err(BridgeError::InUse { has, wanted, pods });
    }
    remove(settings, lock)?;
    Ok(None)
}

/// Removes the bridge and its rules, and forgets its subnet.
pub(crate) fn remove(settings: &NetSettings, lock: &StateLock<'_>) -> Result<(), BridgeError> {
    let Some(network) = lock.network()? else { return Ok(()) };
    let mut netlink = Netlink::route().map_err(failed("open", "a netlink socket"))?;
    let link = netlink.link(&network.bridge).map_err(failed("look for", &network.bridge))?;
    if link.is_some_and(|link| link.alias == alias(settings)) {
        Firewall { network: &network, deadline: settings.program_deadline }.remove()?;
        netlink.delete_link(&network.bridge).map_err(failed("remove", &network.bridge))?;
    }
    Ok(lock.forget_network()?)
}

fn make(
    settings: &NetSettings,
    lock: &StateLock<'_>,
    netlink: &mut Netlink,
    stored: Option<BridgeNetwork>,
) -> Result<Bridge, BridgeError> {
    let links = netlink.links().map_err(failed("list", "the links"))?;
    let outer = netlink.default_route(false).map_err(failed("list", "the routes"))?;
    let outer = outer.and_then(|(index, _)| links.iter().find(|link| link.index == index));
    let mtu = outer.map_or(DEFAULT_MTU, |link| link.mtu.min(DEFAULT_MTU));

    // A bridge of ours may be half made.
    let ours = links.iter().find(|link| link.alias == alias(settings));
    if let Some(link) = ours {
        netlink.delete_link(&link.name).map_err(failed("remove", &link.name))?;
    }
    let taken = netlink.ipv4_networks().map_err(failed("list", "the routes"))?;
    let overlapped =
        |network: &BridgeNetwork| taken.iter().any(|(ip, len)| network.subnet.overlaps(*ip, *len));
    // After a restart of the machine the old subnet may no longer be free.
    let in_use = |network: &BridgeNetwork| {
        lock.leases(&network.subnet).is_ok_and(|leases| !leases.taken.is_empty())
    };
    let stored =
        stored.filter(|stored| settings.subnet.is_some() || !overlapped(stored) || in_use(stored));
    let network = match stored {
        Some(network) => network,
        None => {
            let subnet = settings.subnet.or_else(|| Ipv4Subnet::choose(&taken));
            let subnet = subnet.ok_or(BridgeError::NoSubnet)?;
            let ipv6 = if wants_ipv6(settings, netlink)? {
                // Keyed by the kernel's random bits.
                let [a, b, c, d, e, ..] = RandomState::new().hash_one(&taken).to_ne_bytes();
                Some(Ipv6Subnet::unique_local([a, b, c, d, e]))
            } else {
                None
            };
            BridgeNetwork { bridge: settings.bridge.clone().unwrap_or_default(), subnet, ipv6 }
        }
    };
    let network = add_bridge(settings, netlink, network, mtu)?;
    lock.set_network(&network)?;
    let name = &network.bridge;
    let link = netlink.link(name).map_err(failed("look for", name))?;
    let index = link.ok_or(Errno::NODEV).map_err(failed("look for", name))?.index;
    let gateway = AddressWithPrefix {
        address: network.subnet.gateway().into(),
        prefix: network.subnet.prefix(),
    };
    netlink.add_address(index, gateway).map_err(failed("add an address to", name))?;
    // Nobody else is on the bridge yet: it needs no wait for its own address to
    // be told from theirs, without which it could not find its neighbours.
    for switch in ["accept_ra", "accept_dad"] {
        let switch = format!("ipv6/conf/{name}/{switch}");
        if sysctl::get(&switch).is_some() {
            sysctl::set(&switch, "0")?;
        }
    }
    if let Some(ipv6) = network.ipv6 {
        let gateway =
            AddressWithPrefix { address: ipv6.gateway().into(), prefix: Ipv6Subnet::PREFIX };
        netlink.add_address(index, gateway).map_err(failed("add an address to", name))?;
    }
    sysctl::set(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    sysctl::forward(network.ipv6.is_some())?;
    // Only a bridge that has everything is up.
    netlink.set_up(index).map_err(failed("switch on", name))?;
    Ok(Bridge { network, index, mtu })
}

fn wants_ipv6(settings: &NetSettings, netlink: &mut Netlink) -> Result<bool, BridgeError> {
    let possible = sysctl::get("ipv6/conf/all/disable_ipv6").as_deref() == Some("0");
    let route = netlink.default_route(true).map_err(failed("list", "the routes"))?;
    Ok(match settings.ipv6 {
        Ipv6::On => true,
        Ipv6::Off => false,
        Ipv6::Auto => possible && route.is_some(),
    })
}

/// Makes the bridge under its name, or the first free one of ours.
fn add_bridge(
    settings: &NetSettings,
    netlink: &mut Netlink,
    mut network: BridgeNetwork,
    mtu: u32,
) -> Result<BridgeNetwork, BridgeError> {
    let mac = station(network.subnet.gateway());
    let mut names: Vec<String> = Some(network.bridge.clone()).into_iter().collect();
    names.retain(|name| !name.is_empty());
    if settings.bridge.is_none() {
        names.extend((0..MAX_BRIDGES).map(|number| format!("caisson{number}")));
    }
    for name in names {
        check_name(&name)?;
        match netlink.add_bridge(&name, mac, mtu, &alias(settings)) {
            Ok(()) => {
                network.bridge = name;
                return Ok(network);
            }
            Err(Errno::EXIST) => {}
            Err(cause) => return Err(failed("make the bridge", name)(cause)),
        }
    }
    Err(BridgeError::NameTaken(settings.bridge.clone().unwrap_or_else(|| "caisson255".to_owned())))
}

fn check_name(name: &str) -> Result<(), BridgeError> {
    let good = name.len() <= MAX_BRIDGE_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if good { Ok(()) } else { Err(BridgeError::BadName(name.to_owned())) }
}

/// The host's end of the pair of the pod with this number.
pub(crate) fn link_name(network: &BridgeNetwork, number: u32) -> String {
    format!("{}-{number:x}", network.bridge)
}

impl Bridge {
    /// Puts a pod on the bridge: the pair of links, addresses, routes, loopback.
    pub(crate) fn connect(
        &self,
        number: u32,
        mac: Option<MacAddress>,
        netns: BorrowedFd<'_>,
    ) -> Result<Interface, BridgeError> {
        let mut host = Netlink::route().map_err(failed("open", "a netlink socket"))?;
        let mut pod = netns::route_socket(netns)?;
        let name = link_name(&self.network, number);
        let ipv4 = self.network.subnet.address(number);
        let mac = mac.unwrap_or_else(|| station(ipv4));
        let pair = Pair {
            name: &name,
            bridge: self.index,
            mtu: self.mtu,
            netns,
            peer_name: POD_LINK,
            peer_mac: mac,
        };
        match host.add_pair(&pair) {
            // Either the pod has an `eth0`, or an earlier pod left its pair.
            Err(Errno::EXIST) if pod.link(POD_LINK).is_ok_and(|link| link.is_none()) => {
                host.delete_link(&name).map_err(failed("remove", &name))?;
                host.add_pair(&pair)
            }
            result => result,
        }
        .map_err(failed("make the pair of links", &name))?;
        if sysctl::get("bridge/bridge-nf-call-iptables").is_some() {
            // Rules see bridged frames too: one that is sent back to its sender
            // by a published port would not leave the bridge.
            host.set_hairpin(&name).map_err(failed("set hairpin mode of", &name))?;
        }
        self.configure(&mut pod, number, mac)
    }

    fn configure(
        &self,
        pod: &mut Netlink,
        number: u32,
        mac: MacAddress,
    ) -> Result<Interface, BridgeError> {
        loopback_up(pod)?;
        let link = pod.link(POD_LINK).map_err(failed("look for", "the pod's eth0"))?;
        let index = link.ok_or(Errno::NODEV).map_err(failed("find", "the pod's eth0"))?.index;
        pod.set_up(index).map_err(failed("switch on", "the pod's eth0"))?;
        let subnet = &self.network.subnet;
        let mut interface = Interface {
            name: POD_LINK.to_owned(),
            mac: Some(mac),
            addresses: vec![AddressWithPrefix {
                address: subnet.address(number).into(),
                prefix: subnet.prefix(),
            }],
            gateways: vec![IpAddr::V4(subnet.gateway())],
        };
        if let Some(ipv6) = self.network.ipv6 {
            let address = AddressWithPrefix {
                address: ipv6.address(number).into(),
                prefix: Ipv6Subnet::PREFIX,
            };
            interface.addresses.push(address);
            interface.gateways.push(ipv6.gateway().into());
        }
        for address in &interface.addresses {
            pod.add_address(index, *address)
                .map_err(failed("add to the pod's eth0 the address", address.to_string()))?;
        }
        for gateway in &interface.gateways {
            pod.add_default_route(*gateway, index)
                .map_err(failed("add to the pod the default route via", gateway.to_string()))?;
        }
        Ok(interface)
    }
}

/// Switches loopback on.
pub(crate) fn loopback_up(pod: &mut Netlink) -> Result<(), BridgeError> {
    let link = pod.link("lo").map_err(failed("look for", "the pod's loopback"))?;
    let index = link.ok_or(Errno::NODEV).map_err(failed("find", "the pod's loopback"))?.index;
    pod.set_up(index).map_err(failed("switch on", "the pod's loopback"))
}

/// Removes the host's end of a pod's pair, and with it the other one.
pub(crate) fn disconnect(link: &str) -> Result<(), BridgeError> {
    let mut netlink = Netlink::route().map_err(failed("open", "a netlink socket"))?;
    netlink.delete_link(link).map_err(failed("remove", link))
}
