//! Links of programs' own networks: pairs (veth(4)) that connect two of them, and such that lead
//! nowhere. What is sent by one end of a pair comes to the other's network, without packets.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::Network;
use super::links::{Kind, Link, Links};

/// Pairs of all networks at most.
const MOST_PAIRS: usize = 8192;
/// Links of a network at most.
const MOST_LINKS: usize = 256;

static PAIRS: AtomicUsize = AtomicUsize::new(0);

/// Who makes, moves or deletes links: of two networks at once, one after the other.
static CHANGES: Mutex<()> = Mutex::new(());

/// Nobody else makes, moves or deletes links meanwhile.
pub fn changing() -> MutexGuard<'static, ()> {
    lock(&CHANGES)
}

/// Where an end is: its network, and its number there.
type Place = (Weak<Network>, u32);

/// A pair of links.
#[derive(Debug)]
struct Pair(Mutex<[Place; 2]>);

impl Drop for Pair {
    fn drop(&mut self) {
        PAIRS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One end of a pair.
#[derive(Clone, Debug)]
pub struct End {
    pair: Arc<Pair>,
    second: bool,
}

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pair, &other.pair) && self.second == other.second
    }
}

impl Eq for End {}

impl End {
    /// Two that are nowhere yet.
    ///
    /// # Errors
    /// `ENOBUFS` if there are too many.
    pub fn two() -> Result<[Self; 2], Errno> {
        if PAIRS.fetch_add(1, Ordering::Relaxed) >= MOST_PAIRS {
            PAIRS.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::NOBUFS);
        }
        let pair = Arc::new(Pair(Mutex::default()));
        Ok([false, true].map(|second| End { pair: Arc::clone(&pair), second }))
    }

    /// It is there now, or will be, while that is zero.
    pub fn stand(&self, network: &Arc<Network>, index: u32) {
        let [first, second] = &mut *lock(&self.pair.0);
        *(if self.second { second } else { first }) = (Arc::downgrade(network), index);
    }

    /// The other one.
    fn twin(&self) -> End {
        End { pair: Arc::clone(&self.pair), second: !self.second }
    }

    /// Whether a link is the other one, and up.
    #[must_use]
    pub fn leads_to(&self, link: &Link) -> bool {
        link.up && link.kind == Kind::Pair(self.twin())
    }

    fn place_of_other(&self) -> Place {
        let [first, second] = &*lock(&self.pair.0);
        (if self.second { first } else { second }).clone()
    }

    /// Whether the other one is in a network.
    fn comes_from(&self, network: &Network) -> bool {
        std::ptr::eq(self.place_of_other().0.as_ptr(), network)
    }

    /// Whether the other one is gone with its network.
    fn is_alone(&self) -> bool {
        self.place_of_other().0.strong_count() == 0
    }

    /// Where the other one is; `None` if its network is no more.
    #[must_use]
    pub fn other(&self) -> Option<(Arc<Network>, u32)> {
        let (network, index) = self.place_of_other();
        Some((network.upgrade()?, index))
    }
}

/// Where what is sent comes to.
pub enum Reach {
    /// This network.
    Own,
    /// Another one, by the link of this number.
    Other(Arc<Network>, u32),
    /// The way out of the sandbox.
    Outside,
    /// Nobody.
    Nobody,
}

impl Network {
    /// Where what is sent from one of its addresses to `ip` comes to, by an interface, if its
    /// number is not zero.
    #[must_use]
    pub fn reach(&self, from: IpAddr, ip: IpAddr, link: u32) -> Reach {
        let links = self.links();
        let own = ip.is_unspecified() || links.is_own(ip);
        if own || self.number.is_some() && ip.is_multicast() {
            return Reach::Own;
        }
        if self.number.is_none() {
            return if self.stack().is_some() { Reach::Outside } else { Reach::Own };
        }
        let by =
            links.route_by(ip, link).and_then(|route| Some((route, links.by_index(route.link)?)));
        let Some((route, Link { kind: Kind::Pair(end), .. })) = by else { return Reach::Nobody };
        let Some((other, index)) = end.other() else { return Reach::Nobody };
        let there = other.links();
        // Nothing is passed on, and answers come back, if not by the same links.
        let known = |ip: IpAddr| !ip.is_loopback() && there.is_own(ip);
        let up = there.by_index(index).is_some_and(|link| end.leads_to(link));
        // Nobody sends for the other network, nor for nobody, nor what stays in this one.
        let sends = !from.is_loopback() && !from.is_unspecified() && !there.is_own(from);
        let back = there.route(from).and_then(|route| there.by_index(route.link));
        let back = back.is_some_and(|link| {
            link.up && matches!(&link.kind, Kind::Pair(end) if end.comes_from(self))
        });
        let arrives = up && sends && back && known(ip) && route.gateway.is_none_or(known);
        if arrives { Reach::Other(other, index) } else { Reach::Nobody }
    }

