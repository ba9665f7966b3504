//! D-Bus values, as far as unit properties use them.

use super::wire::Encoder;

/// A value with its type.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named after the D-Bus types")]
pub enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F64(f64),
    Str(String),
    Bytes(Vec<u8>),
    U32s(Vec<u32>),
    Strings(Vec<String>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
}

impl Value {
    /// D-Bus type signature.
    #[must_use]
    pub fn signature(&self) -> &'static str {
        match self {
            Value::Byte(_) => "y",
            Value::Bool(_) => "b",
            Value::I16(_) => "n",
            Value::U16(_) => "q",
            Value::I32(_) => "i",
            Value::U32(_) => "u",
            Value::I64(_) => "x",
            Value::U64(_) => "t",
            Value::F64(_) => "d",
            Value::Str(_) => "s",
            Value::Bytes(_) => "ay",
            Value::U32s(_) => "au",
            Value::Strings(_) => "as",
            Value::Pairs(_) => "a(ss)",
        }
    }

    /// Type `v`: the signature, then the value.
    pub(super) fn encode_variant(&self, out: &mut Encoder) {
        out.signature(self.signature());
        match self {
            Value::Byte(value) => out.byte(*value),
            Value::Bool(value) => out.u32(u32::from(*value)),
            Value::I16(value) => out.u16(value.cast_unsigned()),
            Value::U16(value) => out.u16(*value),
            Value::I32(value) => out.u32(value.cast_unsigned()),
            Value::U32(value) => out.u32(*value),
            Value::I64(value) => out.u64(value.cast_unsigned()),
            Value::U64(value) => out.u64(*value),
            Value::F64(value) => out.u64(value.to_bits()),
            Value::Str(value) => out.string(value),
            Value::Bytes(values) => out.array(1, |out| values.iter().for_each(|v| out.byte(*v))),
            Value::U32s(values) => out.array(4, |out| values.iter().for_each(|v| out.u32(*v))),
            Value::Strings(values) => out.array(4, |out| values.iter().for_each(|v| out.string(v))),
            Value::Pairs(values) => out.array(8, |out| {
                for (first, second) in values {
                    out.align(8);
                    out.string(first);
                    out.string(second);
                }
            }),
        }
    }
}
