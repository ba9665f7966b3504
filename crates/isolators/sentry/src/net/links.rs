//! Interfaces, addresses and routes of the sandbox.

use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::pair::End;

/// `IFF_*`
pub mod flag {
    #![allow(missing_docs, reason = "names of netdevice(7)")]
    pub const UP: u32 = 1;
    pub const BROADCAST: u32 = 2;
    pub const LOOPBACK: u32 = 8;
    pub const RUNNING: u32 = 0x40;
    pub const MULTICAST: u32 = 0x1000;
    pub const LOWER_UP: u32 = 0x1_0000;
}

/// The number of the loopback interface.
pub const LOOPBACK: u32 = 1;

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Bits that all addresses of its network share.
    pub prefix: u8,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number, from one on.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Largest packet.
    pub mtu: u32,
    /// Hardware address; zero for the loopback interface.
    pub hardware: [u8; 6],
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// How it came to be.
    pub kind: Kind,
}

/// How an interface came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// It is there as long as the network.
    #[default]
    Plain,
    /// A program made it; it leads nowhere.
    Dummy,
    /// A program made it, with another one that it leads to.
    Pair(End),
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network; any address with prefix zero for the default route.
    pub to: Address,
    /// The machine that passes on, if any.
    pub gateway: Option<IpAddr>,
    /// Number of the interface.
    pub link: u32,
    /// Its metric.
    pub metric: u32,
    /// Whether it came with an address.
    pub own: bool,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// Interfaces, by number.
    pub links: Vec<Link>,
    /// Routes, as they were added; those to networks of interfaces among them.
    pub routes: Vec<Route>,
    /// The highest number that an interface of a program had.
    pub last: u32,
}

impl Default for Links {
    /// The loopback interface, which is up.
    fn default() -> Self {
        let mut links = Links::unused();
        links.links.iter_mut().for_each(|link| link.set_up(true));
        links
    }
}

impl Address {
    /// Whether it is in the same network as `ip`.
    #[must_use]
    pub fn covers(&self, ip: IpAddr) -> bool {
        let bits = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, true),
            IpAddr::V6(v6) => (v6.to_bits(), false),
        };
        let (one, other) = (bits(self.ip), bits(ip));
        let different = (one.0 ^ other.0).leading_zeros();
        one.1 == other.1 && (one.0 == other.0 || different >= u32::from(self.prefix))
    }

    /// The netmask, of IPv4.
    #[must_use]
    pub fn mask(&self) -> Ipv4Addr {
        let bits = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
        Ipv4Addr::from_bits(bits)
    }

    /// The address that stands for all machines of its network, of IPv4.
    #[must_use]
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.ip {
            IpAddr::V4(ip) if self.prefix < 31 => {
                Some(Ipv4Addr::from_bits(ip.to_bits() | !self.mask().to_bits()))
            }
            _ => None,
        }
    }

    /// Whether `ip` is the machine's own if this is an address of a loopback interface: all of
    /// its network, of IPv4, but that of no address.
    fn owns(&self, ip: IpAddr) -> bool {
        let whole = matches!(self.network(), IpAddr::V4(network) if !network.is_unspecified());
        self.ip == ip || whole && self.covers(ip)
    }

    /// The network itself.
    #[must_use]
    pub fn network(&self) -> IpAddr {
        match self.ip {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & self.mask().to_bits()).into(),
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix.min(128)));
                Ipv6Addr::from_bits(ip.to_bits() & mask.unwrap_or(0)).into()
            }
        }
    }
}

impl Link {
    /// Sets how much a packet holds.
    ///
    /// # Errors
    /// `EINVAL` for what its kind does not take.
    pub fn set_mtu(&mut self, mtu: u32) -> Result<(), Errno> {
        const SMALLEST: u32 = 68;
        let (smallest, largest) = match self.kind {
            Kind::Plain => (0, 0x7fff_ffff),
            Kind::Dummy => (0, u32::MAX),
            Kind::Pair(_) => (SMALLEST, 65_535),
        };
        if !(smallest..=largest).contains(&mtu) {
            return Err(Errno::INVAL);
        }
        self.mtu = mtu;
        Ok(())
    }

