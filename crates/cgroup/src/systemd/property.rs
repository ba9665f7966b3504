//! Unit properties from annotations `org.systemd.property.*`, as runc has them.

use super::value::Value;

/// A property of a unit.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitProperty {
    /// Name, such as `TimeoutStopUSec`.
    pub name: String,
    /// Value.
    pub value: Value,
}

/// A malformed annotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("annotations[{key:?}]: {reason}")]
pub struct AnnotationError {
    /// The annotation's key.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

const PREFIX: &str = "org.systemd.property.";

impl UnitProperty {
    pub(super) fn new(name: &str, value: Value) -> UnitProperty {
        UnitProperty { name: name.to_owned(), value }
    }

    /// The property that an annotation sets; `None` if the annotation's key does
    /// not start with `org.systemd.property.`. The value is in GVariant's text
    /// format. A name that ends in `Sec` takes seconds and becomes `…USec`.
    pub fn from_annotation(key: &str, text: &str) -> Result<Option<UnitProperty>, AnnotationError> {
        let Some(name) = key.strip_prefix(PREFIX) else { return Ok(None) };
        let error = |reason: String| AnnotationError { key: key.to_owned(), reason };
        if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(error("a property's name has three or more letters".to_owned()));
        }
        let value = parse(text)
            .ok_or_else(|| error(format!("{text:?} is no value in GVariant text format")))?;
        if let Some(stem) = name.strip_suffix("Sec")
            && stem.ends_with(|last: char| last.is_ascii_lowercase())
        {
            let value = microseconds(&value)
                .ok_or_else(|| error(format!("{text:?} is not a number of seconds")))?;
            return Ok(Some(UnitProperty { name: format!("{stem}USec"), value }));
        }
        Ok(Some(UnitProperty { name: name.to_owned(), value }))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to integer casts saturate"
)]
fn microseconds(value: &Value) -> Option<Value> {
    const MILLION: u64 = 1_000_000;
    let seconds = match value {
        Value::Byte(value) => u64::from(*value),
        Value::U16(value) => u64::from(*value),
        Value::U32(value) => u64::from(*value),
        Value::U64(value) => *value,
        Value::I16(value) => u64::try_from(*value).ok()?,
        Value::I32(value) => u64::try_from(*value).ok()?,
        Value::I64(value) => u64::try_from(*value).ok()?,
        Value::F64(value) if *value >= 0.0 => return Some(Value::U64((value * 1e6) as u64)),
        _ => return None,
    };
    Some(Value::U64(seconds.checked_mul(MILLION)?))
}

/// GVariant text format (docs.gtk.org, "GVariant Text Format"), as far as unit
/// properties need it: numbers, booleans, strings, arrays of strings or of
/// unsigned numbers.
fn parse(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Some(annotated) = text.strip_prefix('@') {
        let (signature, rest) = annotated.split_once(char::is_whitespace)?;
        return typed(signature, rest.trim());
    }
    if let Some((keyword, rest)) = text.split_once(char::is_whitespace) {
        let signature = match keyword {
            "byte" => "y",
            "boolean" => "b",
            "int16" => "n",
            "uint16" => "q",
            "int32" => "i",
            "uint32" => "u",
            "int64" => "x",
            "uint64" => "t",
            "double" => "d",
            "string" => "s",
            _ => "",
        };
        if !signature.is_empty() {
            return typed(signature, rest.trim());
        }
    }
    match text.as_bytes().first()? {
        b'\'' | b'"' => typed("s", text),
        b'[' => typed("as", text).or_else(|| typed("au", text)),
        _ if matches!(text, "true" | "false") => typed("b", text),
        _ => typed("i", text).or_else(|| typed("d", text)),
    }
}

