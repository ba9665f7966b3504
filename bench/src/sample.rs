//! Samples taken through the measurer, and their medians.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Seek};
use std::process::{Command, Stdio};

use crate::error::BenchError;
use crate::measurer;

/// What one command took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// From spawn to exit, milliseconds.
    pub(crate) wall_ms: f64,
    /// User and system time of the command and all it reaped, milliseconds.
    pub(crate) cpu_ms: f64,
}

/// One sequence of commands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Per command.
    pub(crate) steps: Vec<Cost>,
    /// Peak resident memory of the largest process, MiB. Never below what the
    /// measurer itself has resident, since a child starts with that.
    pub(crate) peak_mib: f64,
}

impl Sample {
    /// All steps together.
    pub(crate) fn total(&self) -> Cost {
        self.steps.iter().fold(Cost::default(), |sum, step| Cost {
            wall_ms: sum.wall_ms + step.wall_ms,
            cpu_ms: sum.cpu_ms + step.cpu_ms,
        })
    }
}

/// Runs `commands` in a measurer.
///
/// # Errors
/// When a command fails, with its number counted from 1.
pub(crate) fn take<S: AsRef<OsStr>>(commands: &[Vec<S>]) -> Result<Sample, BenchError> {
    let mut arguments: Vec<OsString> = vec![measurer::NAME.into()];
    for (i, command) in commands.iter().enumerate() {
        if i > 0 {
            arguments.push(measurer::SEPARATOR.into());
        }
        arguments.extend(command.iter().map(|a| a.as_ref().to_owned()));
    }
    // A file, not a pipe: nobody waits for it when a container keeps it open.
    let mut messages = tempfile::tempfile().map_err(BenchError::system("make a scratch file"))?;
    let stderr = messages.try_clone().map_err(BenchError::system("share a scratch file"))?;
    let output = Command::new("/proc/self/exe")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(stderr)
        .output()
        .map_err(BenchError::system("start the measurer"))?;
    parse(&String::from_utf8_lossy(&output.stdout)).map_err(|error| {
        let mut text = String::new();
        // What was said is an extra; the error stands without it.
        let _ = messages.rewind();
        let _ = messages.read_to_string(&mut text);
        match (error, text.trim().lines().next_back()) {
            (BenchError::Runtime { command, .. }, Some(last)) => {
                BenchError::Runtime { command, reason: format!("failed: {last}") }
            }
            (error, _) => error,
        }
    })
}

fn parse(report: &str) -> Result<Sample, BenchError> {
    let bad = || BenchError::Measurer(report.to_owned());
    let mut sample = Sample::default();
    for (i, line) in report.lines().enumerate() {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[..] {
            ["rss", kib] => sample.peak_mib = kib.parse::<f64>().map_err(|_| bad())? / 1024.0,
            [wall, cpu, "true"] => sample.steps.push(Cost {
                wall_ms: wall.parse::<f64>().map_err(|_| bad())? / 1e6,
                cpu_ms: cpu.parse::<f64>().map_err(|_| bad())? / 1e3,
            }),
            [_, _, "false"] => {
                return Err(BenchError::Runtime {
                    command: format!("measured command {}", i + 1),
                    reason: "failed".into(),
                });
            }
            _ => return Err(bad()),
        }
    }
    if sample.steps.is_empty() {
        return Err(bad());
    }
    Ok(sample)
}

/// The median; of an even number of values the mean of the middle two.
/// `NaN` of none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), middle.checked_sub(1).and_then(|i| values.get(i))) {
        (Some(upper), Some(lower)) if values.len().is_multiple_of(2) => (lower + upper) / 2.0,
        (Some(upper), _) => *upper,
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert_eq!(median([7.0].into_iter()), 7.0);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn reports_are_read() {
        let sample = parse("1500000 700 true\n500000 300 true\nrss 2048\n").unwrap();
        assert_eq!(sample.peak_mib, 2.0);
        assert_eq!(sample.total(), Cost { wall_ms: 2.0, cpu_ms: 1.0 });
    }

    #[test]
    fn failures_and_nonsense_are_errors() {
        assert!(parse("1 2 false\nrss 1\n").is_err());
        assert!(parse("").is_err());
        assert!(parse("rss 5\n").is_err());
        assert!(parse("a b true\n").is_err());
        assert!(parse("what\n").is_err());
    }
}
