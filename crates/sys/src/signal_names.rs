//! Names of signals (signal(7)).

/// Names without `SIG` and their numbers on every architecture that we run on
/// (not alpha, sparc, mips, parisc).
const NAMES: [(&str, i32); 34] = [
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
];

/// The first real-time signal of the C library; the two below are its own.
const RTMIN: i32 = 34;
/// The last one.
const RTMAX: i32 = 64;

/// The number that `text` is (0 to 64; 0 asks whether a process is there), or
/// that of the signal that it names: with or without `SIG`, in any case, also
/// `RTMIN`, `RTMIN+n`, `RTMAX` and `RTMAX-n`.
#[must_use]
pub fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return Some(number).filter(|number| (0..=RTMAX).contains(number));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let offset = |digits: &str| digits.parse::<u8>().ok().map(i32::from);
    let real_time = match name {
        "RTMIN" => Some(RTMIN),
        "RTMAX" => Some(RTMAX),
        _ => match name.strip_prefix("RTMIN+") {
            Some(above) => offset(above).map(|above| RTMIN + above),
            None => name.strip_prefix("RTMAX-").and_then(offset).map(|below| RTMAX - below),
        },
    };
    real_time.filter(|number| (RTMIN..=RTMAX).contains(number))
}

/// The name of a signal, without `SIG`; real-time signals have none.
#[must_use]
pub fn name(number: i32) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::{name, number};

    #[test]
    fn names_and_numbers_are_understood() {
        for (text, expected) in [
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
            assert_eq!(number(text), Some(expected), "{text}");
        }
        for bad in
            ["", "SIG", "NOPE", "65", "-1", "RTMIN+31", "RTMAX-31", "RTMINx", "9x", "99999999999"]
        {
            assert_eq!(number(bad), None, "{bad}");
        }
        assert_eq!((name(15), name(6), name(40)), (Some("TERM"), Some("ABRT"), None));
    }
}
