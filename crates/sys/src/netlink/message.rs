//! Messages and attributes of netlink(7), taken apart and put together.

const HEADER: usize = 16;
const NLM_F_REQUEST: u16 = 1;
const NLA_F_NESTED: u16 = 0x8000;

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Request {
    kind: u16,
    body: Vec<u8>,
}

impl Request {
    /// A request of this kind, with the structure that is part of it.
    #[must_use]
    pub fn new(kind: u16, body: &[u8]) -> Self {
        Self { kind, body: body.to_vec() }
    }

    /// What was put together so far: the structure and the attributes.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Adds an attribute; its value is at most 64 KiB less 5 bytes.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        put(&mut self.body, kind, value);
        self
    }

    /// Adds a text with the zero byte behind it.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds an attribute that consists of attributes.
    #[must_use]
    pub fn nested(mut self, kind: u16, inner: &Attributes) -> Self {
        put(&mut self.body, kind | NLA_F_NESTED, &inner.0);
        self
    }

    pub(super) fn encode(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(HEADER + self.body.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend(length.to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(&self.body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}

/// Attributes that go into another one.
#[derive(Clone, Debug, Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// Starts with a structure in front of the first attribute.
    #[must_use]
    pub fn behind(structure: &[u8]) -> Self {
        Self(structure.to_vec())
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        put(&mut self.0, kind, value);
        self
    }

    /// Adds a text with the zero byte behind it.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds an attribute that consists of attributes.
    #[must_use]
    pub fn nested(mut self, kind: u16, inner: &Self) -> Self {
        put(&mut self.0, kind | NLA_F_NESTED, &inner.0);
        self
    }
}

fn put(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// One message of a reply.
pub(super) struct Reply<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) body: &'a [u8],
}

/// A number at this place, in the machine's order.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
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

pub(super) fn next_reply<'a>(rest: &mut &'a [u8]) -> Option<Reply<'a>> {
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
pub fn attributes(body: &[u8], skip: usize) -> impl Iterator<Item = (u16, &[u8])> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_were_put() {
        let inner = Attributes::behind(&[9; 4]).text(1, "veth");
        let request = Request::new(16, &[0; 16]).text(3, "eth0").nested(18, &inner);
        let all: Vec<_> = attributes(&request.body, 16).collect();
        assert_eq!(all[0], (3, &b"eth0\0"[..]));
        assert_eq!(all[1].0, 18);
        assert_eq!(attributes(all[1].1, 4).collect::<Vec<_>>(), [(1, &b"veth\0"[..])]);
    }

    #[test]
    fn damaged_messages_end_the_iteration() {
        for bad in [&b"\x01"[..], b"\xff\xff\x01\x00", b"\x02\x00\x01\x00", b"\x00\x00\x00\x00"] {
            assert_eq!(attributes(bad, 0).count(), 0, "{bad:?}");
            assert!(next_reply(&mut &*bad).is_none(), "{bad:?}");
        }
    }
}
