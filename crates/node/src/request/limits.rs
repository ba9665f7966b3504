//! Limits: `--memory`, `--cpus`, `--ulimit` and their like.

use caisson_runtime_spec::{Rlimit, RlimitKind};
use serde::{Deserialize, Serialize};

use super::OptionError;

/// Limits of the cgroup; what is absent is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceRequest {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; -1 is unlimited.
    pub memory_swap: Option<i64>,
    /// Bytes that it is pushed back to when memory is short.
    pub memory_reservation: Option<u64>,
    /// Tendency to swap, 0 to 100.
    pub memory_swappiness: Option<u64>,
    /// Tasks wait for memory instead of being killed.
    pub oom_kill_disable: bool,
    /// Processors, in billionths.
    pub nano_cpus: Option<u64>,
    /// Relative weight.
    pub cpu_shares: Option<u64>,
    /// Microseconds per period.
    pub cpu_quota: Option<i64>,
    /// Microseconds of a period.
    pub cpu_period: Option<u64>,
    /// Processors, as a list.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, as a list.
    pub cpuset_mems: Option<String>,
    /// Tasks; -1 is unlimited.
    pub pids_limit: Option<i64>,
    /// Weight of block I/O, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// `oom_score_adj` of the process.
    pub oom_score_adj: Option<i32>,
}

/// Processors such as `1.5`, in billionths.
///
/// # Errors
/// If it is no such number.
pub fn parse_cpus(text: &str) -> Result<u64, OptionError> {
    let fail = || OptionError::new(text, "a number of processors is written like 1.5");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if text.is_empty() || text == "." || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err(fail());
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| fail())? };
    let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| fail())?;
    let nano = whole.checked_mul(1_000_000_000).and_then(|n| n.checked_add(fraction));
    nano.filter(|nano| *nano >= 10_000_000)
        .ok_or_else(|| OptionError::new(text, "at least 0.01 of a processor is needed"))
}

/// `NAME=SOFT[:HARD]` as after `--ulimit`; -1 is unlimited.
///
/// # Errors
/// If it is no such text; lists the names.
pub fn parse_ulimit(text: &str) -> Result<Rlimit, OptionError> {
    let (name, values) = text
        .split_once('=')
        .ok_or_else(|| OptionError::new(text, "a limit is NAME=SOFT[:HARD]"))?;
    let kind = RlimitKind::from_name(&format!("RLIMIT_{}", name.to_ascii_uppercase()));
    let kind = kind.ok_or_else(|| {
        let known: Vec<String> = RlimitKind::ALL
            .iter()
            .map(|kind| kind.as_str().trim_start_matches("RLIMIT_").to_ascii_lowercase())
            .collect();
        OptionError::new(
            text,
            format!("no limit is called {name:?}; known are: {}", known.join(", ")),
        )
    })?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |value: &str| match value {
        "-1" | "unlimited" => Ok(u64::MAX),
        _ => value.parse().map_err(|_| OptionError::new(text, format!("{value:?} is no number"))),
    };
    let limit = Rlimit { kind, soft: number(soft)?, hard: number(hard)? };
    if limit.soft > limit.hard {
        return Err(OptionError::new(text, "the soft limit is above the hard one"));
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors() {
        for (text, nano) in [("1", 1_000_000_000), ("1.5", 1_500_000_000), (".25", 250_000_000)] {
            assert_eq!(parse_cpus(text).unwrap(), nano);
        }
        for bad in ["", ".", "-1", "0", "0.001", "1e3", "1.0000000001", "a"] {
            assert!(parse_cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ulimits() {
        let limit = parse_ulimit("nofile=10:20").unwrap();
        assert_eq!((limit.kind, limit.soft, limit.hard), (RlimitKind::Nofile, 10, 20));
        assert_eq!(parse_ulimit("core=-1").unwrap().hard, u64::MAX);
        for bad in ["nofile", "nope=1", "nofile=2:1", "nofile=x"] {
            assert!(parse_ulimit(bad).is_err(), "{bad}");
        }
    }
}