    /// `IFF_*`
    #[must_use]
    pub fn flags(&self) -> u32 {
        let kind = if self.loopback { flag::LOOPBACK } else { flag::BROADCAST | flag::MULTICAST };
        let carried = flag::RUNNING | flag::LOWER_UP;
        let up = match self.up {
            true if self.is_carried() => flag::UP | carried,
            true => flag::UP,
            false => 0,
        };
        kind | up
    }

    /// Whether what is sent by it can arrive, as long as it is up.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        let Kind::Pair(end) = &self.kind else { return true };
        let other = end.other().map(|(network, index)| (network.links(), index));
        other.is_some_and(|(links, index)| {
            links.by_index(index).is_some_and(|link| end.leads_to(link))
        })
    }

    /// Puts it up or down. A loopback interface gets its addresses with that, and loses those
    /// of IPv6.
    pub(super) fn set_up(&mut self, up: bool) {
        if self.up == up || !self.loopback {
            return;
        }
        self.up = up;
        if !up {
            self.addresses.retain(|address| address.ip.is_ipv4());
            return;
        }
        let own = Address { ip: Ipv4Addr::LOCALHOST.into(), prefix: 8 };
        if !self.addresses.contains(&own) {
            self.addresses.insert(0, own);
        }
        let own = Address { ip: Ipv6Addr::LOCALHOST.into(), prefix: 128 };
        if !self.addresses.contains(&own) {
            self.addresses.push(own);
        }
    }

    /// Whether an address is its own.
    fn has(&self, ip: IpAddr) -> bool {
        self.closest(ip).is_some()
    }

    /// The address by which `ip` is its own: itself, or that of the smallest network.
    fn closest(&self, ip: IpAddr) -> Option<&Address> {
        let own = self.addresses.iter().filter(|a| a.ip == ip || self.loopback && a.owns(ip));
        own.max_by_key(|a| (a.ip == ip, a.prefix))
    }

    /// Its first address of IPv4.
    #[must_use]
    pub fn v4(&self) -> Option<Address> {
        self.addresses.iter().copied().find(|a| a.ip.is_ipv4())
    }
}

impl Links {
    /// The loopback interface, which nobody has used yet.
    #[must_use]
    pub fn unused() -> Self {
        let (name, mtu, hardware) = ("lo".to_owned(), 65_536, [0; 6]);
        let (up, addresses) = (false, Vec::new());
        let lo = Link {
            index: LOOPBACK,
            name,
            mtu,
            hardware,
            loopback: true,
            up,
            addresses,
            kind: Kind::Plain,
        };
        Links { links: vec![lo], routes: Vec::new(), last: LOOPBACK }
    }

    /// Whether an address is one of this machine's own, and of use: of a loopback interface
    /// all of its networks.
    #[must_use]
    pub fn is_own(&self, ip: IpAddr) -> bool {
        self.links.iter().any(|link| link.up && link.has(ip))
    }

    /// The address from which something is sent to one of the machine's own: of IPv4 the first
    /// one in the same network.
    #[must_use]
    pub fn own_source(&self, ip: IpAddr) -> Option<IpAddr> {
        let up = self.links.iter().filter(|link| link.up);
        let own = up.filter_map(|link| Some((link, link.closest(ip)?)));
        let (link, own) = own.max_by_key(|(_, own)| (own.ip == ip, own.prefix))?;
        let first = |a: &&Address| a.prefix == own.prefix && a.covers(own.ip);
        let first = link.addresses.iter().find(first).filter(|_| ip.is_ipv4());
        Some(first.unwrap_or(own).ip)
    }

