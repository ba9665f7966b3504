//! Sockets of TCP and UDP that are the host's, of the network namespace that the sentry
//! is in: `--network host-sockets`. The host's kernel parses what comes from the network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::platform::host_socket::{self, Sent};
use crate::task::WaitQueue;
use crate::task::waiter::{Waiter, lock};
use crate::vfs::{Poller, Ready};

use super::Type;
use super::inbox::Received;
use super::inet::address;

/// `MSG_PEEK`
const PEEK: u32 = 2;
/// `MSG_TRUNC`
const TRUNCATED: u32 = 0x20;
/// `MSG_CMSG_CLOEXEC`, which every call here has, and the host tells.
const CLOSE_ON_EXEC: u32 = 0x4000_0000;
/// Most bytes that are received at once.
const PIECE: usize = 256 << 10;
/// Room for control messages: what all options together bring.
const CONTROL: usize = 1024;

/// All of them, by where they are: for procfs.
static KNOWN: Mutex<BTreeMap<usize, Weak<HostSocket>>> = Mutex::new(BTreeMap::new());

/// Local and other address of those that have one, and their state as `/proc/net/tcp` numbers
/// it.
#[must_use]
pub fn rows(of_streams: bool, of_v6: bool) -> Vec<(SocketAddr, SocketAddr, u8)> {
    let all: Vec<_> = lock(&KNOWN).values().filter_map(Weak::upgrade).collect();
    let all = all.iter().filter(|socket| socket.is_stream == of_streams);
    all.filter_map(|socket| socket.row(of_v6)).collect()
}

/// A socket of the host's.
#[derive(Debug)]
pub struct HostSocket {
    fd: OwnedFd,
    is_stream: bool,
    poller: Arc<Poller>,
    /// How often it was asked what arrived.
    asked: AtomicU64,
    /// Once somebody has waited for it.
    queue: OnceLock<Arc<WaitQueue>>,
}

impl HostSocket {
    /// A new one. Types are [`Type::Stream`] and [`Type::Datagram`].
    ///
    /// # Errors
    /// What the host says.
    pub fn new(
        poller: &Arc<Poller>,
        family: u16,
        kind: Type,
        protocol: i32,
    ) -> Result<Arc<Self>, Errno> {
        let number = if kind == Type::Stream { 1 } else { 2 };
        let fd = host_socket::socket(family.into(), number, protocol)?;
        Ok(Self::of(poller, fd, kind == Type::Stream))
    }

    fn of(poller: &Arc<Poller>, fd: OwnedFd, is_stream: bool) -> Arc<Self> {
        let (poller, asked, queue) = (Arc::clone(poller), AtomicU64::new(0), OnceLock::new());
        let socket = Arc::new(HostSocket { fd, is_stream, poller, asked, queue });
        let (key, weak) = (Arc::as_ptr(&socket).addr(), Arc::downgrade(&socket));
        lock(&KNOWN).insert(key, weak);
        socket
    }

    fn row(&self, of_v6: bool) -> Option<(SocketAddr, SocketAddr, u8)> {
        /// `IPPROTO_TCP`, `TCP_INFO`, which begins with the state.
        const INFO: (i32, i32) = (6, 11);
        /// `TCP_ESTABLISHED`, `TCP_CLOSE`
        const STATES: [u8; 2] = [1, 7];
        let name = host_socket::own_name(self.fd()).ok()?;
        let family = name.first_chunk().copied().map(u16::from_ne_bytes)?;
        let local = address::parse(&name, of_v6).ok().filter(|local| local.port() != 0)?;
        if (family == address::V6) != of_v6 {
            return None;
        }
        let peer = host_socket::peer_name(self.fd()).ok();
        let [connected, other] = STATES;
        let remote = peer.as_ref().and_then(|name| address::parse(name, of_v6).ok());
        let state = if self.is_stream {
            *host_socket::option(self.fd(), INFO, 1).ok()?.first()?
        } else if remote.is_some() {
            connected
        } else {
            other
        };
        Some((local, remote.unwrap_or(SocketAddr::new(address::any(of_v6), 0)), state))
    }

    /// The host's descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether it is one of TCP.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// A connection that was made to it, and the other end's address.
    ///
    /// # Errors
    /// `EAGAIN` if there is none, and what else the host says.
    pub fn accept(&self) -> Result<(Arc<Self>, Vec<u8>), Errno> {
        let (fd, peer) = host_socket::accept(self.fd())?;
        Ok((Self::of(&self.poller, fd, self.is_stream), peer))
    }

