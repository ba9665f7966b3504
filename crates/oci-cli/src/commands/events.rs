//! `events`: counters and out-of-memory kills, as JSON lines.

use std::time::{Duration, Instant};

use caisson_cgroup::stats::Stats;
use caisson_cgroup::{OomEvent, OomEvents};
use caisson_isolator::{Container, ContainerStatus};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;

use super::Command;
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind};
use crate::invocation::Invocation;
use crate::output;

pub(crate) const COMMAND: Command = Command {
    name: "events",
    summary: "print counters and out-of-memory kills of a container as JSON lines",
    arguments: "<container-id>",
    details: "Ends with the container.",
    flags: &[
        Flag::new(
            "interval",
            Kind::Text,
            "time between counters, such as 500ms or 1m30s (default: 5s)",
        ),
        Flag::new("stats", Kind::Switch, "print the counters once and return"),
    ],
    end: FlagsEnd::Never,
    counts: (1, Some(1)),
    run: events,
};

/// One line.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Stats>,
}

fn events(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    let interval = invocation.flags.text("interval")?.unwrap_or("5s");
    let interval = duration(interval).ok_or_else(|| {
        CliError::Refused(format!("invalid value {interval:?} for flag -interval: parse error"))
    })?;
    if interval.is_zero() {
        return Err(CliError::Refused("duration interval must be greater than 0".to_owned()));
    }
    let container = invocation.container()?;
    let info = container.info()?;
    let id = info.id.as_str();
    if info.status == ContainerStatus::Stopped {
        return Err(CliError::Refused(format!("container with id {id} is not running")));
    }
    if invocation.flags.switch("stats") {
        print_stats(&*container, id)?;
        return Ok(0);
    }
    let mut watch = container.resources().watch_oom()?;
    let mut next = after(interval);
    loop {
        if wait(&watch, next)? {
            match watch.take().map_err(|e| CliError::Refused(e.to_string()))? {
                OomEvent::Oom => print(&Event { kind: "oom", id, data: None })?,
                OomEvent::Gone => return Ok(0),
                // On cgroup v2 the end of the last process looks like this.
                OomEvent::None if has_ended(&*container) => return Ok(0),
                OomEvent::None => {}
            }
        } else {
            next = after(interval);
            match print_stats(&*container, id) {
                Ok(()) => {}
                Err(_) if has_ended(&*container) => return Ok(0),
                Err(error) => invocation.log.warn(&error.to_string()),
            }
        }
    }
}

/// Whether the container is stopped or gone altogether.
fn has_ended(container: &dyn Container) -> bool {
    container.info().map_or(true, |info| info.status == ContainerStatus::Stopped)
}

/// An instant that far away; one beyond the clock's end never comes.
fn after(interval: Duration) -> Option<Instant> {
    Instant::now().checked_add(interval)
}

fn print_stats(container: &dyn Container, id: &str) -> Result<(), CliError> {
    let stats = container.resources().stats()?;
    print(&Event { kind: "stats", id, data: Some(&stats) })
}

fn print(event: &Event<'_>) -> Result<(), CliError> {
    output::stdout(&output::json_line(event)?)
}

/// Waits for the watch, at most until `deadline`; true if it has something.
fn wait(watch: &OomEvents, deadline: Option<Instant>) -> Result<bool, CliError> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut [PollFd::new(watch, PollFlags::IN)], left.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(CliError::io("wait for out-of-memory events", error)),
    }
}

/// A duration as Go writes it: numbers with units, such as `1m30s` or `1.5h`.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let length = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(length)?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use caisson_cgroup::stats::Stats;

    use super::{Event, duration};
    use crate::output::json_line;

    #[test]
    fn durations_are_gos() {
        for (text, millis) in
            [("5s", 5000), ("500ms", 500), ("1m30s", 90_000), ("1.5h", 5_400_000), ("0", 0)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "5", "s", "-5s", "5x", "1e3s", "1..2s", "99999999999999999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn lines_are_runcs() {
        let text = |event: &Event<'_>| String::from_utf8(json_line(event).unwrap()).unwrap();
        let oom = text(&Event { kind: "oom", id: "c1", data: None });
        assert_eq!(oom, "{\"type\":\"oom\",\"id\":\"c1\"}\n");
        let stats = text(&Event { kind: "stats", id: "c1", data: Some(&Stats::default()) });
        assert!(
            stats.starts_with("{\"type\":\"stats\",\"id\":\"c1\",\"data\":{\"cpu\":{"),
            "{stats}"
        );
        let value: serde_json::Value = serde_json::from_str(&stats).unwrap();
        let runc = [
            "blkio",
            "cpu",
            "cpuset",
            "hugetlb",
            "intel_rdt",
            "memory",
            "network_interfaces",
            "pids",
        ];
        assert!(value["data"].as_object().unwrap().keys().eq(runc));
    }
}