    /// Adds a link; returns its number, which is the link's own if that is free.
    ///
    /// # Errors
    /// `EEXIST` if there is one of its name; `ENOBUFS` if there are too many.
    pub fn add_link(self: &Arc<Self>, mut link: Link) -> Result<u32, Errno> {
        let mut index = link.index;
        self.change(|links| {
            if links.by_name(link.name.as_bytes()).is_some() {
                return Err(Errno::EXIST);
            }
            if links.links.len() >= MOST_LINKS {
                return Err(Errno::NOBUFS);
            }
            if index == 0 || links.by_index(index).is_some() {
                index = links.last.checked_add(1).ok_or(Errno::NOBUFS)?;
            }
            links.last = links.last.max(index);
            link.index = index;
            if let Kind::Pair(end) = &link.kind {
                end.stand(self, index);
            }
            links.links.push(link);
            links.links.sort_by_key(|link| link.index);
            Ok(())
        })?;
        Ok(index)
    }

    /// Takes a link away, with the other end of its pair.
    ///
    /// # Errors
    /// `ENODEV`; `EOPNOTSUPP` of the loopback interface.
    pub fn delete_link(&self, index: u32) -> Result<(), Errno> {
        let _changing = changing();
        let kind = self.links().by_index(index).ok_or(Errno::NODEV)?.kind.clone();
        if kind == Kind::Plain {
            return Err(Errno::OPNOTSUPP);
        }
        self.forget_link(index, &kind)?;
        if let Kind::Pair(end) = kind
            && let Some((other, index)) = end.other()
        {
            let _ = other.forget_link(index, &Kind::Pair(end.twin()));
        }
        Ok(())
    }

    /// Moves a link to another network, where it is down and has no addresses, and another name,
    /// if it is given one.
    ///
    /// # Errors
    /// `ENODEV`; `EINVAL` of the loopback interface; as [`Self::add_link`].
    pub fn move_link(
        &self,
        index: u32,
        to: &Arc<Network>,
        name: Option<String>,
    ) -> Result<u32, Errno> {
        let _changing = changing();
        let mut link = self.links().by_index(index).ok_or(Errno::NODEV)?.clone();
        if link.kind == Kind::Plain {
            return Err(Errno::INVAL);
        }
        if std::ptr::eq(self, &raw const **to) {
            return Ok(index);
        }
        let kind = link.kind.clone();
        link.name = name.unwrap_or(link.name);
        (link.up, link.addresses) = (false, Vec::new());
        let there = to.add_link(link)?;
        self.forget_link(index, &kind)?;
        Ok(there)
    }

    /// Takes a link away if it is the one meant, and nothing else.
    ///
    /// # Errors
    /// `ENODEV`
    pub fn forget_link(&self, index: u32, kind: &Kind) -> Result<(), Errno> {
        self.change(|links| {
            links.by_index(index).filter(|link| link.kind == *kind).ok_or(Errno::NODEV)?;
            links.take(index).map(drop)
        })
    }
}

impl Links {
    /// Takes a link out, with its routes.
    fn take(&mut self, index: u32) -> Result<Link, Errno> {
        let at = self.links.iter().position(|link| link.index == index).ok_or(Errno::NODEV)?;
        self.routes.retain(|route| route.link != index);
        Ok(self.links.remove(at))
    }

    /// Without ends of pairs whose other ends are gone with their networks; `None` if there
    /// are none.
    pub(super) fn without_lost(&self) -> Option<Links> {
        let lost = |link: &Link| matches!(&link.kind, Kind::Pair(end) if end.is_alone());
        let all: Vec<u32> = self.links.iter().filter(|l| lost(l)).map(|l| l.index).collect();
        if all.is_empty() {
            return None;
        }
        let mut left = self.clone();
        all.iter().for_each(|index| drop(left.take(*index)));
        Some(left)
    }

    /// A name that no link has: `veth0` and so on.
    #[must_use]
    pub fn free_name(&self, kind: &str) -> String {
        let mut all = (0..).map(|number: u32| format!("{kind}{number}"));
        all.find(|name| self.by_name(name.as_bytes()).is_none()).unwrap_or_default()
    }
}