    /// Connects.
    ///
    /// # Errors
    /// `EINPROGRESS` while it goes on, else why it failed.
    pub fn connect(&self, name: &[u8]) -> Result<(), Errno> {
        host_socket::connect(self.fd(), name)
    }

    /// How an attempt to connect there ended.
    ///
    /// # Errors
    /// `EAGAIN` if it goes on, else why it failed.
    pub fn outcome(&self, name: &[u8]) -> Result<(), Errno> {
        if !self.ready().intersects(Ready::OUT | Ready::ERR | Ready::HUP) {
            return Err(Errno::AGAIN);
        }
        // Asked once more, the host tells how it ended, and the socket can be used again.
        self.connect(name)
    }

    /// shutdown(2)
    ///
    /// # Errors
    /// `ENOTCONN`
    pub fn shutdown(&self, receive: bool, send: bool) -> Result<(), Errno> {
        match (receive, send) {
            (false, false) => Ok(()),
            (true, false) => host_socket::shutdown(self.fd(), 0),
            (false, true) => host_socket::shutdown(self.fd(), 1),
            (true, true) => host_socket::shutdown(self.fd(), 2),
        }
    }

    /// `SO_ERROR`
    #[must_use]
    pub fn take_error(&self) -> Option<Errno> {
        let value = host_socket::option(self.fd(), (1, 4), 4).ok()?;
        let number = i32::from_le_bytes(*value.first_chunk()?);
        (number != 0).then(|| Errno::from_raw_os_error(number))
    }

    /// Sends bytes to where it is connected; returns how many.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room, and what else the host says.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        host_socket::send(self.fd(), Sent { bytes, ..Sent::default() }, 0)
    }

    /// Receives.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing, and what else the host says.
    pub fn receive(&self, room: usize, peek: bool) -> Result<Received, Errno> {
        self.receive_with(room, if peek { PEEK } else { 0 })
    }

    /// Receives with these `MSG_*`.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn receive_with(&self, room: usize, flags: u32) -> Result<Received, Errno> {
        let mut bytes = vec![0; room.min(PIECE)];
        // Tells how long a datagram was; a stream would throw bytes away.
        let whole = if self.is_stream { 0 } else { TRUNCATED };
        let got = host_socket::receive(self.fd(), &mut bytes, CONTROL, flags | whole)?;
        bytes.truncate(got.count);
        Ok(Received {
            length: bytes.len(),
            full: got.count,
            pieces: vec![(bytes, 0)],
            from: (!got.from.is_empty()).then_some(got.from),
            control: got.control,
            flags: got.flags & !(TRUNCATED | CLOSE_ON_EXEC),
            ..Received::default()
        })
    }

    /// `FIONREAD`, `SIOCOUTQ`, `SIOCATMARK`: what the host's kernel tells of them.
    ///
    /// # Errors
    /// What the host says: `EINVAL` of one that listens.
    pub fn number(&self, request: u32) -> Result<usize, Errno> {
        host_socket::number(self.fd(), request)
    }

    /// What poll(2) tells.
    #[must_use]
    pub fn ready(&self) -> Ready {
        let asked = PollFlags::from_bits_retain(Ready::all().bits());
        let mut one = [PollFd::new(&self.fd, asked)];
        match poll(&mut one, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(_) => one
                .first()
                .map_or(Ready::empty(), |p| Ready::from_bits_truncate(p.revents().bits())),
            Err(_) => Ready::empty(),
        }
    }

    /// How often something arrived: the host does not say, only that there may be more.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed)
    }

    /// Has the waiter called when that changes.
    pub fn watch(&self, waiter: &Arc<Waiter>) {
        let known = self.queue.get().cloned().or_else(|| {
            let queue = self.poller.follow(self.fd())?;
            Some(Arc::clone(self.queue.get_or_init(|| queue)))
        });
        match known {
            Some(queue) => queue.join(waiter),
            // The host has no memory to follow it with: who waits looks again.
            None => {
                let now = WaitQueue::default();
                now.join(waiter);
                now.wake();
            }
        }
    }
}

impl Drop for HostSocket {
    fn drop(&mut self) {
        lock(&KNOWN).remove(&std::ptr::from_ref(self).addr());
        if self.queue.get().is_some() {
            self.poller.forget(self.fd.as_fd());
        }
    }
}
