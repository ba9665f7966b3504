//! As much of rtnetlink(7) as moving a network device takes.
//!
//! Written by hand: `netlink-packet-route` would make the program 600 kB
//! larger, as it brings the decoders of every kind of link.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// Replies of the kernel are at most this long (netlink_dump in the kernel).
const BUFFER: usize = 32 * 1024;
const HEADER: usize = 16;
/// How often a list is asked for again that changed meanwhile.
const DUMP_TRIES: u32 = 10;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;

/// `RTM_NEWLINK`
pub(crate) const NEW_LINK: u16 = 16;
/// `RTM_GETLINK`
pub(crate) const GET_LINK: u16 = 18;
/// `RTM_NEWADDR`
pub(crate) const NEW_ADDRESS: u16 = 20;
/// `RTM_GETADDR`
pub(crate) const GET_ADDRESS: u16 = 22;

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    kind: u16,
    body: Vec<u8>,
}

impl Request {
    /// A request of this kind (`RTM_*`), with the structure that is part of it.
    pub(crate) fn new(kind: u16, body: &[u8]) -> Self {
        Self { kind, body: body.to_vec() }
    }

    /// Adds an attribute; its value is at most 64 KiB less 5 bytes.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.body.extend(length.to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    /// What was put together so far.
    pub(crate) fn into_body(self) -> Vec<u8> {
        self.body
    }

    fn encode(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(HEADER + self.body.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend(length.to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(&self.body);
        bytes
    }
}

/// One message of a reply.
struct Reply<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

/// A number at this place, in the machine's order.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

/// Takes the first message or attribute of `length` from `rest`, padding included.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let part = rest.get(..length)?;
    *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(part)
}

fn next_reply<'a>(rest: &mut &'a [u8]) -> Option<Reply<'a>> {
    let length = usize::try_from(u32_at(rest, 0)?).ok().filter(|length| *length >= HEADER)?;
    let message = take(rest, length)?;
    Some(Reply {
        kind: u16_at(message, 4)?,
        flags: u16_at(message, 6)?,
        sequence: u32_at(message, 8)?,
        body: message.get(HEADER..)?,
    })
}

/// The attributes behind a structure of `skip` bytes.
pub(crate) fn attributes(body: &[u8], skip: usize) -> impl Iterator<Item = (u16, &[u8])> {
    /// Without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
    const TYPE: u16 = 0x3fff;
    let mut rest = body.get(skip..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & TYPE;
        let value = take(&mut rest, length)?.get(4..)?;
        Some((kind, value))
    })
}

/// A socket into the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// A socket into the caller's network namespace.
    pub(crate) fn open() -> Result<Self, Errno> {
        let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
        // The default protocol, 0, is NETLINK_ROUTE.
        let socket = socket_with(family, SocketType::RAW, flags, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    fn send(&mut self, request: &Request, flags: u16) -> Result<(), Errno> {
        self.sequence += 1;
        let bytes = request.encode(flags, self.sequence);
        retry_on_intr(|| send(&self.socket, &bytes, SendFlags::empty())).map(drop)
    }

    /// Hands out the messages that answer the last request until `each`
    /// returns a result or the kernel says that this was all.
    fn replies<T>(
        &self,
        mut each: impl FnMut(&Reply<'_>) -> Option<Result<T, Errno>>,
    ) -> Result<T, Errno> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let (length, _) =
                retry_on_intr(|| recv(&self.socket, &mut buffer[..], RecvFlags::empty()))?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some(reply) = next_reply(&mut rest) {
                if reply.sequence != self.sequence {
                    continue;
                }
                if let Some(result) = failure(&reply).map(Err).or_else(|| each(&reply)) {
                    return result;
                }
            }
        }
    }

    /// Asks for a change, and waits until it is made.
    pub(crate) fn change(&mut self, request: &Request, flags: u16) -> Result<(), Errno> {
        self.send(request, flags | NLM_F_ACK)?;
        self.replies(|reply| (reply.kind == NLMSG_ERROR).then_some(Ok(())))
    }

    /// Asks for one thing, whose body comes back.
    pub(crate) fn get(&mut self, request: &Request) -> Result<Vec<u8>, Errno> {
        self.send(request, 0)?;
        self.replies(|reply| Some(Ok(reply.body.to_vec())))
    }

    /// Asks for a list; again if it changed while it was sent.
    pub(crate) fn list(&mut self, request: &Request) -> Result<Vec<Vec<u8>>, Errno> {
        for _ in 0..DUMP_TRIES {
            let (mut all, mut interrupted) = (Vec::new(), false);
            self.send(request, NLM_F_DUMP)?;
            self.replies(|reply| {
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
}

fn failure(reply: &Reply<'_>) -> Option<Errno> {
    if !matches!(reply.kind, NLMSG_ERROR | NLMSG_DONE) {
        return None;
    }
    let code = u32_at(reply.body, 0)?.cast_signed();
    (code < 0).then(|| Errno::from_raw_os_error(code.wrapping_neg()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_were_put() {
        let request =
            Request::new(NEW_LINK, &[0; 16]).attribute(3, b"eth0\0").attribute(28, &[7, 0, 0, 0]);
        let all: Vec<_> = attributes(&request.body, 16).collect();
        assert_eq!(all, [(3, &b"eth0\0"[..]), (28, &[7, 0, 0, 0][..])]);
    }

    #[test]
    fn damaged_messages_end_the_iteration() {
        for bad in [&b"\x01"[..], b"\xff\xff\x01\x00", b"\x02\x00\x01\x00", b"\x00\x00\x00\x00"] {
            assert_eq!(attributes(bad, 0).count(), 0, "{bad:?}");
            assert!(next_reply(&mut &*bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_kernel_answers() {
        let mut netlink = Netlink::open().unwrap();
        let links = netlink.list(&Request::new(GET_LINK, &[0; 16])).unwrap();
        let names: Vec<_> = links.iter().flat_map(|link| attributes(link, 16)).collect();
        assert!(names.contains(&(3, &b"lo\0"[..])));
        let missing = Request::new(GET_LINK, &[0; 16]).attribute(3, b"no-such-link\0");
        assert_eq!(netlink.get(&missing), Err(Errno::NODEV));
    }
}
