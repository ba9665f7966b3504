//! Networks of programs' own (network_namespaces(7)): a loopback interface, which those who
//! administer it put up and give addresses.

use std::net::IpAddr;
use std::sync::Arc;

use rustix::io::Errno;

use crate::task::user_namespace::{Space, new_number};
use crate::task::waiter::lock;
use crate::task::{Caps, Credentials};

use super::Network;
use super::links::{Address, Link, Links, Route};

/// Addresses of all interfaces of a network at most.
const MOST_IN_ALL: usize = 1024;

/// Addresses of an interface at most, and routes.
const MOST: usize = 256;

/// Routes at most with those that come with addresses.
const MOST_ROUTES: usize = MOST_IN_ALL + MOST;

impl Network {
    /// A new one, in which nothing is up; UNIX sockets with files are where they were.
    #[must_use]
    pub fn apart(&self, owner: &Space) -> Arc<Network> {
        let number = new_number();
        Arc::new(Network {
            unix: self.unix.beside(number),
            number: Some(number),
            owner: owner.clone(),
            links: std::sync::Mutex::new(Arc::new(Links::unused())),
            ..Network::default()
        })
    }

    /// Whether somebody may change it. The sandbox's own is what the host made it.
    ///
    /// # Errors
    /// `EPERM`
    pub fn permit_change(&self, who: &Credentials) -> Result<(), Errno> {
        if self.number.is_none() {
            return Err(Errno::PERM);
        }
        who.require_in(&self.owner, Caps::NET_ADMIN)
    }

    /// Changes its interfaces; not at all if that fails.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn change(&self, f: impl FnOnce(&mut Links) -> Result<(), Errno>) -> Result<(), Errno> {
        let mut links = lock(&self.links);
        let mut new = links.without_lost().unwrap_or_else(|| Links::clone(&links));
        f(&mut new)?;
        *links = Arc::new(new);
        Ok(())
    }
}

impl Links {
    /// An interface by its number.
    ///
    /// # Errors
    /// `ENODEV`
    pub fn of_mut(&mut self, index: u32) -> Result<&mut Link, Errno> {
        self.links.iter_mut().find(|link| link.index == index).ok_or(Errno::NODEV)
    }
}

impl Links {
    /// Puts an interface up or down. Routes to the networks of its addresses come with that;
    /// all of its routes go, and addresses of IPv6.
    ///
    /// # Errors
    /// `ENODEV`; `ENOBUFS` if there are too many routes.
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<(), Errno> {
        let link = self.of_mut(index)?;
        if link.loopback || link.up == up {
            link.set_up(up);
            return Ok(());
        }
        link.up = up;
        if up {
            let own = link.addresses.clone();
            own.iter().try_for_each(|address| self.add_own_route(index, *address))?;
        } else {
            link.addresses.retain(|address| address.ip.is_ipv4());
            self.routes.retain(|route| route.link != index);
        }
        Ok(())
    }

    /// The route to the network of an interface's address.
    fn add_own_route(&mut self, index: u32, address: Address) -> Result<(), Errno> {
        let whole = if address.ip.is_ipv4() { 32 } else { 128 };
        let to = Address { ip: address.network(), prefix: address.prefix };
        let known = |route: &Route| route.own && route.to == to && route.link == index;
        if address.prefix < whole && !self.routes.iter().any(known) {
            if self.routes.len() >= MOST_ROUTES {
                return Err(Errno::NOBUFS);
            }
            let metric = if address.ip.is_ipv4() { 0 } else { 256 };
            self.routes.push(Route { to, gateway: None, link: index, metric, own: true });
        }
        Ok(())
    }

