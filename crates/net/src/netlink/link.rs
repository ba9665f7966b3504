//! Links, addresses and routes: rtnetlink(7).

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use caisson_sys::netlink::{Attributes, NLM_F_CREATE, NLM_F_EXCL, Request, attributes, u32_at};
use rustix::io::Errno;

use super::Netlink;

use crate::request::{AddressWithPrefix, MacAddress};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_F_NODAD: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Length of `ifinfomsg`, `ifaddrmsg` and `rtmsg`.
const LINK: usize = 16;
const ADDRESS: usize = 8;
const ROUTE: usize = 12;

/// What is of interest about a link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) alias: String,
    pub(crate) mtu: u32,
    pub(crate) master: Option<u32>,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) up: bool,
}

/// A pair of links: one end on a bridge, the other in a pod.
#[derive(Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) name: &'a str,
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
    pub(crate) netns: BorrowedFd<'a>,
    pub(crate) peer_name: &'a str,
    pub(crate) peer_mac: MacAddress,
}

fn link_header(index: u32, flags: u32) -> [u8; LINK] {
    let mut header = [0; LINK];
    let words = [0, index, flags, flags];
    for (place, word) in header.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    header
}

fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn parse_ip(value: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(value).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

fn parse_text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let up = u32_at(body, 8)? & IFF_UP != 0;
    let mut link = Link { index: u32_at(body, 4)?, up, ..Link::default() };
    for (kind, value) in attributes(body, LINK) {
        match kind {
            IFLA_IFNAME => link.name = parse_text(value),
            IFLA_IFALIAS => link.alias = parse_text(value),
            IFLA_MTU => link.mtu = u32_at(value, 0)?,
            IFLA_MASTER => link.master = u32_at(value, 0),
            IFLA_ADDRESS => link.mac = value.try_into().ok().map(MacAddress),
            _ => {}
        }
    }
    Some(link)
}

