//! UDP sockets on this machine: a datagram goes from one inbox to another.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::net::inbox::{Inbox, Packet, Received};
use crate::task::WaitQueue;
use crate::task::waiter::{Waiter, lock};
use crate::vfs::Ready;

use super::address;
use super::errors::{Cause, Errors, Lost};
use super::ports::{Held, Ports, Wish};

/// Most bytes of a datagram over IPv4 and IPv6.
const MOST: [usize; 2] = [65_507, 65_527];

#[derive(Debug, Default)]
struct State {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    /// Its address came from where it was connected to.
    borrowed: bool,
    held: Option<Held<Udp>>,
    wish: Wish,
    /// With the interface.
    groups: BTreeSet<(IpAddr, u32)>,
    send_shut: bool,
    errors: Errors,
    /// A datagram that is put together by several calls, and where it goes.
    begun: Option<(Vec<u8>, SocketAddr)>,
}

/// A UDP socket.
#[derive(Debug)]
pub struct Udp {
    /// Whether it is of `AF_INET6`.
    is_v6: AtomicBool,
    /// What came to it.
    pub inbox: Arc<Inbox>,
    changed: WaitQueue,
    ports: Arc<Ports<Udp>>,
    state: Mutex<State>,
    /// Types of messages that a raw socket does not see, a bit for each.
    filter: Mutex<[u32; 8]>,
}

impl Udp {
    /// Bound to nothing.
    #[must_use]
    pub fn new(is_v6: bool, ports: &Arc<Ports<Udp>>, limit: usize) -> Arc<Self> {
        Arc::new(Udp {
            is_v6: AtomicBool::new(is_v6),
            inbox: Inbox::new(limit),
            changed: WaitQueue::default(),
            ports: Arc::clone(ports),
            state: Mutex::default(),
            filter: Mutex::default(),
        })
    }

    /// Sets which types of messages it does not see.
    pub fn set_filter(&self, words: impl Iterator<Item = u32>) {
        let mut filter = lock(&self.filter);
        filter.iter_mut().zip(words).for_each(|(own, word)| *own = word);
    }

    /// Whether it does not see messages of a type.
    #[must_use]
    pub fn filters(&self, kind: u8) -> bool {
        let word = lock(&self.filter).get(usize::from(kind / 32)).copied().unwrap_or(0);
        word & 1 << (kind % 32) != 0
    }

    /// Has another address, at the port that it holds.
    pub fn move_to(&self, ip: IpAddr) {
        let mut state = lock(&self.state);
        state.local = state.local.map(|local| SocketAddr::new(ip, local.port()));
        if let Some(held) = &state.held {
            held.narrow(ip);
        }
    }

    /// Whether it is of `AF_INET6`.
    #[must_use]
    pub fn is_v6(&self) -> bool {
        self.is_v6.load(Ordering::Relaxed)
    }

    /// Is of `AF_INET` from now on.
    pub fn become_v4(&self) {
        self.is_v6.store(false, Ordering::Relaxed);
    }

