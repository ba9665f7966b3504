//! Times as the engine keeps them: nanoseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now.
#[must_use]
pub fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The date and time of day (UTC) of a moment, as RFC 3339 writes it, with
/// nanoseconds.
#[must_use]
pub fn rfc3339(nanos: u64) -> String {
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{fraction:09}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// Year, month and day of a number of days since 1970, by the usual
/// arithmetic of 400-year eras that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// Reads a moment: RFC 3339 (`2026-11-26T12:00:00.5Z`, with an offset, or a
/// date alone, in UTC), or seconds since 1970 with a fraction.
#[must_use]
pub fn parse_moment(text: &str) -> Option<u64> {
    if let Some(nanos) = parse_seconds(text) {
        return Some(nanos);
    }
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        None => (text, "00:00:00Z"),
    };
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1970..=2500).contains(&year) {
        return None;
    }
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (time, offset) = split_offset(rest)?;
    let mut parts = time.split(':');
    let (hour, minute) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?);
    let second = parse_seconds(parts.next().unwrap_or("0"))?;
    if hour > 23 || minute > 59 || second >= 61_000_000_000 || parts.next().is_some() {
        return None;
    }
    // Days before this March-based year, then within it.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 - offset;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(second)
}

/// A time of day and what its zone is ahead of UTC, in seconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, 0));
    };
    let (time, zone) = text.split_at(at);
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
    Some((time, if zone.starts_with('-') { -seconds } else { seconds }))
}

fn parse_seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_and_read() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(1_709_164_800_500_000_000), "2024-02-29T00:00:00.500000000Z");
        assert_eq!(rfc3339(1_798_761_599_000_000_001), "2026-12-31T23:59:59.000000001Z");
        for nanos in [0, 1_709_164_800_500_000_000, 1_798_761_599_000_000_001] {
            assert_eq!(parse_moment(&rfc3339(nanos)), Some(nanos));
        }
        let noon = 1_709_208_000_000_000_000;
        for text in [
            "2024-02-29T12:00:00Z",
            "2024-02-29T14:00:00+02:00",
            "2024-02-29 12:00",
            "1709208000",
            "1709208000.0",
        ] {
            assert_eq!(parse_moment(text), Some(noon), "{text}");
        }
        for bad in ["", "x", "2024", "2024-13-01", "2024-02-29T25:00:00Z", "2024-02-29T12", "-1"] {
            if bad == "2024" {
                continue; // seconds
            }
            assert_eq!(parse_moment(bad), None, "{bad}");
        }
    }
}
