//! Who has which port.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::task::waiter::lock;

/// `net.ipv4.ip_local_port_range`
pub const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// How a socket wants to have its port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Nothing of IPv4 comes to it, although it is bound to any address.
    pub only_v6: bool,
    /// `SO_REUSEADDR`
    pub reuse_address: bool,
    /// `SO_REUSEPORT`
    pub reuse_port: bool,
    /// Whose it is: only sockets of one user share a port by that.
    pub user: u32,
    /// The interface that it is bound to, if any.
    pub device: u32,
    /// It listens.
    pub listens: bool,
    /// It is a connection.
    pub connected: bool,
}

impl Wish {
    /// Whether its socket takes what comes by an interface.
    #[must_use]
    pub fn hears(&self, link: u32) -> bool {
        self.device == 0 || self.device == link
    }
}

#[derive(Debug)]
struct Row<T> {
    id: u64,
    ip: IpAddr,
    wish: Wish,
    socket: Weak<T>,
}

/// A socket that something can be for.
pub struct Found<T> {
    distance: u8,
    ip: IpAddr,
    shares: bool,
    /// The socket.
    pub socket: Arc<T>,
}

/// Ports of one protocol.
#[derive(Debug)]
pub struct Ports<T> {
    rows: Mutex<HashMap<u16, Vec<Row<T>>>>,
    next: AtomicU64,
    /// Whether a shared address is enough when nobody listens.
    streams: bool,
    /// By which one of those that share a port is chosen; nobody outside knows it.
    chance: RandomState,
}

/// A port that is held until this is dropped.
#[derive(Debug)]
pub struct Held<T> {
    ports: Arc<Ports<T>>,
    port: u16,
    id: u64,
}

fn covers(ip: IpAddr, only_v6: bool, other: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => other.is_ipv4(),
        IpAddr::V6(ip) if ip.is_unspecified() => other.is_ipv6() || !only_v6,
        ip => ip == other,
    }
}

impl<T> Ports<T> {
    /// None is taken.
    #[must_use]
    pub fn new(streams: bool) -> Arc<Self> {
        let chance = RandomState::new();
        Arc::new(Ports { rows: Mutex::default(), next: AtomicU64::new(1), streams, chance })
    }

    fn conflict(&self, row: &Row<T>, ip: IpAddr, wish: Wish) -> bool {
        let overlap = covers(row.ip, row.wish.only_v6, ip) || covers(ip, wish.only_v6, row.ip);
        let listens = self.streams && row.wish.listens;
        let group = row.wish.reuse_port && wish.reuse_port && row.wish.user == wish.user;
        let shared = group || row.wish.reuse_address && wish.reuse_address && !listens;
        let apart = row.wish.device != 0 && wish.device != 0 && row.wish.device != wish.device;
        overlap && !apart && !shared && row.socket.strong_count() > 0
    }

    /// Takes a port, or any if it is zero.
    ///
    /// # Errors
    /// `EADDRINUSE`
    pub fn take(
        self: &Arc<Self>,
        address: SocketAddr,
        wish: Wish,
        socket: &Arc<T>,
    ) -> Result<(Held<T>, SocketAddr), Errno> {
        let mut rows = lock(&self.rows);
        let free = |rows: &HashMap<u16, Vec<Row<T>>>, port: u16| {
            let taken = rows.get(&port);
            !taken.is_some_and(|t| t.iter().any(|r| self.conflict(r, address.ip(), wish)))
        };
        let port = if address.port() == 0 {
            let mut bytes = [0; 2];
            if !crate::platform::random(&mut bytes) {
                return Err(Errno::IO);
            }
            let count = EPHEMERAL.end() - EPHEMERAL.start() + 1;
            let first = u16::from_le_bytes(bytes) % count;
            let mut all = (0..count).map(|n| {
                EPHEMERAL.start()
                    + u16::try_from((u32::from(n) + u32::from(first)) % u32::from(count))
                        .unwrap_or(0)
            });
            all.find(|p| rows.get(p).is_none_or(Vec::is_empty)).ok_or(Errno::ADDRINUSE)?
        } else {
            address.port()
        };
        if !free(&rows, port) {
            return Err(Errno::ADDRINUSE);
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let row = Row { id, ip: address.ip(), wish, socket: Arc::downgrade(socket) };
        rows.entry(port).or_default().push(row);
        let held = Held { ports: Arc::clone(self), port, id };
        Ok((held, SocketAddr::new(address.ip(), port)))
    }

    /// Enters a socket that shares a port, as with the listener it came from.
    pub fn share(self: &Arc<Self>, address: SocketAddr, wish: Wish, socket: &Arc<T>) -> Held<T> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let wish = Wish { listens: false, connected: true, ..wish };
        let row = Row { id, ip: address.ip(), wish, socket: Arc::downgrade(socket) };
        lock(&self.rows).entry(address.port()).or_default().push(row);
        Held { ports: Arc::clone(self), port: address.port(), id }
    }

