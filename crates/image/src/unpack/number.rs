//! Numeric fields of a tar header.

/// Reads octal digits (ustar), or a big-endian two's complement number whose
/// first bit is set (GNU's base-256). A blank field is 0.
///
/// `None`: other characters, or beyond 64 bits.
pub(crate) fn field(bytes: &[u8]) -> Option<i64> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => base256(*first, bytes.get(1..)?),
        _ => octal(bytes),
    }
}

fn octal(bytes: &[u8]) -> Option<i64> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = bytes.iter().position(|b| *b != b' ').unwrap_or(bytes.len());
    let bytes = bytes.get(start..)?;
    let end = bytes.iter().position(is_blank).unwrap_or(bytes.len());
    let (digits, rest) = bytes.split_at_checked(end)?;
    if !rest.iter().all(is_blank) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|d| *d < 8)?;
        value.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

fn base256(first: u8, rest: &[u8]) -> Option<i64> {
    // The flag bit is no part of the number; the next one is its sign.
    let negative = first & 0x40 != 0;
    let head = if negative { i128::from(first) - 0x100 } else { i128::from(first & 0x3f) };
    let value = rest
        .iter()
        .try_fold(head, |value, byte| value.checked_mul(256)?.checked_add(i128::from(*byte)))?;
    i64::try_from(value).ok()
}

/// Decimal digits and nothing else.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 20 {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|d| *d < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields() {
        assert_eq!(field(b"0000644\0"), Some(0o644));
        assert_eq!(field(b"   644 \0"), Some(0o644));
        assert_eq!(field(b"00000000017"), Some(15));
        assert_eq!(field(b"\0\0\0\0"), Some(0));
        assert_eq!(field(b""), Some(0));
        assert_eq!(field(b"777777777777"), Some(0o777_777_777_777));
        for bad in [&b"0008"[..], b"-1", b"12 4", b"0x1", b"1\x002"] {
            assert_eq!(field(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn base_256_fields() {
        assert_eq!(field(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(field(&[0xff; 12]), Some(-1));
        assert_eq!(field(&[0xff, 0xff, 0xff, 0xfe]), Some(-2));
        assert_eq!(
            field(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]),
            Some(i64::MAX)
        );
        assert_eq!(field(&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(field(&[0xbf; 12]), None);
        assert_eq!(field(&[0xc0; 12]), None);
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"18446744073709551616", b"-1", b"+1", b" 1", b"1a"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }
}