    /// Its address; any if it has none yet.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        let none = SocketAddr::new(address::any(self.is_v6()), 0);
        lock(&self.state).local.unwrap_or(none)
    }

    /// Where it is connected to.
    ///
    /// # Errors
    /// `ENOTCONN`
    pub fn remote(&self) -> Result<SocketAddr, Errno> {
        lock(&self.state).remote.ok_or(Errno::NOTCONN)
    }

    /// Takes other options.
    pub fn set(&self, change: impl FnOnce(&mut Wish)) {
        let mut state = lock(&self.state);
        change(&mut state.wish);
        if let Some(held) = &state.held {
            held.set(state.wish);
        }
    }

    /// Whether nothing of IPv4 comes to it.
    #[must_use]
    pub fn only_v6(&self) -> bool {
        lock(&self.state).wish.only_v6
    }

    /// Joins a multicast group on an interface, or leaves it.
    ///
    /// # Errors
    /// `EADDRINUSE` if it is in it, `EADDRNOTAVAIL` if not.
    pub fn join(&self, group: (IpAddr, u32), joins: bool) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        let changed = if joins { state.groups.insert(group) } else { state.groups.remove(&group) };
        match (changed, joins) {
            (true, _) => Ok(()),
            (false, true) => Err(Errno::ADDRINUSE),
            (false, false) => Err(Errno::ADDRNOTAVAIL),
        }
    }

    /// Takes an address.
    ///
    /// # Errors
    /// `EINVAL` if it has one, `EADDRINUSE`.
    pub fn bind(self: &Arc<Self>, address: SocketAddr) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        if state.local.is_some() {
            return Err(Errno::INVAL);
        }
        let (held, address) = self.ports.take(address, state.wish, self)?;
        state.held = Some(held);
        state.local = Some(address);
        Ok(())
    }

    /// Has an address that any number of others have, too.
    pub fn share(self: &Arc<Self>, address: SocketAddr) {
        let mut state = lock(&self.state);
        state.held = Some(self.ports.share(address, state.wish, self));
        state.local = Some(address);
    }

    /// Takes any address, if it has none.
    ///
    /// # Errors
    /// `EADDRINUSE` if there is no port left.
    pub fn bind_to_any(self: &Arc<Self>) -> Result<(), Errno> {
        match self.bind(SocketAddr::new(address::any(self.is_v6()), 0)) {
            Err(Errno::INVAL) => Ok(()),
            other => other,
        }
    }

    /// Sends to that address, and receives from it alone; `from` is its own address
    /// then, if it is bound to any.
    ///
    /// # Errors
    /// `EADDRINUSE` if there is no port left.
    pub fn connect(self: &Arc<Self>, to: SocketAddr, from: IpAddr) -> Result<(), Errno> {
        self.bind_to_any()?;
        let mut state = lock(&self.state);
        if let Some(local) = state.local
            && local.ip().is_unspecified()
        {
            state.local = Some(SocketAddr::new(from, local.port()));
            state.borrowed = true;
        }
        state.remote = Some(to);
        drop(state);
        self.changed.wake();
        Ok(())
    }

    /// Is connected to nothing again.
    pub fn disconnect(&self) {
        let mut state = lock(&self.state);
        state.remote = None;
        if std::mem::take(&mut state.borrowed) {
            let any = address::any(self.is_v6());
            state.local = state.local.map(|local| SocketAddr::new(any, local.port()));
        }
    }

    /// The interface by which alone it takes and sends; 0 for any.
    #[must_use]
    pub fn device(&self) -> u32 {
        lock(&self.state).wish.device
    }

    /// Whether it takes what comes by an interface.
    fn hears(&self, link: u32) -> bool {
        lock(&self.state).wish.hears(link)
    }

    /// Whether it takes what comes from there.
    fn takes_from(&self, from: SocketAddr) -> bool {
        lock(&self.state).remote.is_none_or(|remote| remote == from)
    }

    /// Sends a datagram to a socket that has one of these ports, by an interface of theirs.
    ///
    /// # Errors
    /// `EMSGSIZE`, `EPIPE`; `ECONNREFUSED` if the one before was refused.
    pub fn send(
        self: &Arc<Self>,
        packet: &mut Packet,
        to: SocketAddr,
        from: IpAddr,
        (ports, link): (&Ports<Udp>, u32),
    ) -> Result<(), Errno> {
        self.check(packet, to)?;
        let local = self.local();
        let ip = if local.ip().is_unspecified() { from } else { local.ip() };
        let from = SocketAddr::new(ip, local.port());
        if !deliver(ports, packet, (from, to), link) && !to.ip().is_multicast() {
            // As the answer that nobody is there.
            let cause = Cause::refused(to.is_ipv6());
            let bytes = std::mem::take(&mut packet.bytes);
            self.lose(Lost { cause, to, by: to.ip(), bytes });
        }
        Ok(())
    }

    /// A datagram of its has not arrived: it is told, if it asks for that; or if it is
    /// connected, and the cause will stay.
    pub fn lose(&self, lost: Lost) {
        let errno = lost.cause.errno;
        {
            let mut state = lock(&self.state);
            if state.errors.asks(lost.to.is_ipv6()) {
                state.errors.add(lost);
            } else if state.remote.is_none() || !lost.cause.hard {
                return;
            }
        }
        self.inbox.fail(errno);
    }

    /// Whether it is told of more than connected ones are.
    #[must_use]
    pub fn asks_for_errors(&self, is_v6: bool) -> bool {
        lock(&self.state).errors.asks(is_v6)
    }

    /// It is told of them from now on, or no longer.
    pub fn ask_for_errors(&self, is_v6: bool, on: bool) {
        lock(&self.state).errors.ask(is_v6, on);
    }

    /// The first datagram that did not arrive. What calls say is the next one's error.
    ///
    /// # Errors
    /// `EAGAIN` if there is none.
    pub fn take_lost(&self) -> Result<Lost, Errno> {
        let (lost, next) = lock(&self.state).errors.take().ok_or(Errno::AGAIN)?;
        match next {
            Some(errno) => self.inbox.fail(errno),
            None => drop(self.inbox.take_error()),
        }
        Ok(lost)
    }

    /// Puts what a call sends, there if it is the first, behind what others have begun, or begins
    /// with it if `more` is to come: `packet` has all of it then, and where it goes is returned;
    /// `None` while it grows.
    ///
    /// # Errors
    /// `EMSGSIZE`, of which nothing is kept; that of `to`.
    pub fn put_together(
        &self,
        packet: &mut Packet,
        to: Result<SocketAddr, Errno>,
        more: bool,
    ) -> Result<Option<SocketAddr>, Errno> {
        let mut state = lock(&self.state);
        let Some((mut bytes, to)) = state.begun.take() else {
            let to = to?;
            if more && packet.bytes.len() <= MOST[usize::from(to.is_ipv6())] {
                state.begun = Some((std::mem::take(&mut packet.bytes), to));
                return Ok(None);
            }
            return Ok(Some(to));
        };
        if bytes.len() + packet.bytes.len() > MOST[usize::from(to.is_ipv6())] {
            return Err(Errno::MSGSIZE);
        }
        bytes.append(&mut packet.bytes);
        if more {
            state.begun = Some((bytes, to));
            return Ok(None);
        }
        packet.bytes = bytes;
        Ok(Some(to))
    }

    /// Whether a datagram is put together.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        lock(&self.state).begun.is_some()
    }

    /// Whether a datagram may be sent.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn check(self: &Arc<Self>, packet: &Packet, to: SocketAddr) -> Result<(), Errno> {
        if let Some(error) = self.inbox.take_error() {
            return Err(error);
        }
        if lock(&self.state).send_shut {
            return Err(Errno::PIPE);
        }
        if packet.bytes.len() > MOST[usize::from(to.is_ipv6())] {
            return Err(Errno::MSGSIZE);
        }
        self.bind_to_any()
    }

    /// Receives.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing.
    pub fn receive(&self, room: usize, peek: bool) -> Result<Received, Errno> {
        self.inbox.datagram(room, peek)
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// `ENOTCONN`
    pub fn shutdown(&self, receive: bool, send: bool) -> Result<(), Errno> {
        self.remote()?;
        lock(&self.state).send_shut |= send;
        if receive {
            self.inbox.shut();
        }
        self.changed.wake();
        Ok(())
    }

    /// What poll(2) tells.
    #[must_use]
    pub fn ready(&self) -> Ready {
        let shut = self.inbox.is_shut();
        let mut ready = Ready::OUT | Ready::WRNORM | Ready::WRBAND;
        ready.set(Ready::IN | Ready::RDNORM, shut || self.inbox.packets() > 0);
        ready.set(Ready::RDHUP, shut);
        ready.set(Ready::HUP, shut && lock(&self.state).send_shut);
        let errors = lock(&self.state).errors.any();
        ready.set(Ready::ERR, errors || self.inbox.has_error());
        ready
    }

    /// Has the waiter called when that changes.
    pub fn watch(&self, waiter: &Arc<Waiter>) {
        self.changed.join(waiter);
        self.inbox.readable.join(waiter);
    }
}

