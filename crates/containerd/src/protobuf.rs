//! As much of the encoding of protocol buffers as shims need.

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed protocol buffer came")]
pub struct Malformed;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// A message, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    fields: Vec<(u64, Value<'a>)>,
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

impl<'a> Message<'a> {
    /// Takes the bytes apart.
    pub fn parse(mut bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let value = match tag & 7 {
                0 => Value::Number(varint(&mut bytes)?),
                1 => {
                    let fixed = take(&mut bytes, 8)?.first_chunk().ok_or(Malformed)?;
                    Value::Number(u64::from_le_bytes(*fixed))
                }
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).map_err(|_| Malformed)?;
                    Value::Bytes(take(&mut bytes, length)?)
                }
                5 => {
                    let fixed = take(&mut bytes, 4)?.first_chunk().ok_or(Malformed)?;
                    Value::Number(u32::from_le_bytes(*fixed).into())
                }
                _ => return Err(Malformed),
            };
            fields.push((tag >> 3, value));
        }
        Ok(Self { fields })
    }

    /// A number; the last one counts, none is 0.
    pub fn number(&self, field: u64) -> u64 {
        let found = self.fields.iter().rev().find_map(|(number, value)| match value {
            Value::Number(value) if *number == field => Some(*value),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// A truth value.
    pub fn flag(&self, field: u64) -> bool {
        self.number(field) != 0
    }

    /// Every value of a field that is bytes.
    pub fn each(&self, field: u64) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.fields.iter().filter_map(move |(number, value)| match value {
            Value::Bytes(value) if *number == field => Some(*value),
            _ => None,
        })
    }

    /// Bytes; the last ones count, none are empty.
    pub fn bytes(&self, field: u64) -> &'a [u8] {
        self.each(field).last().unwrap_or_default()
    }

    /// A `google.protobuf.Timestamp`, in nanoseconds since 1970; none is 0.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn time(&self, field: u64) -> Result<u64, Malformed> {
        let time = Self::parse(self.bytes(field))?;
        Ok(time.number(1).saturating_mul(1_000_000_000).saturating_add(time.number(2)))
    }

    /// Every element of a repeated number, packed or not.
    pub fn numbers(&self, field: u64) -> Result<Vec<u64>, Malformed> {
        let mut all = Vec::new();
        for (_, value) in self.fields.iter().filter(|(number, _)| *number == field) {
            match value {
                Value::Number(number) => all.push(*number),
                Value::Bytes(bytes) => {
                    let mut rest = *bytes;
                    while !rest.is_empty() {
                        all.push(varint(&mut rest)?);
                    }
                }
            }
        }
        Ok(all)
    }

    /// Text.
    pub fn text(&self, field: u64) -> Result<String, Malformed> {
        String::from_utf8(self.bytes(field).to_vec()).map_err(|_| Malformed)
    }
}

/// A message, put together. What has its default value is left out.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push((number & 0x7f) as u8);
    }

    /// Adds a number.
    pub fn number(mut self, field: u64, number: u64) -> Self {
        if number != 0 {
            self.varint(field << 3);
            self.varint(number);
        }
        self
    }

    /// Adds bytes, even if they are empty.
    pub fn message(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend(bytes);
        self
    }

    /// Adds text.
    pub fn text(self, field: u64, text: &str) -> Self {
        if text.is_empty() { self } else { self.message(field, text.as_bytes()) }
    }

    /// Adds a `google.protobuf.Timestamp`, of nanoseconds since 1970.
    pub fn time(self, field: u64, nanos: u64) -> Self {
        let time =
            Self::default().number(1, nanos / 1_000_000_000).number(2, nanos % 1_000_000_000);
        self.message(field, &time.done())
    }

    /// One element of a repeated number.
    pub fn packed(number: u64) -> Vec<u8> {
        let mut writer = Self::default();
        writer.varint(number);
        writer.bytes
    }

    /// The bytes.
    pub fn done(self) -> Vec<u8> {
        self.bytes
    }
}

/// A `google.protobuf.Any`.
pub fn any(kind: &str, value: &[u8]) -> Vec<u8> {
    Writer::default().text(1, kind).message(2, value).done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        let bytes = Writer::default()
            .number(1, 300)
            .text(2, "text")
            .message(3, b"")
            .number(4, u64::MAX)
            .number(5, 0)
            .time(16, 1_500_000_000)
            .done();
        assert_eq!(bytes.get(..3), Some([0x08, 0xac, 0x02].as_slice()));
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.number(1), message.number(4)), (300, u64::MAX));
        assert_eq!((message.text(2).unwrap().as_str(), message.number(5)), ("text", 0));
        assert_eq!(message.each(3).count(), 1);
        let time = Message::parse(message.bytes(16)).unwrap();
        assert_eq!((time.number(1), time.number(2)), (1, 500_000_000));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [&[0x80][..], &[0x0a, 5, 1], &[0x0b], &[0xff; 12], &[9, 1]] {
            assert_eq!(Message::parse(bad), Err(Malformed), "{bad:?}");
        }
        assert_eq!(Message::parse(&[0x0a, 1, 0xff]).unwrap().text(1), Err(Malformed));
    }
}
