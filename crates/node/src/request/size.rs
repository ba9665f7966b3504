//! Amounts of bytes and of time, as docker's options write them.

use std::time::Duration;

use super::OptionError;

/// Bytes: a number, perhaps with a fraction, and `b k m g t` (powers of 1024,
/// `kb` and `kib` mean the same).
///
/// # Errors
/// If it is no such text, or more than `i64::MAX` bytes.
pub fn parse_size(text: &str) -> Result<u64, OptionError> {
    let fail = || OptionError::new(text, "a size is a number and b, k, m, g or t, as in 512m");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(fail()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(fail());
    }
    let scale = 1u128 << shift;
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| fail())? };
    let mut bytes = whole.checked_mul(scale).ok_or_else(fail)?;
    if !fraction.is_empty() {
        // More digits than these can't make a byte of difference.
        let digits: String = fraction.chars().take(15).collect();
        let value: u128 = digits.parse().map_err(|_| fail())?;
        let tens = 10u128.pow(u32::try_from(digits.len()).map_err(|_| fail())?);
        bytes = bytes.checked_add(value * scale / tens).ok_or_else(fail)?;
    }
    u64::try_from(bytes).ok().filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(fail)
}

/// A span: `90`, `90s`, `1m30s`, `2h`, `100ms`, `1d`; a bare number is seconds.
///
/// # Errors
/// If it is no such text.
pub fn parse_duration(text: &str) -> Result<Duration, OptionError> {
    let fail = || OptionError::new(text, "a span of time is written like 90s, 1m30s or 2h");
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| fail());
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return Err(fail()),
        };
        let number: f64 = number.parse().map_err(|_| fail())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| fail())?;
        total = total.checked_add(part).ok_or_else(fail)?;
        rest = after;
    }
    if text.is_empty() { Err(fail()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("64k", 65536),
            ("64KB", 65536),
            ("1.5g", 1_610_612_736),
            (".5m", 524_288),
            ("2t", 2 << 40),
            ("10 m", 10 << 20),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "m", "-1", "1x", "1e3", "99999999999999999999", "8388608t", "1.2.3"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans() {
        for (text, millis) in
            [("90", 90_000), ("1m30s", 90_000), ("2h", 7_200_000), ("100ms", 100), ("1.5s", 1500)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for bad in ["", "s", "1x", "-1s", "1m2", "inf"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
