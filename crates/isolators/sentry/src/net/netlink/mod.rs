//! netlink(7): what programs ask about interfaces, addresses and routes.

mod change;
mod change_links;
pub mod host;
mod message;
mod note;
mod numbers;
mod route;

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;
use std::net::IpAddr;

use crate::net::Network;
use crate::net::inbox::{Inbox, Packet, Received};
use crate::net::links::{Link, Links};
use crate::task::waiter::{Waiter, lock};
use crate::task::{Caps, Credentials};
use crate::vfs::Ready;

use message::{Request, flag};
pub use numbers::{Named, Numbers};

/// `AF_NETLINK`
pub const FAMILY: u16 = 16;
/// Bytes of `struct sockaddr_nl`.
const NAME: usize = 12;
/// `NETLINK_ROUTE`
pub const ROUTE: i32 = 0;

/// A number of a message; 0 if it is cut off.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// An address of a message.
fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(v4), _) => Some(v4.into()),
        (_, Ok(v6)) => Some(v6.into()),
        _ => None,
    }
}

/// The interface that a request is about, by its number or else its name, if there is one.
///
/// # Errors
/// `EINVAL` if it names none.
fn link_of<'a>(request: &Request<'_>, links: &'a Links) -> Result<Option<&'a Link>, Errno> {
    /// `struct ifinfomsg`
    const FIXED: usize = 16;
    /// `IFLA_IFNAME`
    const NAME: u16 = 3;
    match word(request.body, 4) {
        0 => {
            let name = request.attribute(FIXED, NAME).ok_or(Errno::INVAL)?;
            Ok(links.by_name(name.strip_suffix(&[0]).unwrap_or(name)))
        }
        index => Ok(links.by_index(index)),
    }
}

/// Who sends requests.
pub(super) struct Asker<'a> {
    sender: &'a Credentials,
    /// Who has opened the socket, if the sender did not say himself whom it goes to: somebody
    /// else may have got him to write to it.
    opener: Option<&'a Credentials>,
    /// Finds a network that he names.
    find: Find<'a>,
}

/// Finds the network that somebody means.
pub type Find<'a> = &'a dyn Fn(Named) -> Result<Arc<Network>, Errno>;

impl Asker<'_> {
    fn permit_change(&self, network: &Network) -> Result<(), Errno> {
        network.permit_change(self.sender)?;
        self.opener.map_or(Ok(()), |opener| network.permit_change(opener))
    }

    /// What a network calls others, and to have it be as it is, is its administrator's.
    fn permit_as_it_is(&self, network: &Network) -> Result<(), Errno> {
        let all = [Some(self.sender), self.opener].into_iter().flatten();
        all.into_iter().try_for_each(|who| who.require_in(&network.owner, Caps::NET_ADMIN))
    }
}

/// A netlink socket.
#[derive(Debug)]
pub struct Netlink {
    opener: Credentials,
    /// Answers to be received until the rest of a list would be there, on Linux.
    listing: AtomicUsize,
    /// Answers.
    pub inbox: Arc<Inbox>,
    /// Its port and groups.
    name: Mutex<(u32, u32)>,
}

impl Netlink {
    /// Bound to nothing.
    #[must_use]
    pub fn new(opener: Credentials) -> Arc<Self> {
        // A dump has to fit, whatever the receive buffer is.
        let (inbox, name) = (Inbox::new(1 << 20), Mutex::default());
        Arc::new(Netlink { opener, listing: AtomicUsize::new(0), inbox, name })
    }