    /// Gives an interface an address; `again`: it may have it already.
    ///
    /// # Errors
    /// `ENODEV`; as [`Link::add`].
    pub fn add_address(&mut self, index: u32, new: Address, again: bool) -> Result<(), Errno> {
        let all: usize = self.links.iter().map(|link| link.addresses.len()).sum();
        let link = self.of_mut(index)?;
        let known = link.known(new);
        if all >= MOST_IN_ALL && known.is_none() {
            return Err(Errno::NOBUFS);
        }
        link.add(new, again)?;
        if link.up && !link.loopback {
            // One that it had keeps its network.
            self.add_own_route(index, known.unwrap_or(new))?;
        }
        Ok(())
    }

    /// Takes an address, and the route to its network with the last one there.
    ///
    /// # Errors
    /// `ENODEV`; as [`Link::remove`].
    pub fn remove_address(&mut self, index: u32, ip: IpAddr, prefix: u8) -> Result<(), Errno> {
        let link = self.of_mut(index)?;
        link.remove(ip, prefix)?;
        let gone = Address { ip: Address { ip, prefix }.network(), prefix };
        let same = |a: &Address| a.prefix == prefix && a.network() == gone.ip;
        if !link.addresses.iter().any(same) {
            let left = |route: &Route| !route.own || route.link != index || route.to != gone;
            self.routes.retain(left);
        }
        Ok(())
    }

    /// Adds a route; in place of one to the same network with the same metric, if `replaces`.
    ///
    /// # Errors
    /// `EEXIST`, `ENODEV`, `ENETDOWN`, `ENOBUFS`; `ENETUNREACH` if no interface leads to the
    /// gateway.
    pub fn add_route(&mut self, mut route: Route, replaces: bool) -> Result<(), Errno> {
        if let (Some(gateway), 0) = (route.gateway, route.link) {
            let direct = self.route(gateway).filter(|direct| direct.gateway.is_none());
            route.link = direct.ok_or(Errno::NETUNREACH)?.link;
        }
        let link = self.by_index(route.link).ok_or(Errno::NODEV)?;
        if !link.up {
            return Err(Errno::NETDOWN);
        }
        let near = |gateway: IpAddr| link.addresses.iter().any(|own| own.covers(gateway));
        if !route.gateway.is_none_or(near) {
            return Err(Errno::NETUNREACH);
        }
        let same = |own: &Route| own.to == route.to && own.metric == route.metric;
        let at = self.routes.iter().position(same);
        if at.is_some() && !replaces {
            return Err(Errno::EXIST);
        }
        if let Some(own) = at.and_then(|at| self.routes.get_mut(at)) {
            *own = route;
            return Ok(());
        }
        if self.routes.len() >= MOST {
            return Err(Errno::NOBUFS);
        }
        self.routes.push(route);
        Ok(())
    }

    /// Takes the first route away that fits: other gateways, interfaces and metrics don't.
    ///
    /// # Errors
    /// `ESRCH`
    pub fn remove_route(&mut self, wanted: &Route) -> Result<(), Errno> {
        let fits = |own: &Route| {
            own.to == wanted.to
                && (wanted.gateway.is_none() || own.gateway == wanted.gateway)
                && (wanted.link == 0 || own.link == wanted.link)
                && (wanted.metric == 0 || own.metric == wanted.metric)
        };
        let at = self.routes.iter().position(fits).ok_or(Errno::SRCH)?;
        self.routes.remove(at);
        Ok(())
    }
}

impl Link {
    /// The address that it has already in place of a new one.
    fn known(&self, new: Address) -> Option<Address> {
        let same =
            |own: &&Address| own.ip == new.ip && (own.prefix == new.prefix || own.ip.is_ipv6());
        self.addresses.iter().find(same).copied()
    }

    /// Gets an address; `again`: it may have it already.
    ///
    /// # Errors
    /// `EEXIST`; `ENOBUFS` if it has too many.
    pub fn add(&mut self, new: Address, again: bool) -> Result<(), Errno> {
        if self.known(new).is_some() {
            return if again { Ok(()) } else { Err(Errno::EXIST) };
        }
        if self.addresses.len() >= MOST {
            return Err(Errno::NOBUFS);
        }
        self.addresses.push(new);
        Ok(())
    }

