//! Signal names of `signal(7)`.

use crate::failure::CliError;

/// Numbers on x86 and most other architectures (not alpha, sparc, mips, parisc).
const NAMES: [(&str, i32); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMAX", 64),
];

/// The first real-time signal of the C library; the two below are its own.
const RTMIN: i32 = 34;

/// A signal from its number or its name, with or without `SIG`, in any case;
/// `RTMIN`, `RTMIN+n` and `RTMAX-n` too.
pub(crate) fn parse(text: &str) -> Result<i32, CliError> {
    let unknown = || CliError::Refused(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let offset = |digits: &str| digits.parse::<u8>().ok().map(i32::from);
    let real_time = if name == "RTMIN" {
        Some(RTMIN)
    } else if let Some(above) = name.strip_prefix("RTMIN+") {
        offset(above).map(|above| RTMIN + above)
    } else {
        name.strip_prefix("RTMAX-").and_then(offset).map(|below| 64 - below)
    };
    real_time.filter(|number| (RTMIN..=64).contains(number)).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers_are_understood() {
        for (text, number) in [
            ("9", 9),
            ("0", 0),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("Term", 15),
            ("SIGRTMIN+3", 37),
            ("RTMIN", 34),
            ("RTMAX-1", 63),
            ("RTMAX", 64),
            ("37", 37),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["", "SIG", "NOPE", "65", "-1", "RTMIN+31", "RTMAX-31", "9x", "99999999999"] {
            let error = parse(bad).unwrap_err().to_string();
            assert_eq!(error, format!("unknown signal {bad:?}"));
        }
    }
}