    /// Whether a socket may have an address that is not a group's. As on Linux, whose table of
    /// own addresses is made with the first one, any of IPv4 where there is none.
    #[must_use]
    pub fn may_be_bound(&self, ip: IpAddr) -> bool {
        let all = || self.links.iter().flat_map(|link| &link.addresses);
        let none = ip.is_ipv4() && all().all(|address| address.ip.is_ipv6());
        none || ip.is_unspecified() || self.links.iter().any(|link| link.has(ip))
    }

    /// An interface by its number.
    #[must_use]
    pub fn by_index(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|l| l.index == index)
    }

    /// An interface by its name.
    #[must_use]
    pub fn by_name(&self, name: &[u8]) -> Option<&Link> {
        self.links.iter().find(|l| l.name.as_bytes() == name)
    }

    /// The interface that has this very address.
    #[must_use]
    pub fn by_address(&self, ip: IpAddr) -> Option<&Link> {
        self.links.iter().find(|l| l.addresses.iter().any(|a| a.ip == ip))
    }

    /// The best route to an address.
    #[must_use]
    pub fn route(&self, ip: IpAddr) -> Option<&Route> {
        self.best(ip, |_| true)
    }

    fn best(&self, ip: IpAddr, may: impl Fn(&Route) -> bool) -> Option<&Route> {
        let fit = self.routes.iter().filter(|r| r.to.covers(ip) && may(r));
        fit.min_by_key(|r| (u8::MAX - r.to.prefix, r.metric))
    }

    /// The best route to an address by an interface; any, if its number is zero. As on Linux,
    /// who chooses one himself is taken to know that it leads there, of IPv4.
    #[must_use]
    pub fn route_by(&self, ip: IpAddr, link: u32) -> Option<Route> {
        if link == 0 {
            return self.route(ip).copied();
        }
        self.best(ip, |r| r.link == link).copied().or_else(|| {
            self.by_index(link).filter(|link| link.up && !link.loopback && ip.is_ipv4())?;
            let to = Address { ip, prefix: 32 };
            Some(Route { to, gateway: None, link, metric: 0, own: false })
        })
    }

    /// The address from which something is sent to `ip` by a route.
    #[must_use]
    pub fn source(&self, route: &Route, ip: IpAddr) -> Option<IpAddr> {
        let next = route.gateway.unwrap_or(ip);
        let link = self.by_index(route.link)?;
        let same = |a: &&Address| a.ip.is_ipv4() == ip.is_ipv4();
        let close = link.addresses.iter().filter(same).find(|a| a.covers(next));
        close.or_else(|| link.addresses.iter().find(same)).map(|a| a.ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let address = |text: &str, prefix| Address { ip: text.parse().unwrap(), prefix };
        let mut links = Links::default();
        links.links.push(Link {
            index: 2,
            name: "eth0".to_owned(),
            mtu: 1500,
            hardware: [2; 6],
            loopback: false,
            up: true,
            addresses: vec![address("10.1.2.3", 24)],
            kind: Kind::Plain,
        });
        let gateway = Some("10.1.2.1".parse().unwrap());
        links.routes = vec![
            Route { to: address("0.0.0.0", 0), gateway, link: 2, metric: 0, own: false },
            Route { to: address("10.1.2.0", 24), gateway: None, link: 2, metric: 0, own: true },
        ];
        let far = "192.0.2.9".parse().unwrap();
        assert_eq!(links.route(far).unwrap().gateway, gateway);
        let near = "10.1.2.200".parse().unwrap();
        let route = *links.route(near).unwrap();
        assert_eq!(route.gateway, None);
        assert_eq!(links.source(&route, near), Some("10.1.2.3".parse().unwrap()));
        assert!(links.route("::9".parse().unwrap()).is_none());
        let own = address("10.1.2.3", 24);
        assert_eq!(own.broadcast(), Some(Ipv4Addr::new(10, 1, 2, 255)));
        assert_eq!(own.network(), IpAddr::from([10, 1, 2, 0]));
        assert!(links.is_own(own.ip) && !links.is_own(near));
    }
}
