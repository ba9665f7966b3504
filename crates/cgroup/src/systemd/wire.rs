//! D-Bus wire format (D-Bus specification, "Type System" and "Message Protocol").

/// Messages above this are refused; the answers that are expected here have a
/// few hundred bytes.
const MAX_MESSAGE: usize = 1 << 20;

const ENDIAN: u8 = if cfg!(target_endian = "little") { b'l' } else { b'B' };

pub(super) const METHOD_CALL: u8 = 1;
pub(super) const METHOD_RETURN: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

/// A peer sent something that is no D-Bus message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed D-Bus message: {0}")]
pub struct WireError(pub &'static str);

/// Appends values, aligned to the start of the buffer.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(super) fn align(&mut self, to: usize) {
        while !self.bytes.len().is_multiple_of(to) {
            self.bytes.push(0);
        }
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.align(2);
        self.bytes.extend_from_slice(&value.to_ne_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_ne_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend_from_slice(&value.to_ne_bytes());
    }

    /// Also object paths. A NUL would end the string early, so it is cut there.
    pub(super) fn string(&mut self, value: &str) {
        let value = value.split('\0').next().unwrap_or_default();
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    pub(super) fn signature(&mut self, value: &str) {
        self.bytes.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    /// An array whose elements are aligned to `element`.
    pub(super) fn array(&mut self, element: usize, fill: impl FnOnce(&mut Encoder)) {
        self.u32(0);
        let length_at = self.bytes.len() - 4;
        self.align(element);
        let start = self.bytes.len();
        fill(self);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        if let Some(field) = self.bytes.get_mut(length_at..length_at + 4) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes values off a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { bytes, at: 0 }
    }

    pub(super) fn align(&mut self, to: usize) -> Result<(), WireError> {
        let over = self.at % to;
        if over != 0 {
            self.take(to - over)?;
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(count).ok_or(WireError("length overflow"))?;
        let taken = self.bytes.get(self.at..end).ok_or(WireError("too short"))?;
        self.at = end;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.align(N)?;
        self.take(N)?.try_into().map_err(|_| WireError("too short"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        self.fixed().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.fixed().map(u32::from_ne_bytes)
    }

    #[cfg(test)]
    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        self.fixed().map(u64::from_ne_bytes)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, WireError> {
        let bytes = self.take(length)?;
        if self.take(1)? != [0] {
            return Err(WireError("a string does not end in NUL"));
        }
        std::str::from_utf8(bytes).map_err(|_| WireError("a string is not UTF-8"))
    }

    pub(super) fn string(&mut self) -> Result<&'a str, WireError> {
        let length = usize::try_from(self.u32()?).map_err(|_| WireError("length overflow"))?;
        self.text(length)
    }

    pub(super) fn signature(&mut self) -> Result<&'a str, WireError> {
        let length = usize::from(self.byte()?);
        self.text(length)
    }

    /// The elements of an array, as a decoder that keeps the alignment.
    pub(super) fn array(&mut self, element: usize) -> Result<Decoder<'a>, WireError> {
        let length = usize::try_from(self.u32()?).map_err(|_| WireError("length overflow"))?;
        self.align(element)?;
        let start = self.at;
        self.take(length)?;
        let bytes = self.bytes.get(..start + length).ok_or(WireError("too short"))?;
        Ok(Decoder { bytes, at: start })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }
}

/// A message to be sent.
#[derive(Debug, Default)]
pub(super) struct Outgoing<'a> {
    pub(super) kind: u8,
    pub(super) serial: u32,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) destination: &'a str,
    pub(super) error_name: &'a str,
    pub(super) reply_serial: u32,
    pub(super) signature: &'a str,
    pub(super) body: Vec<u8>,
}

impl Outgoing<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.byte(ENDIAN);
        out.byte(self.kind);
        out.byte(0);
        out.byte(1);
        out.u32(u32::try_from(self.body.len()).unwrap_or(u32::MAX));
        out.u32(self.serial);
        out.array(8, |out| {
            let strings = [
                (PATH, "o", self.path),
                (INTERFACE, "s", self.interface),
                (MEMBER, "s", self.member),
                (ERROR_NAME, "s", self.error_name),
                (DESTINATION, "s", self.destination),
            ];
            for (code, kind, value) in strings.into_iter().filter(|(_, _, v)| !v.is_empty()) {
                out.align(8);
                out.byte(code);
                out.signature(kind);
                out.string(value);
            }
            if self.reply_serial != 0 {
                out.align(8);
                out.byte(REPLY_SERIAL);
                out.signature("u");
                out.u32(self.reply_serial);
            }
            if !self.signature.is_empty() {
                out.align(8);
                out.byte(SIGNATURE);
                out.signature("g");
                out.signature(self.signature);
            }
        });
        out.align(8);
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A received message.
#[derive(Debug, Clone, Default)]
pub(super) struct Incoming {
    pub(super) kind: u8,
    pub(super) serial: u32,
    pub(super) reply_serial: u32,
    pub(super) member: String,
    pub(super) interface: String,
    pub(super) error_name: String,
    pub(super) sender: String,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

/// Bytes that the message at the start of `bytes` takes; `None` if more are
/// needed to know.
pub(super) fn message_length(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    if bytes.len() < 16 {
        return Ok(None);
    }
    if bytes.first() != Some(&ENDIAN) {
        return Err(WireError("foreign byte order"));
    }
    let number = |at: usize| -> Result<usize, WireError> {
        let field: [u8; 4] = bytes
            .get(at..at + 4)
            .and_then(|field| field.try_into().ok())
            .ok_or(WireError("too short"))?;
        usize::try_from(u32::from_ne_bytes(field)).map_err(|_| WireError("length overflow"))
    };
    let (body, fields) = (number(4)?, number(12)?);
    if body > MAX_MESSAGE || fields > MAX_MESSAGE {
        return Err(WireError("too long"));
    }
    Ok(Some(16 + fields.next_multiple_of(8) + body))
}

/// Decodes exactly one message.
pub(super) fn decode(bytes: &[u8]) -> Result<Incoming, WireError> {
    let mut header = Decoder::new(bytes);
    header.byte()?;
    let mut message = Incoming { kind: header.byte()?, ..Incoming::default() };
    header.byte()?;
    if header.byte()? != 1 {
        return Err(WireError("unknown protocol version"));
    }
    let body = usize::try_from(header.u32()?).map_err(|_| WireError("length overflow"))?;
    message.serial = header.u32()?;
    let mut fields = header.array(8)?;
    while !fields.is_empty() {
        fields.align(8)?;
        let code = fields.byte()?;
        let kind = fields.signature()?;
        match (kind, code) {
            ("u", REPLY_SERIAL) => message.reply_serial = fields.u32()?,
            ("u", _) => {
                fields.u32()?;
            }
            ("g", SIGNATURE) => message.signature = fields.signature()?.to_owned(),
            ("s" | "o", _) => {
                let value = fields.string()?;
                let field = match code {
                    INTERFACE => &mut message.interface,
                    MEMBER => &mut message.member,
                    ERROR_NAME => &mut message.error_name,
                    SENDER => &mut message.sender,
                    _ => continue,
                };
                value.clone_into(field);
            }
            _ => return Err(WireError("unknown type of header field")),
        }
    }
    let start = bytes.len().checked_sub(body).ok_or(WireError("too short"))?;
    message.body = bytes.get(start..).unwrap_or_default().to_vec();
    Ok(message)
}
