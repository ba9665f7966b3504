//! Moments and spans: ages for people, RFC 3339 for programs, and what users
//! type for either.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caisson_node::clock;

/// How long ago `then` was, as docker says it: `3 hours ago`.
pub(crate) fn ago(then: SystemTime, now: SystemTime) -> String {
    match now.duration_since(then) {
        Ok(span) if span.as_secs() >= 1 => format!("{} ago", rough(span)),
        _ => "Just now".to_owned(),
    }
}

/// A span in its largest fitting unit: `About a minute`, `5 weeks`.
pub(crate) fn rough(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if days < 14 => format!("{days} days"),
        () if days < 60 => format!("{} weeks", days / 7),
        () if days < 730 => format!("{} months", days / 30),
        () => format!("{} years", days / 365),
    }
}

/// UTC in RFC 3339 with whole seconds; before 1970 is shown as 1970.
pub(crate) fn rfc3339(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    clock::rfc3339(seconds.saturating_mul(1_000_000_000)).replace(".000000000", "")
}

/// A moment as a user or an image's configuration writes it: RFC 3339
/// (`2026-11-21T02:34:51.09+01:00`), a date, seconds since 1970, or a span
/// before `now` (`24h`).
pub(crate) fn moment(text: &str, now: SystemTime) -> Option<SystemTime> {
    match clock::parse_moment(text) {
        Some(nanoseconds) => UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds)),
        None => now.checked_sub(span(text)?),
    }
}

/// A span as a user writes it: `90s`, `1h30m`, `500ms`, `7d`.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let part = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            "d" => Duration::from_secs(number.checked_mul(86_400)?),
            "w" => Duration::from_secs(number.checked_mul(604_800)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn ages_are_rough() {
        let now = at(1_000_000_000);
        let pairs = [
            (0, "Just now"),
            (59, "59 seconds ago"),
            (61, "About a minute ago"),
            (3600, "About an hour ago"),
            (47 * 3600, "47 hours ago"),
            (15 * 86_400, "2 weeks ago"),
            (800 * 86_400, "2 years ago"),
        ];
        for (seconds, text) in pairs {
            assert_eq!(ago(at(1_000_000_000 - seconds), now), text);
        }
        assert_eq!(ago(at(2_000_000_000), now), "Just now");
    }

    #[test]
    fn moments_survive_writing_and_reading() {
        for seconds in [0, 951_782_400, 1_709_164_799, 1_764_160_000, 4_102_444_800] {
            assert_eq!(moment(&rfc3339(at(seconds)), at(0)), Some(at(seconds)), "{seconds}");
        }
        assert_eq!(rfc3339(at(951_782_400)), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn spans_count_back_from_now() {
        assert_eq!(span("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(span("1d500ms"), Some(Duration::from_millis(86_400_500)));
        assert_eq!(moment("10s", at(100)), Some(at(90)));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "h", "5x", "2026-13-01", "2026-11-21T25:00:00Z"] {
            assert_eq!(moment(text, at(1_000_000)), None, "{text}");
        }
        assert_eq!(span("99999999999999999999s"), None);
    }
}
