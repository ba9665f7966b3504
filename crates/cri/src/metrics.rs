//! Figures of the daemon itself, as Prometheus reads them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::Code;

/// Upper bounds of the buckets of latencies, in milliseconds.
const BUCKETS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 30_000];

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    began: Instant,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    calls: BTreeMap<String, Calls>,
    pulls: u64,
    failed_pulls: u64,
    pulled_bytes: u64,
    pull_time: Duration,
    spans_sent: u64,
    spans_dropped: u64,
}

#[derive(Debug, Default)]
struct Calls {
    running: u64,
    by_code: BTreeMap<i32, u64>,
    buckets: [u64; BUCKETS.len()],
    count: u64,
    time: Duration,
}

/// What is known at the moment of asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Pods that stand.
    pub pods: usize,
    /// Containers that run.
    pub containers: usize,
    /// Pulls that run.
    pub pulls: usize,
    /// Operations of the engine that run.
    pub operations: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { began: Instant::now(), counted: Mutex::default() }
    }
}

impl Metrics {
    fn counted(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call has begun. `method` is one of the contract's.
    pub(crate) fn called(&self, method: &str) {
        self.counted().calls.entry(method.to_owned()).or_default().running += 1;
    }

    /// It has been answered.
    pub(crate) fn answered(&self, method: &str, code: Code, took: Duration) {
        let mut counted = self.counted();
        let calls = counted.calls.entry(method.to_owned()).or_default();
        calls.running = calls.running.saturating_sub(1);
        *calls.by_code.entry(code as i32).or_default() += 1;
        calls.count += 1;
        calls.time += took;
        for (bound, bucket) in BUCKETS.iter().zip(&mut calls.buckets) {
            if took <= Duration::from_millis(*bound) {
                *bucket += 1;
            }
        }
    }

    /// An image was pulled, or not.
    pub(crate) fn pulled(&self, well: bool, bytes: u64, took: Duration) {
        let mut counted = self.counted();
        counted.pulls += 1;
        counted.failed_pulls += u64::from(!well);
        counted.pulled_bytes += bytes;
        counted.pull_time += took;
    }

    /// A collector has taken so many spans.
    pub(crate) fn spans_sent(&self, count: u64) {
        self.counted().spans_sent += count;
    }

    /// So many spans were lost.
    pub(crate) fn spans_dropped(&self, count: u64) {
        self.counted().spans_dropped += count;
    }

    /// Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn text(&self, gauges: Gauges) -> String {
        let mut text = String::with_capacity(16 << 10);
        head(&mut text, "caisson_build_info", "gauge", "The version that runs.");
        let version = env!("CARGO_PKG_VERSION");
        let _ = writeln!(text, "caisson_build_info{{version=\"{version}\"}} 1");
        let gauge = |text: &mut String, name: &str, help: &str, value: usize| {
            head(text, name, "gauge", help);
            let _ = writeln!(text, "{name} {value}");
        };
        gauge(&mut text, "caisson_pods", "Pods that stand.", gauges.pods);
        gauge(&mut text, "caisson_containers_running", "Containers that run.", gauges.containers);
        gauge(&mut text, "caisson_image_pulls_running", "Pulls that run.", gauges.pulls);
        gauge(&mut text, "caisson_operations_running", "Operations that run.", gauges.operations);
        head(&mut text, "caisson_uptime_seconds", "gauge", "Time since the start.");
        let _ = writeln!(text, "caisson_uptime_seconds {}", self.began.elapsed().as_secs());
        let counted = self.counted();
        let counter = |text: &mut String, name: &str, help: &str, value: &dyn std::fmt::Display| {
            head(text, name, "counter", help);
            let _ = writeln!(text, "{name} {value}");
        };
        counter(&mut text, "caisson_image_pulls_total", "Pulls that ended.", &counted.pulls);
        counter(
            &mut text,
            "caisson_image_pull_failures_total",
            "Pulls that failed.",
            &counted.failed_pulls,
        );
        counter(
            &mut text,
            "caisson_image_pull_bytes_total",
            "Bytes of layers that were fetched.",
            &counted.pulled_bytes,
        );
        counter(
            &mut text,
            "caisson_image_pull_seconds_total",
            "Time that pulls took.",
            &counted.pull_time.as_secs_f64(),
        );
        let name = "caisson_trace_spans_total";
        counter(&mut text, name, "Spans that a collector has taken.", &counted.spans_sent);
        let name = "caisson_trace_spans_dropped_total";
        counter(&mut text, name, "Spans that were lost.", &counted.spans_dropped);
        calls(&mut text, &counted.calls);
        text
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn calls(text: &mut String, calls: &BTreeMap<String, Calls>) {
    let name = "caisson_cri_requests_running";
    head(text, name, "gauge", "Calls that are not answered yet.");
    for (method, calls) in calls {
        let _ = writeln!(text, "{name}{{method=\"{method}\"}} {}", calls.running);
    }
    let name = "caisson_cri_requests_total";
    head(text, name, "counter", "Calls by the code of their answer.");
    for (method, calls) in calls {
        for (code, count) in &calls.by_code {
            let code = format!("{:?}", Code::from(*code));
            let _ = writeln!(text, "{name}{{method=\"{method}\",code=\"{code}\"}} {count}");
        }
    }
    let name = "caisson_cri_request_duration_seconds";
    head(text, name, "histogram", "Time until the answer.");
    for (method, calls) in calls {
        for (bound, count) in BUCKETS.iter().zip(&calls.buckets) {
            let le = Duration::from_millis(*bound).as_secs_f64();
            let _ = writeln!(text, "{name}_bucket{{method=\"{method}\",le=\"{le}\"}} {count}");
        }
        let _ = writeln!(text, "{name}_bucket{{method=\"{method}\",le=\"+Inf\"}} {}", calls.count);
        let seconds = calls.time.as_secs_f64();
        let _ = writeln!(text, "{name}_sum{{method=\"{method}\"}} {seconds}");
        let _ = writeln!(text, "{name}_count{{method=\"{method}\"}} {}", calls.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted() {
        let metrics = Metrics::default();
        for (code, ms) in [(Code::Ok, 3), (Code::Ok, 700), (Code::NotFound, 0)] {
            metrics.called("Version");
            metrics.answered("Version", code, Duration::from_millis(ms));
        }
        metrics.called("Status");
        metrics.pulled(false, 7, Duration::from_secs(1));
        let text = metrics.text(Gauges { pods: 3, ..Gauges::default() });
        for line in [
            "caisson_pods 3",
            "caisson_cri_requests_total{method=\"Version\",code=\"Ok\"} 2",
            "caisson_cri_requests_total{method=\"Version\",code=\"NotFound\"} 1",
            "caisson_cri_request_duration_seconds_bucket{method=\"Version\",le=\"0.005\"} 2",
            "caisson_cri_request_duration_seconds_bucket{method=\"Version\",le=\"+Inf\"} 3",
            "caisson_cri_requests_running{method=\"Status\"} 1",
            "caisson_cri_requests_running{method=\"Version\"} 0",
            "caisson_image_pull_failures_total 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        // Each line is a comment or a sample.
        assert!(text.lines().all(|l| l.starts_with("# ") || l.starts_with("caisson_")));
    }
}