    /// Loses an address.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`
    pub fn remove(&mut self, ip: IpAddr, prefix: u8) -> Result<(), Errno> {
        let at = self.addresses.iter().position(|own| own.ip == ip && own.prefix == prefix);
        self.addresses.remove(at.ok_or(Errno::ADDRNOTAVAIL)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_up_has_addresses_of_use() {
        let first = Network::default();
        let own = first.apart(&None);
        let (four, six): (IpAddr, IpAddr) = ("127.9.9.9".parse().unwrap(), "::1".parse().unwrap());
        assert!(first.is_own(four) && first.is_own(six));
        let up = |up| own.change(|links| links.set_up(1, up));
        let seen = || (own.is_own(four), own.is_own(six), own.links().links[0].addresses.len());
        assert_eq!(seen(), (false, false, 0));
        up(true).unwrap();
        assert_eq!(seen(), (true, true, 2));
        up(false).unwrap();
        assert_eq!(seen(), (false, false, 1));
        assert_eq!(own.source_by(four, 0), Err(Errno::NETUNREACH));
        let who = Credentials::of(0, 0, Vec::new());
        assert_eq!(
            (first.permit_change(&who), own.permit_change(&who)),
            (Err(Errno::PERM), Ok(()))
        );
        let new = Address { ip: "10.0.0.1".parse().unwrap(), prefix: 24 };
        let add = || own.change(|links| links.of_mut(1)?.add(new, false));
        assert_eq!((add(), add()), (Ok(()), Err(Errno::EXIST)));
        up(true).unwrap();
        assert!(
            own.is_own("10.0.0.77".parse().unwrap()) && !own.is_own("10.0.1.1".parse().unwrap())
        );
        let remove = || own.change(|links| links.of_mut(1)?.remove(new.ip, 24));
        assert_eq!((remove(), remove()), (Ok(()), Err(Errno::ADDRNOTAVAIL)));
    }

    #[test]
    fn nothing_is_added_without_end() {
        let own = Network::default().apart(&None);
        let kind = super::super::links::Kind::Dummy;
        for name in ["a", "b", "c", "d", "e"] {
            own.add_link(crate::net::pair::new_link(name.to_owned(), kind.clone()).unwrap())
                .unwrap();
        }
        let give = |link, ip: IpAddr, prefix| {
            own.change(|links| links.add_address(link, Address { ip, prefix }, true))
        };
        own.change(|links| links.set_up(2, true)).unwrap();
        let six: IpAddr = "fd00::1".parse().unwrap();
        assert!((9..128).all(|prefix| give(2, six, prefix) == Ok(())));
        assert_eq!(own.links().routes.len(), 1);
        // Routes that replace those of addresses stay without them.
        let ip = |number: u32| IpAddr::from((0x0a00_0001 + (number << 8)).to_be_bytes());
        let turn = |number: u32| {
            give(2, ip(number), 24)?;
            own.change(|links| {
                let mut route = *links.routes.last().ok_or(Errno::SRCH)?;
                route.own = false;
                links.add_route(route, true)?;
                links.remove_address(2, ip(number), 24)
            })
        };
        assert_eq!((0..5000).find_map(|number| turn(number).err()), Some(Errno::NOBUFS));
        assert_eq!(own.links().routes.len(), MOST_ROUTES);
        let many = |number: u32| give(3 + number / 250, ip(number), 24);
        assert_eq!((0..1000).find_map(|number| many(number).err()), None);
        assert_eq!(
            (1000..2000).find_map(|number| give(2, ip(number), 32).err()),
            Some(Errno::NOBUFS)
        );
        assert_eq!(own.links().links.iter().map(|l| l.addresses.len()).sum::<usize>(), MOST_IN_ALL);
    }
}
