//! Numbers of bytes for people.

const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];

/// Three digits and a decimal unit, as docker shows sizes: `4.27MB`.
pub(crate) fn human(bytes: u64) -> String {
    let mut unit = 0;
    // Digits shown are far fewer than an f64 holds.
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    // 999.6 would be shown as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    let digits = match unit {
        0 => 0,
        _ if value < 9.995 => 2,
        _ if value < 99.95 => 1,
        _ => 0,
    };
    let number = format!("{value:.digits$}");
    let number =
        if digits > 0 { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{number}{name}")
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn three_digits_are_shown() {
        let pairs = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_266_000, "4.27MB"),
            (99_960_000, "100MB"),
            (999_600_000, "1GB"),
            (1_500_000_000_000, "1.5TB"),
            (u64::MAX, "18447PB"),
        ];
        for (bytes, text) in pairs {
            assert_eq!(human(bytes), text);
        }
    }
}