    /// Sockets that what is sent to `address` can be for, the closest first; of equal
    /// ones the last first.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Vec<Arc<T>> {
        self.found(address).into_iter().map(|found| found.socket).collect()
    }

    /// The same, to choose one of them.
    #[must_use]
    pub fn found(&self, address: SocketAddr) -> Vec<Found<T>> {
        let rows = lock(&self.rows);
        let mut found = Vec::new();
        for row in rows.get(&address.port()).into_iter().flatten().rev() {
            if covers(row.ip, row.wish.only_v6, address.ip())
                && let Some(socket) = row.socket.upgrade()
            {
                let family = row.ip.is_ipv4() == address.ip().is_ipv4();
                let distance = u8::from(row.ip.is_unspecified()) + u8::from(!family);
                found.push(Found { distance, ip: row.ip, shares: row.wish.reuse_port, socket });
            }
        }
        drop(rows);
        found.sort_by_key(|found| found.distance);
        found
    }

    /// The one of them that takes what comes from `from`: of those that share the port, always
    /// the same for the same sender. Only those that `takes` count.
    #[must_use]
    pub fn chosen(
        &self,
        address: SocketAddr,
        from: SocketAddr,
        takes: impl Fn(&T) -> bool,
    ) -> Option<Arc<T>> {
        self.choose(self.found(address), (address, from), takes)
    }

    /// The same of those that were found.
    #[must_use]
    pub fn choose(
        &self,
        mut found: Vec<Found<T>>,
        ends: (SocketAddr, SocketAddr),
        takes: impl Fn(&T) -> bool,
    ) -> Option<Arc<T>> {
        found.retain(|found| takes(&found.socket));
        let first = found.first()?;
        if !first.shares {
            return Some(Arc::clone(&first.socket));
        }
        let (distance, ip) = (first.distance, first.ip);
        found.retain(|one| one.shares && one.distance == distance && one.ip == ip);
        let number = self.chance.hash_one(ends);
        let index = number % u64::try_from(found.len()).unwrap_or(1).max(1);
        let one = found.get(usize::try_from(index).unwrap_or(0))?;
        Some(Arc::clone(&one.socket))
    }

    /// All sockets that hold a port.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        let rows = lock(&self.rows);
        rows.values().flatten().filter_map(|row| row.socket.upgrade()).collect()
    }
}

