//! Messages of netlink: header, fixed part, attributes.

use rustix::io::Errno;

/// `NLM_F_*`
pub(super) mod flag {
    pub(in super::super) const REQUEST: u16 = 1;
    pub(in super::super) const MULTI: u16 = 2;
    pub(in super::super) const ACKNOWLEDGE: u16 = 4;
    pub(in super::super) const REPLACE: u16 = 0x100;
    pub(in super::super) const EXCLUSIVE: u16 = 0x200;
    pub(in super::super) const CREATE: u16 = 0x400;
    /// Of an answer: it has no more of the request than the header.
    pub(in super::super) const CAPPED: u16 = 0x100;
    /// `NLM_F_ROOT | NLM_F_MATCH`
    pub(in super::super) const DUMP: u16 = 0x300;
}

/// `NLMSG_*`, `RTM_*`
pub(super) mod kind {
    pub(in super::super) const ERROR: u16 = 2;
    pub(in super::super) const DONE: u16 = 3;
    pub(in super::super) const NEW_LINK: u16 = 16;
    pub(in super::super) const DELETE_LINK: u16 = 17;
    pub(in super::super) const GET_LINK: u16 = 18;
    pub(in super::super) const SET_LINK: u16 = 19;
    pub(in super::super) const NEW_ADDRESS: u16 = 20;
    pub(in super::super) const DELETE_ADDRESS: u16 = 21;
    pub(in super::super) const GET_ADDRESS: u16 = 22;
    pub(in super::super) const NEW_ROUTE: u16 = 24;
    pub(in super::super) const DELETE_ROUTE: u16 = 25;
    pub(in super::super) const GET_ROUTE: u16 = 26;
}

/// `struct nlmsghdr`
const HEADER: usize = 16;

/// A request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// With the header.
    whole: &'a [u8],
    /// Behind the header.
    pub(super) body: &'a [u8],
}

/// One of several attributes.
pub(super) fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (length, after) = rest.split_first_chunk()?;
        let (kind, _) = after.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let value = rest.get(4..length)?;
        if u16::from_le_bytes(*kind) & 0x3fff == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

impl<'a> Request<'a> {
    /// The first request, and what comes behind it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk()?;
        let (flags, rest) = rest.split_first_chunk()?;
        let (sequence, _) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let whole = bytes.get(..length)?;
        let request = Request {
            kind: u16::from_le_bytes(*kind),
            flags: u16::from_le_bytes(*flags),
            sequence: u32::from_le_bytes(*sequence),
            whole,
            body: whole.get(HEADER..)?,
        };
        Some((request, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
    }

    /// An attribute behind a fixed part of `fixed` bytes.
    pub(super) fn attribute(&self, fixed: usize, wanted: u16) -> Option<&'a [u8]> {
        attribute(self.body.get(fixed..)?, wanted)
    }

    /// Whether all is asked for.
    pub(super) fn dumps(&self) -> bool {
        self.flags & flag::DUMP == flag::DUMP
    }

    /// The answer that ends a list.
    pub(super) fn done(&self, port: u32) -> Vec<u8> {
        let mut answer = Answer::new(self, kind::DONE, flag::MULTI, port);
        answer.put(&[0; 4]);
        answer.finish()
    }

    /// The answer that it failed, or with zero that it did not.
    pub(super) fn error(&self, errno: i32, port: u32) -> Vec<u8> {
        let (flags, told) = if errno == 0 { (flag::CAPPED, HEADER) } else { (0, self.whole.len()) };
        let mut answer = Answer::new(self, kind::ERROR, flags, port);
        answer.put(&(-errno).to_le_bytes());
        answer.put(self.whole.get(..told).unwrap_or_default());
        answer.finish()
    }
}

impl Request<'_> {
    /// The answer to what is to be done: that it failed, or if that is asked for, that it
    /// did not.
    pub(super) fn acknowledge(&self, result: Result<(), Errno>, port: u32) -> Vec<Vec<u8>> {
        match result {
            Ok(()) if self.flags & flag::ACKNOWLEDGE == 0 => Vec::new(),
            Ok(()) => vec![self.error(0, port)],
            Err(errno) => vec![self.error(errno.raw_os_error(), port)],
        }
    }
}

/// An answer that is being made.
pub(super) struct Answer(Vec<u8>);

impl Answer {
    pub(super) fn new(request: &Request<'_>, kind: u16, flags: u16, port: u32) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&request.sequence.to_le_bytes());
        bytes.extend_from_slice(&port.to_le_bytes());
        Answer(bytes)
    }

    /// Adds to the fixed part.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Adds an attribute.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.put(&length.to_le_bytes());
        self.put(&kind.to_le_bytes());
        self.put(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Adds a number.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_le_bytes());
    }

    /// Adds an attribute that holds one of a text.
    pub(super) fn nested(&mut self, kind: u16, inner: u16, value: &str) {
        let mut within = Answer(Vec::new());
        within.text(inner, value);
        self.attribute(kind, &within.0);
    }

    /// Sets bits of a number in the fixed part, from byte `at` on.
    pub(super) fn mark(&mut self, at: usize, bits: u32) {
        if let Some(room) = self.0.get_mut(HEADER + at..).and_then(|room| room.first_chunk_mut()) {
            *room = (u32::from_le_bytes(*room) | bits).to_le_bytes();
        }
    }

    /// Adds a text.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat());
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(0);
        if let Some(room) = self.0.first_chunk_mut() {
            *room = length.to_le_bytes();
        }
        self.0
    }
}