/// Puts a datagram where it belongs; says whether anybody takes it. One that has no
/// room is lost. It came by the interface of that number.
pub fn deliver(
    ports: &Ports<Udp>,
    packet: &mut Packet,
    (from, to): (SocketAddr, SocketAddr),
    link: u32,
) -> bool {
    let found = ports.found(to);
    let candidates = || found.iter().map(|found| &found.socket);
    let group = to.ip().is_multicast() || to.ip() == IpAddr::from([255, 255, 255, 255]);
    let takes = |udp: &&Arc<Udp>| udp.takes_from(from);
    if group {
        let mut taken = false;
        for udp in candidates().filter(takes) {
            let joined = lock(&udp.state).groups.contains(&(to.ip(), link));
            if to.ip().is_multicast() && !joined || !udp.hears(link) {
                continue;
            }
            taken = true;
            let mut copy =
                Packet { bytes: packet.bytes.clone(), hops: packet.hops, ..Packet::default() };
            copy.from = Some(address::bytes(from, udp.is_v6()));
            copy.to = Some(to.ip());
            let _ = udp.inbox.put(&mut copy, |length| header(from, to, length));
        }
        return taken;
    }
    // One that is connected to the sender comes before one that is not.
    let connected = candidates().find(|u| u.remote() == Ok(from) && u.hears(link)).cloned();
    let free = |udp: &Udp| udp.remote().is_err() && udp.hears(link);
    let other = || ports.choose(found, (to, from), free);
    let Some(udp) = connected.or_else(other) else { return false };
    packet.from = Some(address::bytes(from, udp.is_v6()));
    packet.to = Some(to.ip());
    let _ = udp.inbox.put(packet, |length| header(from, to, length));
    true
}

/// The header of a datagram of so many bytes, with no checksum.
fn header(from: SocketAddr, to: SocketAddr, length: usize) -> Vec<u8> {
    let length = u16::try_from(length + 8).unwrap_or(0);
    [from.port(), to.port(), length, 0].iter().flat_map(|word| word.to_be_bytes()).collect()
}