impl<T> Held<T> {
    /// Follows a change of what its socket wants.
    ///
    /// # Errors
    /// `EADDRINUSE` if another listens.
    pub fn listen(&self, wish: Wish) -> Result<(), Errno> {
        let mut rows = lock(&self.ports.rows);
        let Some(rows) = rows.get_mut(&self.port) else { return Err(Errno::INVAL) };
        let own = rows.iter().find(|r| r.id == self.id).map(|r| r.ip).ok_or(Errno::INVAL)?;
        // Connections of a listener that is gone stand in nobody's way.
        let others = rows.iter().filter(|r| r.id != self.id && !r.wish.connected);
        if others.into_iter().any(|r| self.ports.conflict(r, own, wish)) {
            return Err(Errno::ADDRINUSE);
        }
        if let Some(row) = rows.iter_mut().find(|r| r.id == self.id) {
            row.wish = wish;
        }
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Row<T>)) {
        let mut rows = lock(&self.ports.rows);
        let row = rows.get_mut(&self.port).and_then(|r| r.iter_mut().find(|r| r.id == self.id));
        if let Some(row) = row {
            change(row);
        }
    }

    /// Its socket wants something else.
    pub fn set(&self, wish: Wish) {
        self.change(|row| {
            row.wish = Wish { listens: row.wish.listens, connected: row.wish.connected, ..wish };
        });
    }

    /// Its socket listens no more.
    pub fn end_listening(&self) {
        self.change(|row| row.wish.listens = false);
    }

    /// Another address of its own: the one that a connection uses.
    pub fn narrow(&self, ip: IpAddr) {
        self.change(|row| row.ip = ip);
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        let mut rows = lock(&self.ports.rows);
        if let Some(list) = rows.get_mut(&self.port) {
            list.retain(|row| row.id != self.id);
            if list.is_empty() {
                rows.remove(&self.port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_ip() -> IpAddr {
        "127.0.0.1".parse().unwrap()
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_that_overlap_are_taken_once() {
        let ports: Arc<Ports<u8>> = Ports::new(true);
        let (one, two) = (Arc::new(1), Arc::new(2));
        let plain = Wish::default();
        let (held, _) = ports.take(at("127.0.0.1:80"), plain, &one).unwrap();
        assert!(ports.take(at("127.0.0.2:80"), plain, &two).is_ok());
        for other in ["127.0.0.1:80", "0.0.0.0:80", "[::]:80"] {
            assert_eq!(ports.take(at(other), plain, &two).err(), Some(Errno::ADDRINUSE), "{other}");
        }
        let only = Wish { only_v6: true, ..plain };
        let six = ports.take(at("[::]:80"), only, &two).unwrap();
        assert_eq!(ports.at(at("[::1]:80")), [Arc::clone(&two)]);
        assert_eq!(ports.at(at("127.0.0.1:80")), [Arc::clone(&one)]);
        drop(held);
        assert!(ports.take(at("127.0.0.1:80"), plain, &two).is_ok());
        drop(six);
        let reuse = Wish { reuse_address: true, ..plain };
        let first = ports.take(at("0.0.0.0:90"), reuse, &one).unwrap();
        let second = ports.take(at("0.0.0.0:90"), reuse, &two).unwrap();
        let listens = Wish { listens: true, ..reuse };
        assert_eq!(first.0.listen(listens), Ok(()));
        assert_eq!(second.0.listen(listens), Err(Errno::ADDRINUSE));
        first.0.end_listening();
        assert_eq!(second.0.listen(listens), Ok(()));
        let share = |user| Wish { reuse_port: true, user, ..plain };
        let mine = [0, 1, 2].map(|n| (Arc::new(n), ()));
        let held =
            mine.each_ref().map(|(m, ())| ports.take(at("0.0.0.0:99"), share(7), m).unwrap());
        let other = ports.take(at("0.0.0.0:99"), share(8), &one);
        assert_eq!(other.err(), Some(Errno::ADDRINUSE));
        let from = |n| ports.chosen(at("127.0.0.1:99"), SocketAddr::new(plain_ip(), n), |_| true);
        let chosen: Vec<u8> = (1..400).map(|n| *from(n).unwrap()).collect();
        assert_eq!(chosen, (1..400).map(|n| *from(n).unwrap()).collect::<Vec<_>>());
        for n in 0..3 {
            assert!(chosen.iter().filter(|c| **c == n).count() > 50, "{chosen:?}");
        }
        drop(held);
        let (_held, any) = ports.take(at("0.0.0.0:0"), plain, &one).unwrap();
        assert!(EPHEMERAL.contains(&any.port()));
    }
}
