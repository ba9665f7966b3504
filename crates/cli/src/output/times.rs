//! Moments and spans: ages for people, RFC 3339 for programs, and what users
//! type for either.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 1 March of year 0, so that the leap day ends a year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Days from 1970-01-01 to a date; `None` before it or for no date.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days = shifted_year * 365 + shifted_year / 4 - shifted_year / 100
        + shifted_year / 400
        + day_of_year;
    let days = days.checked_sub(719_468)?;
    (civil(days) == (year, month, day)).then_some(days)
}

/// A moment as a user or an image's configuration writes it: RFC 3339
/// (`2026-11-21T02:34:51.09+01:00`), a date, seconds since 1970, or a span
/// before `now` (`24h`).
pub(crate) fn moment(text: &str, now: SystemTime) -> Option<SystemTime> {
    if let Some(moment) = parse_rfc3339(text) {
        return Some(moment);
    }
    if let Ok(seconds) = text.parse() {
        return UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    }
    now.checked_sub(span(text)?)
}

fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let date = text.get(..10)?;
    let mut fields = date.split('-');
    let (year, month, day) = (fields.next()?, fields.next()?, fields.next()?);
    if (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let days = days_since_epoch(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
    let midnight = UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400))?;
    let rest = text.get(10..)?;
    if rest.is_empty() {
        return Some(midnight);
    }
    let clock = rest.strip_prefix(['T', 't', ' '])?;
    let zone_at = clock.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = clock.split_at_checked(zone_at)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut fields = clock.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
    if hour > 23 || minute > 59 || second > 60 || fields.next().is_some() {
        return None;
    }
    let nanoseconds = match fraction {
        "" => 0,
        digits => format!("{digits:0<9}").get(..9)?.parse().ok()?,
    };
    let local = midnight
        .checked_add(Duration::from_secs(hour * 3600 + minute * 60 + second))?
        .checked_add(Duration::from_nanos(nanoseconds))?;
    let Some((hours, minutes)) = zone.get(1..)?.split_once(':') else {
        return matches!(zone, "Z" | "z").then_some(local);
    };
    let offset = hours.parse::<u64>().ok()?.checked_mul(3600)? + minutes.parse::<u64>().ok()? * 60;
    let offset = Duration::from_secs(offset);
    if zone.starts_with('+') { local.checked_sub(offset) } else { local.checked_add(offset) }
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
    fn zones_and_fractions_are_understood() {
        let utc = moment("2026-11-21T02:00:00Z", at(0)).unwrap();
        assert_eq!(moment("2026-11-21T04:30:00+02:30", at(0)), Some(utc));
        let later = utc + Duration::from_millis(250);
        assert_eq!(moment("2026-11-21T02:00:00.25Z", at(0)), Some(later));
        assert_eq!(moment("2026-11-21", at(0)), Some(utc - Duration::from_secs(7200)));
    }

    #[test]
    fn spans_count_back_from_now() {
        assert_eq!(span("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(span("1d500ms"), Some(Duration::from_millis(86_400_500)));
        assert_eq!(moment("10s", at(100)), Some(at(90)));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "h", "5x", "2026-02-30", "2026-13-01", "2026-1-1", "2026-11-21T25:00:00Z"]
        {
            assert_eq!(moment(text, at(1_000_000)), None, "{text}");
        }
        assert_eq!(span("99999999999999999999s"), None);
    }
}
