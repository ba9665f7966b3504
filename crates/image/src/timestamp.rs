//! RFC 3339 times, as image configurations have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time that `text` names; `None` if it is none, or before the year 1.
pub(crate) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let mark = |at: usize, marks: &str| text.get(at..=at).is_some_and(|c| marks.contains(c));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let shaped = mark(4, "-") && mark(7, "-") && mark(10, "Tt ") && mark(13, ":") && mark(16, ":");
    let ranged = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && year > 0;
    if !shaped || !ranged {
        return None;
    }
    let rest = text.get(19..)?;
    let (nanos, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(fraction) => {
            let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            let (digits, zone) = fraction.split_at(end);
            let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
            (nine.parse::<u32>().ok().filter(|_| end > 0)?, zone)
        }
    };
    let offset = match zone {
        "Z" | "z" => 0,
        other => {
            let sign = match other.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = other.get(1..)?.split_once(':')?;
            let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
            sign * (hours * 3600 + minutes * 60)
        }
    };
    let seconds = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    let seconds = seconds - offset;
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole)? } else { UNIX_EPOCH.checked_add(whole)? };
    start.checked_add(Duration::from_nanos(nanos.into()))
}

/// `time` in UTC, to the second. Before 1970 it is 1970.
pub(crate) fn format_rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut days, rest) = (i64::try_from(seconds / 86400).unwrap_or(0), seconds % 86400);
    let (mut year, mut month) = (1970, 1);
    loop {
        let length = days_since_1970(year + 1, 1, 1) - days_since_1970(year, 1, 1);
        if days < length {
            break;
        }
        (days, year) = (days - length, year + 1);
    }
    let first = days_since_1970(year, 1, 1);
    while month < 12 && days_since_1970(year, month + 1, 1) - first <= days {
        month += 1;
    }
    let day = days - (days_since_1970(year, month, 1) - first) + 1;
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days of the Gregorian calendar from 1970-01-01.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have the leap day at their end.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-26T12:00:00.5+01:00", 1_795_690_800),
            ("2024-12-31T23:59:59Z", 1_735_689_599),
        ] {
            let time = parse_rfc3339(text).unwrap();
            assert_eq!(time.duration_since(UNIX_EPOCH).unwrap().as_secs(), seconds, "{text}");
        }
        for text in ["2000-02-29T12:00:00Z", "2024-12-31T23:59:59Z", "1970-01-01T00:00:00Z"] {
            assert_eq!(format_rfc3339(parse_rfc3339(text).unwrap()), text);
        }
        assert!(parse_rfc3339("0001-01-01T00:00:00Z").is_some_and(|t| t < UNIX_EPOCH));
        for bad in ["", "now", "2024-13-01T00:00:00Z", "2024-01-01", "2024-01-01T00:00:00"] {
            assert!(parse_rfc3339(bad).is_none(), "{bad}");
        }
    }
}
