//! Times as RFC 3339 text, in UTC.

use std::time::{Duration, SystemTime};

/// `time` to the second, rounded down.
pub(crate) fn rfc3339_seconds(time: SystemTime) -> String {
    let (seconds, _) = split(time);
    format!("{}Z", date_and_time(seconds))
}

/// `time` to the nanosecond, without trailing zeros.
pub(crate) fn rfc3339_nanos(time: SystemTime) -> String {
    let (seconds, nanos) = split(time);
    let mut text = date_and_time(seconds);
    if nanos != 0 {
        let digits = format!("{nanos:09}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Seconds since the epoch, rounded down, and nanoseconds from there.
fn split(time: SystemTime) -> (i64, u32) {
    let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (seconds(after), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            match before.subsec_nanos() {
                0 => (-seconds(before), 0),
                nanos => (-seconds(before) - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

fn date_and_time(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// The Gregorian date that many days after 1970-01-01. Counts from 1 March
/// of year 0, so that the leap day is a year's last, in eras of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{rfc3339_nanos, rfc3339_seconds};

    #[test]
    fn times_read_as_go_writes_them() {
        // From `date -u -d @N +%FT%TZ`.
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_399, 0, "2000-02-28T23:59:59Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
            (1_795_226_450, 120_000_000, "2026-11-21T02:00:50.12Z"),
            (1_795_226_450, 1, "2026-11-21T02:00:50.000000001Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
            assert_eq!(rfc3339_nanos(time), text);
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_millis(500);
        assert_eq!(rfc3339_nanos(before), "1969-12-31T23:59:59.5Z");
        assert_eq!(rfc3339_seconds(before), "1969-12-31T23:59:59Z");
    }
}