    /// `struct sockaddr_nl`
    fn bytes(port: u32, groups: u32) -> Vec<u8> {
        let mut bytes = FAMILY.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&port.to_le_bytes());
        bytes.extend_from_slice(&groups.to_le_bytes());
        bytes
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        let (port, groups) = *lock(&self.name);
        Self::bytes(port, groups)
    }

    /// The kernel's name.
    #[must_use]
    pub fn kernel() -> Vec<u8> {
        Self::bytes(0, 0)
    }

    /// Takes a name: a port, or any if that is zero.
    ///
    /// # Errors
    /// `EINVAL`
    pub fn bind(&self, address: &[u8]) -> Result<(), Errno> {
        let word = |at: usize| {
            let word = address.get(at..at + 4).and_then(|b| b.try_into().ok());
            word.map(u32::from_le_bytes).ok_or(Errno::INVAL)
        };
        let family = address.first_chunk().copied().map(u16::from_le_bytes);
        let (port, groups) = (word(4)?, word(8)?);
        if family != Some(FAMILY) || (self.port() != 0 && port != 0 && port != self.port()) {
            return Err(Errno::INVAL);
        }
        if port != 0 {
            lock(&self.name).0 = port;
        }
        self.bind_to_any();
        lock(&self.name).1 = groups;
        Ok(())
    }

    fn port(&self) -> u32 {
        lock(&self.name).0
    }

    /// Takes a port of its own, if it has none.
    pub fn bind_to_any(&self) {
        static NEXT: AtomicU32 = AtomicU32::new(0xffff_f000);
        let mut name = lock(&self.name);
        if name.0 == 0 {
            name.0 = NEXT.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Serves requests of `sender` about a network; `to`: where he said they go.
    ///
    /// # Errors
    /// As send(2): `ENODATA` of nothing; `EINVAL`, `EPERM` and `ECONNREFUSED` if they go
    /// somewhere else.
    pub fn send(
        &self,
        bytes: &[u8],
        network: &Arc<Network>,
        (sender, to, find): (&Credentials, Option<&[u8]>, Find<'_>),
    ) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Err(Errno::NODATA);
        }
        if let Some(to) = to {
            let family = to.first_chunk().copied().map(u16::from_le_bytes);
            if family != Some(FAMILY) || to.len() < NAME {
                return Err(Errno::INVAL);
            }
            let port = word(to, 4);
            if port != 0 || word(to, 8) != 0 {
                sender.require_in(&network.owner, Caps::NET_ADMIN)?;
            }
            // Nobody else listens.
            if port != 0 {
                return Err(Errno::CONNREFUSED);
            }
        }
        self.bind_to_any();
        let port = self.port();
        let opener = to.is_none().then_some(&self.opener);
        let asker = Asker { sender, opener, find };
        let mut rest = bytes;
        while let Some((request, after)) = Request::parse(rest) {
            rest = after;
            let answers = self.answers(&request, network, &asker, port);
            for answer in answers {
                let mut packet =
                    Packet { bytes: answer, from: Some(Self::kernel()), ..Packet::default() };
                // As Linux: what has no room is lost, and that is told.
                if self.inbox.push(&mut packet, false).is_err() {
                    self.inbox.fail(Errno::NOBUFS);
                }
            }
        }
        Ok(())
    }

    fn answers(
        &self,
        request: &Request<'_>,
        network: &Arc<Network>,
        asker: &Asker<'_>,
        port: u32,
    ) -> Vec<Vec<u8>> {
        /// `NLMSG_MIN_TYPE`
        const FIRST_KIND: u16 = 16;
        if request.flags & flag::REQUEST == 0 || request.kind < FIRST_KIND {
            return request.acknowledge(Ok(()), port);
        }
        if let Some(result) = numbers::change(request, network, asker) {
            return request.acknowledge(result, port);
        }
        if let Some(result) = change::serve(request, network, asker) {
            return request.acknowledge(result, port);
        }
        // One list at a time.
        if request.dumps() && self.listing.load(Ordering::SeqCst) > 0 {
            return request.acknowledge(Err(Errno::BUSY), port);
        }
        let answers = match request.kind {
            numbers::GET => numbers::tell(request, network, asker, port),
            _ => route::serve(request, network, port),
        };
        if request.dumps() {
            self.listing.store(answers.len().saturating_sub(1), Ordering::SeqCst);
        }
        answers
    }

    /// Receives.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing.
    pub fn receive(&self, room: usize, peek: bool) -> Result<Received, Errno> {
        let received = self.inbox.datagram(room, peek)?;
        if !peek {
            let less = |left: usize| left.checked_sub(1);
            let _ = self.listing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        }
        Ok(received)
    }

    /// What poll(2) tells.
    #[must_use]
    pub fn ready(&self) -> Ready {
        let mut ready = Ready::OUT | Ready::WRNORM | Ready::WRBAND;
        ready.set(Ready::IN | Ready::RDNORM, self.inbox.packets() > 0);
        ready.set(Ready::ERR, self.inbox.has_error());
        ready
    }

    /// Has the waiter called when that changes.
    pub fn watch(&self, waiter: &Arc<Waiter>) {
        self.inbox.readable.join(waiter);
    }
}