/// Whether a link can be called so.
///
/// # Errors
/// `EINVAL`
pub fn check_name(name: &[u8]) -> Result<String, Errno> {
    let fits = (1..16).contains(&name.len()) && name != b"." && name != b"..";
    let bad = |b: &u8| *b == b'/' || *b == b':' || b.is_ascii_whitespace() || *b == b'%';
    if !fits || name.iter().any(bad) {
        return Err(Errno::INVAL);
    }
    String::from_utf8(name.to_vec()).map_err(|_| Errno::INVAL)
}

/// A new link, which is down.
///
/// # Errors
/// `EIO` if the host has no random numbers.
pub fn new_link(name: String, kind: Kind) -> Result<Link, Errno> {
    let mut hardware = [0; 6];
    if !crate::platform::random(&mut hardware) {
        return Err(Errno::IO);
    }
    // Of one machine, made by its administrator.
    if let Some(first) = hardware.first_mut() {
        *first = *first & 0xfc | 2;
    }
    let addresses = Vec::new();
    Ok(Link { index: 0, name, mtu: 1500, hardware, loopback: false, up: false, addresses, kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::links::{Address, LOOPBACK, Route};

    #[test]
    fn networks_are_connected_by_a_pair() {
        let first = Network::default();
        let (one, other) = (first.apart(&None), first.apart(&None));
        let ends = End::two().unwrap();
        ends[0].stand(&one, 0);
        ends[1].stand(&other, 0);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let add = |network: &Arc<Network>, end: &End, address: &str| {
            let link = new_link("v".to_owned(), Kind::Pair(end.clone())).unwrap();
            let index = network.add_link(link.clone()).unwrap();
            assert_eq!(network.add_link(link), Err(Errno::EXIST));
            network
                .change(|links| {
                    links.add_address(index, Address { ip: ip(address), prefix: 24 }, false)
                })
                .unwrap();
            index
        };
        let (a, b) = (add(&one, &ends[0], "10.0.0.1"), add(&other, &ends[1], "10.0.0.2"));
        let reaches = || matches!(one.reach(ip("10.0.0.1"), ip("10.0.0.2"), 0), Reach::Other(..));
        assert!(a > LOOPBACK && !reaches());
        let up = |network: &Network, index, up| network.change(|links| links.set_up(index, up));
        up(&one, a, true).unwrap();
        assert!(!reaches());
        up(&other, b, true).unwrap();
        assert!(reaches());
        assert!(matches!(one.reach(ip("10.0.0.1"), ip("10.0.0.9"), 0), Reach::Nobody));
        let any: Route = Route {
            to: Address { ip: ip("0.0.0.0"), prefix: 0 },
            ..*other.links().routes.first().unwrap()
        };
        other.change(|links| links.add_route(Route { own: false, ..any }, false)).unwrap();
        for from in ["127.0.0.1", "0.0.0.0", "10.0.0.2"] {
            assert!(matches!(one.reach(ip(from), ip("10.0.0.2"), 0), Reach::Nobody), "{from}");
        }
        let more = |number: u32| {
            one.add_link(new_link(format!("d{number}"), Kind::Dummy).unwrap()).map(drop)
        };
        let made = (0..1000).take_while(|number| more(*number).is_ok()).count();
        assert_eq!(made, MOST_LINKS - 2);
        let address = |number: u32| Address { ip: IpAddr::from(number.to_be_bytes()), prefix: 9 };
        let link = |number: u32| 3 + number / 100;
        let give = |number: u32| {
            one.change(|links| links.add_address(link(number), address(number + 1), false))
        };
        assert_eq!((0..5000).take_while(|number| give(*number).is_ok()).count(), 1023);
        one.links().links.iter().filter(|l| l.kind == Kind::Dummy).for_each(|link| {
            one.delete_link(link.index).unwrap();
        });
        // Moved by two at once, it is in one place.
        let places = [first.apart(&None), first.apart(&None)];
        let moved = std::thread::scope(|scope| {
            let all = places.each_ref().map(|to| scope.spawn(|| other.move_link(b, to, None)));
            all.map(|one| one.join().unwrap().is_ok())
        });
        let there = places.each_ref().map(|place| place.links().links.len() == 2);
        assert!(moved == there && moved[0] != moved[1] && other.links().links.len() == 1);
        assert!(!reaches());
        drop(places);
        assert!(!reaches() && one.links().links.len() == 1 && one.links().routes.is_empty());
    }
}