impl Netlink {
    /// The link of this name.
    pub(crate) fn link(&mut self, name: &str) -> Result<Option<Link>, Errno> {
        let request = Request::new(RTM_GETLINK, &link_header(0, 0)).text(IFLA_IFNAME, name);
        match self.0.get(&request) {
            Ok(body) => Ok(parse_link(&body)),
            Err(Errno::NODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All links.
    pub(crate) fn links(&mut self) -> Result<Vec<Link>, Errno> {
        let list = self.0.list(&Request::new(RTM_GETLINK, &link_header(0, 0)))?;
        Ok(list.iter().filter_map(|body| parse_link(body)).collect())
    }

    /// Makes a bridge, still down; it has an alias to be known by.
    pub(crate) fn add_bridge(
        &mut self,
        name: &str,
        mac: MacAddress,
        mtu: u32,
        alias: &str,
    ) -> Result<(), Errno> {
        let info = Attributes::default().text(IFLA_INFO_KIND, "bridge");
        let request = Request::new(RTM_NEWLINK, &link_header(0, 0))
            .text(IFLA_IFNAME, name)
            .attribute(IFLA_ADDRESS, &mac.0)
            .nested(IFLA_LINKINFO, &info);
        self.0.change(&request, NLM_F_CREATE | NLM_F_EXCL)?;
        // The kernel takes no alias for a link that it is just making, and keeps
        // an MTU only if it is a change: else it follows the ports.
        let request = Request::new(RTM_NEWLINK, &link_header(0, 0))
            .text(IFLA_IFNAME, name)
            .attribute(IFLA_MTU, &mtu.to_ne_bytes())
            .text(IFLA_IFALIAS, alias);
        self.0.change(&request, 0)
    }

    /// Makes both ends of a pair; the host's is up and on the bridge. The other
    /// one can't be switched on before the pair is complete.
    pub(crate) fn add_pair(&mut self, pair: &Pair<'_>) -> Result<(), Errno> {
        let netns = pair.netns.as_raw_fd().cast_unsigned();
        let peer = Attributes::behind(&link_header(0, 0))
            .text(IFLA_IFNAME, pair.peer_name)
            .attribute(IFLA_ADDRESS, &pair.peer_mac.0)
            .attribute(IFLA_MTU, &pair.mtu.to_ne_bytes())
            .attribute(IFLA_NET_NS_FD, &netns.to_ne_bytes());
        let data = Attributes::default().nested(VETH_INFO_PEER, &peer);
        let info = Attributes::default().text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, &data);
        let request = Request::new(RTM_NEWLINK, &link_header(0, IFF_UP))
            .text(IFLA_IFNAME, pair.name)
            .attribute(IFLA_MTU, &pair.mtu.to_ne_bytes())
            .attribute(IFLA_MASTER, &pair.bridge.to_ne_bytes())
            .nested(IFLA_LINKINFO, &info);
        self.0.change(&request, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Lets a bridge send a frame back through the port it came from.
    pub(crate) fn set_hairpin(&mut self, name: &str) -> Result<(), Errno> {
        let data = Attributes::default().attribute(IFLA_BRPORT_MODE, &[1]);
        let info = Attributes::default()
            .text(IFLA_INFO_SLAVE_KIND, "bridge")
            .nested(IFLA_INFO_SLAVE_DATA, &data);
        let request = Request::new(RTM_NEWLINK, &link_header(0, 0))
            .text(IFLA_IFNAME, name)
            .nested(IFLA_LINKINFO, &info);
        self.0.change(&request, 0)
    }

    /// Switches a link on.
    pub(crate) fn set_up(&mut self, index: u32) -> Result<(), Errno> {
        self.0.change(&Request::new(RTM_NEWLINK, &link_header(index, IFF_UP)), 0)
    }

    /// Removes a link, for a pair both ends. It is fine if there is none.
    pub(crate) fn delete_link(&mut self, name: &str) -> Result<(), Errno> {
        let request = Request::new(RTM_DELLINK, &link_header(0, 0)).text(IFLA_IFNAME, name);
        match self.0.change(&request, 0) {
            Err(Errno::NODEV) => Ok(()),
            result => result,
        }
    }

    /// Gives a link an address, without waiting whether somebody else has it.
    pub(crate) fn add_address(
        &mut self,
        index: u32,
        address: AddressWithPrefix,
    ) -> Result<(), Errno> {
        let AddressWithPrefix { address, prefix } = address;
        let mut header = vec![family(address), prefix, IFA_F_NODAD, 0];
        header.extend(index.to_ne_bytes());
        let mut request = Request::new(RTM_NEWADDR, &header)
            .attribute(IFA_LOCAL, &bytes(address))
            .attribute(IFA_ADDRESS, &bytes(address));
        if let IpAddr::V4(ip) = address {
            let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            request = request.attribute(IFA_BROADCAST, &(u32::from(ip) | hosts).to_be_bytes());
        }
        self.0.change(&request, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Addresses of a link.
    pub(crate) fn addresses(&mut self, index: u32) -> Result<Vec<AddressWithPrefix>, Errno> {
        let list = self.0.list(&Request::new(RTM_GETADDR, &[0; ADDRESS]))?;
        let parse = |body: &Vec<u8>| {
            let prefix = *body.get(1)?;
            let own = u32_at(body, 4)? == index;
            let find = |wanted| attributes(body, ADDRESS).find(|(kind, _)| *kind == wanted);
            let (_, value) = find(IFA_LOCAL).or_else(|| find(IFA_ADDRESS))?;
            own.then_some(AddressWithPrefix { address: parse_ip(value)?, prefix })
        };
        Ok(list.iter().filter_map(parse).collect())
    }

    /// Sends what has no other route to this gateway.
    pub(crate) fn add_default_route(&mut self, gateway: IpAddr, index: u32) -> Result<(), Errno> {
        let head = [family(gateway), 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST];
        let request = Request::new(RTM_NEWROUTE, &[&head[..], &[0; 4]].concat())
            .attribute(RTA_GATEWAY, &bytes(gateway))
            .attribute(RTA_OIF, &index.to_ne_bytes());
        self.0.change(&request, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// All IPv4 networks to which there is a route, in every table.
    pub(crate) fn ipv4_networks(&mut self) -> Result<Vec<(Ipv4Addr, u8)>, Errno> {
        let list = self.0.list(&Request::new(RTM_GETROUTE, &route_header(AF_INET)))?;
        let parse = |body: &Vec<u8>| {
            let prefix = *body.get(1)?;
            let (_, value) = attributes(body, ROUTE).find(|(kind, _)| *kind == RTA_DST)?;
            Some((<[u8; 4]>::try_from(value).ok()?.into(), prefix))
        };
        Ok(list.iter().filter_map(parse).collect())
    }

    /// The first default route of the main table: its link, and its gateway if
    /// it has one.
    pub(crate) fn default_route(
        &mut self,
        ipv6: bool,
    ) -> Result<Option<(u32, Option<IpAddr>)>, Errno> {
        let family = if ipv6 { AF_INET6 } else { AF_INET };
        let list = self.0.list(&Request::new(RTM_GETROUTE, &route_header(family)))?;
        let parse = |body: &Vec<u8>| {
            let default = *body.get(1)? == 0
                && *body.get(4)? == RT_TABLE_MAIN
                && *body.get(7)? == RTN_UNICAST;
            let find = |wanted| attributes(body, ROUTE).find(|(kind, _)| *kind == wanted);
            let (_, link) = find(RTA_OIF)?;
            let gateway = find(RTA_GATEWAY).and_then(|(_, value)| parse_ip(value));
            default.then_some((u32_at(link, 0)?, gateway))
        };
        Ok(list.iter().find_map(parse))
    }
}

fn route_header(family: u8) -> [u8; ROUTE] {
    let mut header = [AF_UNSPEC; ROUTE];
    if let Some(first) = header.first_mut() {
        *first = family;
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        let mut netlink = Netlink::route().unwrap();
        assert!(netlink.links().unwrap().iter().any(|link| link.name == "lo"));
        let lo = netlink.link("lo").unwrap().unwrap();
        assert_eq!(netlink.link("no-such-link").unwrap().map(|link| link.index), None);
        netlink.addresses(lo.index).unwrap();
        netlink.ipv4_networks().unwrap();
        netlink.default_route(false).unwrap();
    }
}
