//! Markdown tables of medians.

use crate::sample::{Sample, median};

/// One runtime's row: its name and samples, or why there are none.
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) samples: Result<&'a [Sample], &'a str>,
}

/// Median total wall, CPU and peak memory.
pub(crate) fn medians(samples: &[Sample]) -> (f64, f64, f64) {
    (
        median(samples.iter().map(|s| s.total().wall_ms)),
        median(samples.iter().map(|s| s.total().cpu_ms)),
        median(samples.iter().map(|s| s.peak_mib)),
    )
}

/// Formats one operation. `steps` names its commands; with more than one,
/// each gets a `wall / CPU` column of its own. Ratios are ours to the row's.
pub(crate) fn render(title: &str, steps: &[&str], rows: &[Row<'_>]) -> String {
    let ours = rows.first().and_then(|row| row.samples.ok()).map(medians);
    let mut text = format!(
        "**{title}**\n\n| runtime | wall ms | CPU ms | peak MiB | ours/its wall | ours/its CPU |"
    );
    let detailed = steps.len() > 1;
    if detailed {
        for step in steps {
            text.push_str(&format!(" {step} |"));
        }
    }
    text.push_str("\n|---|---|---|---|---|---|");
    if detailed {
        text.push_str(&"---|".repeat(steps.len()));
    }
    for row in rows {
        text.push_str(&format!("\n| {} |", row.name));
        let samples = match row.samples {
            Ok(samples) if !samples.is_empty() => samples,
            other => {
                let reason = other.err().unwrap_or("no sample");
                text.push_str(&format!(" {reason} | | | | |"));
                if detailed {
                    text.push_str(&" |".repeat(steps.len()));
                }
                continue;
            }
        };
        let (wall, cpu, peak) = medians(samples);
        text.push_str(&format!(" {wall:.2} | {cpu:.2} | {peak:.2} |"));
        match ours {
            Some((our_wall, our_cpu, _)) => {
                text.push_str(&format!(" {:.2} | {:.2} |", our_wall / wall, our_cpu / cpu));
            }
            None => text.push_str(" | |"),
        }
        if detailed {
            for (i, _) in steps.iter().enumerate() {
                let of = |f: fn(&crate::sample::Cost) -> f64| {
                    median(samples.iter().filter_map(|s| s.steps.get(i)).map(f))
                };
                text.push_str(&format!(" {:.2} / {:.2} |", of(|c| c.wall_ms), of(|c| c.cpu_ms)));
            }
        }
    }
    text.push_str("\n\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Cost;

    #[test]
    fn missing_peers_stay_visible() {
        let sample = |wall_ms| {
            vec![Sample { steps: vec![Cost { wall_ms, cpu_ms: wall_ms }], peak_mib: 1.0 }]
        };
        let (ours, theirs) = (sample(2.0), sample(4.0));
        let rows = [
            Row { name: "ours", samples: Ok(&ours) },
            Row { name: "peer", samples: Ok(&theirs) },
            Row { name: "gone", samples: Err("not installed") },
        ];
        let text = render("t", &["only"], &rows);
        assert!(text.contains("| peer | 4.00 | 4.00 | 1.00 | 0.50 | 0.50 |"), "{text}");
        assert!(text.contains("| gone | not installed |"), "{text}");
    }
}
