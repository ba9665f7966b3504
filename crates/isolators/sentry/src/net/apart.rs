//! Networks of programs' own (network_namespaces(7)): a loopback interface, which those who
//! administer it put up and give addresses.

use std::net::IpAddr;
use std::sync::Arc;

use rustix::io::Errno;

use crate::task::user_namespace::{Space, new_number};
use crate::task::waiter::lock;
use crate::task::{Caps, Credentials};

use super::Network;
use super::links::{Address, Link, Links};

/// Addresses of an interface at most.
const MOST: usize = 256;

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
        let mut new = Links::clone(&links);
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

impl Link {
    /// Gets an address; `again`: it may have it already.
    ///
    /// # Errors
    /// `EEXIST`; `ENOBUFS` if it has too many.
    pub fn add(&mut self, new: Address, again: bool) -> Result<(), Errno> {
        let same =
            |own: &Address| own.ip == new.ip && (own.prefix == new.prefix || own.ip.is_ipv6());
        if self.addresses.iter().any(same) {
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
        let up = |up| own.change(|links| links.of_mut(1).map(|link| link.set_up(up)));
        let seen = || (own.is_own(four), own.is_own(six), own.links().links[0].addresses.len());
        assert_eq!(seen(), (false, false, 0));
        up(true).unwrap();
        assert_eq!(seen(), (true, true, 2));
        up(false).unwrap();
        assert_eq!(seen(), (false, false, 1));
        assert_eq!(own.source(four), Err(Errno::NETUNREACH));
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
}
