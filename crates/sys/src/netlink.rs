//! As much of netlink(7) as setting up networks takes: requests, lists and
//! transactions, over a socket of the caller's network namespace.
//!
//! Written by hand: the ready-made crate brings the decoders of every kind of
//! link and makes the program 600 kB larger.

mod message;

use std::os::fd::OwnedFd;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::NETFILTER;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

pub use message::{Attributes, Request, attributes, u32_at};
use message::{Reply, next_reply};

/// Replies of the kernel are at most this long (netlink_dump in the kernel).
const BUFFER: usize = 32 * 1024;
/// How often a list is asked for again that changed meanwhile.
const DUMP_TRIES: u32 = 10;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The kernel answers the request, whatever comes of it.
pub const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
/// Refuse it if there is one already.
pub const NLM_F_EXCL: u16 = 0x200;
/// Make it if there is none.
pub const NLM_F_CREATE: u16 = 0x400;

/// A socket into the network namespace in which it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// For links, addresses and routes of the caller's network namespace.
    ///
    /// # Errors
    /// Of socket(2), or what the kernel answers.
    pub fn route() -> Result<Self, Errno> {
        // Protocol 0 is NETLINK_ROUTE.
        Self::open(None)
    }

    /// For the packet filter of the caller's network namespace.
    ///
    /// # Errors
    /// Of socket(2), or what the kernel answers.
    pub fn netfilter() -> Result<Self, Errno> {
        Self::open(Some(NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> Result<Self, Errno> {
        let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
        let socket = socket_with(family, SocketType::RAW, flags, protocol)?;
        Ok(Self { socket, sequence: 0 })
    }

    fn transmit(&self, bytes: &[u8]) -> Result<(), Errno> {
        retry_on_intr(|| send(&self.socket, bytes, SendFlags::empty())).map(drop)
    }

    fn send(&mut self, request: &Request, flags: u16) -> Result<(), Errno> {
        self.sequence += 1;
        self.transmit(&request.encode(flags, self.sequence))
    }

    /// Hands out the messages that answer requests from number `first` on
    /// until `each` returns a result.
    fn replies<T>(
        &self,
        first: u32,
        mut each: impl FnMut(&Reply<'_>) -> Option<Result<T, Errno>>,
    ) -> Result<T, Errno> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let (length, _) =
                retry_on_intr(|| recv(&self.socket, &mut buffer[..], RecvFlags::empty()))?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some(reply) = next_reply(&mut rest) {
                if !(first..=self.sequence).contains(&reply.sequence) {
                    continue;
                }
                if let Some(result) = failure(&reply).map(Err).or_else(|| each(&reply)) {
                    return result;
                }
            }
        }
    }

    /// Asks for a change, and waits until it is made.
    ///
    /// # Errors
    /// Of socket(2), or what the kernel answers.
    pub fn change(&mut self, request: &Request, flags: u16) -> Result<(), Errno> {
        self.send(request, flags | NLM_F_ACK)?;
        self.replies(self.sequence, |reply| (reply.kind == NLMSG_ERROR).then_some(Ok(())))
    }

    /// Asks for one thing, whose body comes back.
    ///
    /// # Errors
    /// Of socket(2), or what the kernel answers.
    pub fn get(&mut self, request: &Request) -> Result<Vec<u8>, Errno> {
        self.send(request, 0)?;
        self.replies(self.sequence, |reply| Some(Ok(reply.body.to_vec())))
    }

    /// Asks for a list; again if it changed while it was sent.
    ///
    /// # Errors
    /// Of socket(2), or what the kernel answers.
    pub fn list(&mut self, request: &Request) -> Result<Vec<Vec<u8>>, Errno> {
        for _ in 0..DUMP_TRIES {
            let (mut all, mut interrupted) = (Vec::new(), false);
            self.send(request, NLM_F_DUMP)?;
            self.replies(self.sequence, |reply| {
                interrupted |= reply.flags & NLM_F_DUMP_INTR != 0;
                if reply.kind == NLMSG_DONE {
                    return Some(Ok(()));
                }
                all.push(reply.body.to_vec());
                None
            })?;
            if !interrupted {
                return Ok(all);
            }
        }
        Err(Errno::AGAIN)
    }

    /// Sends messages that the kernel takes as one transaction, of which those
    /// with a flag [`NLM_F_ACK`] are answered, and waits for these answers.
    ///
    /// # Errors
    /// Of socket(2), or what the kernel answers.
    pub fn transaction(&mut self, requests: &[(Request, u16)]) -> Result<(), Errno> {
        let first = self.sequence + 1;
        let (mut bytes, mut awaited) = (Vec::new(), 0_usize);
        for (request, flags) in requests {
            self.sequence += 1;
            bytes.extend(request.encode(*flags, self.sequence));
            awaited += usize::from(flags & NLM_F_ACK != 0);
        }
        self.transmit(&bytes)?;
        self.replies(first, |reply| {
            awaited = awaited.saturating_sub(usize::from(reply.kind == NLMSG_ERROR));
            (awaited == 0).then_some(Ok(()))
        })
    }
}

fn failure(reply: &Reply<'_>) -> Option<Errno> {
    if !matches!(reply.kind, NLMSG_ERROR | NLMSG_DONE) {
        return None;
    }
    let code = u32_at(reply.body, 0)?.cast_signed();
    (code < 0).then(|| Errno::from_raw_os_error(code.wrapping_neg()))
}