fn typed(signature: &str, text: &str) -> Option<Value> {
    Some(match signature {
        "y" => Value::Byte(integer(text)?),
        "b" => Value::Bool(text.parse().ok()?),
        "n" => Value::I16(integer(text)?),
        "q" => Value::U16(integer(text)?),
        "i" => Value::I32(integer(text)?),
        "u" => Value::U32(integer(text)?),
        "x" => Value::I64(integer(text)?),
        "t" => Value::U64(integer(text)?),
        "d" => Value::F64(text.parse().ok()?),
        "s" => match string(text)? {
            (value, "") => Value::Str(value),
            _ => return None,
        },
        "as" => Value::Strings(elements(text, string)?),
        "au" => Value::U32s(elements(text, number_element)?),
        "ay" => Value::Bytes(elements(text, number_element)?),
        _ => return None,
    })
}

fn integer<T: TryFrom<i128>>(text: &str) -> Option<T> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()?
    } else {
        digits.parse::<u64>().ok().map(i128::from)?
    };
    T::try_from(if negative { -value } else { value }).ok()
}

/// A quoted string, and what follows it.
fn string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                other => out.push(other),
            },
            c if c == quote => return Some((out, text.get(at + 1..)?)),
            c => out.push(c),
        }
    }
    None
}

fn number_element<T: TryFrom<i128>>(text: &str) -> Option<(T, &str)> {
    let end = text.find([',', ']'])?;
    let digits = text.get(..end)?.trim();
    let digits = digits.rsplit(' ').next()?;
    Some((integer(digits)?, text.get(end..)?))
}

fn elements<'a, T>(
    text: &'a str,
    element: impl Fn(&'a str) -> Option<(T, &'a str)>,
) -> Option<Vec<T>> {
    let mut rest = text.strip_prefix('[')?.trim_start();
    let mut out = Vec::new();
    if rest == "]" {
        return Some(out);
    }
    loop {
        let (value, after) = element(rest)?;
        out.push(value);
        let after = after.trim_start();
        if after == "]" {
            return Some(out);
        }
        rest = after.strip_prefix(',')?.trim_start();
    }
}

#[cfg(test)]
mod annotation_tests {
    use super::*;

    fn property(name: &str, text: &str) -> Result<(String, Value), String> {
        UnitProperty::from_annotation(&format!("{PREFIX}{name}"), text)
            .map(|property| property.map(|p| (p.name, p.value)).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn values() {
        let of = |text| property("Foo", text).unwrap().1;
        assert_eq!(of("true"), Value::Bool(true));
        assert_eq!(of("'inactive-or-failed'"), Value::Str("inactive-or-failed".into()));
        assert_eq!(of("\"it's\\n\""), Value::Str("it's\n".into()));
        assert_eq!(of("5"), Value::I32(5));
        assert_eq!(of("uint64 99"), Value::U64(99));
        assert_eq!(of("-1.5"), Value::F64(-1.5));
        assert_eq!(of("['a', 'b.service']"), Value::Strings(vec!["a".into(), "b.service".into()]));
        assert_eq!(of("@as []"), Value::Strings(vec![]));
        assert_eq!(of("[uint32 1, 2]"), Value::U32s(vec![1, 2]));
    }

    #[test]
    fn seconds_become_microseconds() {
        assert_eq!(
            property("TimeoutStopSec", "5"),
            Ok(("TimeoutStopUSec".into(), Value::U64(5_000_000)))
        );
        assert_eq!(
            property("TimeoutStopSec", "0.5"),
            Ok(("TimeoutStopUSec".into(), Value::U64(500_000)))
        );
        assert!(property("TimeoutStopSec", "'x'").is_err());
        assert!(property("TimeoutStopSec", "-5").is_err());
        assert_eq!(property("FooUSec", "uint64 7"), Ok(("FooUSec".into(), Value::U64(7))));
    }

    #[test]
    fn bad_annotations() {
        assert!(property("Fo", "1").unwrap_err().contains("three or more letters"));
        assert!(property("F1oo", "1").is_err());
        for text in ["", "'open", "[1,", "['a' 'b']", "int32 99999999999", "banana"] {
            assert!(property("Foo", text).is_err(), "{text}");
        }
        assert_eq!(UnitProperty::from_annotation("other.key", "x"), Ok(None));
    }
}
