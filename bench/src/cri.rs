//! `cri`: what cribench measured of two daemons, as tables and against the bars.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::error::BenchError;
use crate::options::Options;
use crate::record;
use crate::sample::median;

/// Ours as share of the peer's, at most: start of a pod, memory per pod, exec.
const START: f64 = 1.0 / 3.0;
const MEMORY: f64 = 1.0 / 8.0;
const EXEC: f64 = 0.2;
/// Milliseconds that a list of 100 pods or 200 containers may take.
const LIST_MS: f64 = 2.0;

/// The steps of one pod's start, and of its end.
const BEGIN: [&str; 3] = ["run pod sandbox", "create container", "start container"];
const END: [&str; 2] = ["stop pod sandbox", "remove pod sandbox"];
const NETWORKS: [&str; 2] = ["pod network", "host network"];

/// Median wall and CPU time of a step, in milliseconds.
type Cost = (f64, f64);

/// What one runtime showed.
#[derive(Debug)]
struct Figures {
    version: String,
    steps: BTreeMap<String, Cost>,
    /// Daemon with no pods, daemon with pods, per pod; KiB.
    memory: [f64; 3],
    pods: u64,
    containers: u64,
}

impl Figures {
    fn read(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name)?.as_f64();
        let of = |step: &Value, name: &str| -> Option<f64> {
            let samples = step.as_array()?;
            (!samples.is_empty())
                .then(|| median(samples.iter().filter_map(|s| s.get(name)?.as_f64())))
        };
        let mut steps = BTreeMap::new();
        for (name, step) in value.get("steps")?.as_object()? {
            steps.insert(name.clone(), (of(step, "wall_ms")?, of(step, "cpu_ms")?));
        }
        let pods = value.get("pods")?.as_u64()?;
        Some(Self {
            version: value.get("version")?.as_str()?.to_owned(),
            memory: [
                number("daemon_pss_empty_kib")?,
                number("daemon_pss_kib")?,
                number("pod_pss_kib")? / pods.max(1) as f64,
            ],
            steps: with_sums(steps),
            pods,
            containers: value.get("containers")?.as_u64()?,
        })
    }
}

/// Adds the sums that the bars speak of.
fn with_sums(mut steps: BTreeMap<String, Cost>) -> BTreeMap<String, Cost> {
    for network in NETWORKS {
        for (sum, parts) in [("start of a pod", &BEGIN[..]), ("end of a pod", &END[..])] {
            let total = parts.iter().try_fold((0.0, 0.0), |(wall, cpu), part| {
                let (more, more_cpu) = steps.get(&format!("{network}: {part}"))?;
                Some((wall + more, cpu + more_cpu))
            });
            if let Some(total) = total {
                steps.insert(format!("{network}: *{sum}*"), total);
            }
        }
    }
    steps
}

fn table(ours: &Figures, theirs: &Figures) -> String {
    let mut text = "| step | ours wall / CPU ms | containerd wall / CPU ms | ours/its wall | \
                    ours/its CPU |\n|---|---|---|---|---|\n"
        .to_owned();
    for (step, (wall, cpu)) in &ours.steps {
        text.push_str(&match theirs.steps.get(step) {
            Some((their_wall, their_cpu)) => format!(
                "| {step} | {wall:.2} / {cpu:.2} | {their_wall:.2} / {their_cpu:.2} | {:.2} | {:.2} |\n",
                wall / their_wall,
                cpu / their_cpu
            ),
            None => format!("| {step} | {wall:.2} / {cpu:.2} | not measured | | |\n"),
        });
    }
    text.push_str(&format!(
        "\n{} pods of two containers ({} and {} containers listed). Proportional memory (PSS), MiB:\n\n\
         | | ours | containerd | ours/its |\n|---|---|---|---|\n",
        ours.pods, ours.containers, theirs.containers
    ));
    for (i, what) in ["daemon, no pods", "daemon, with the pods", "per pod, without its containers"]
        .into_iter()
        .enumerate()
    {
        if let (Some(ours), Some(theirs)) = (ours.memory.get(i), theirs.memory.get(i)) {
            let (ours, theirs) = (ours / 1024.0, theirs / 1024.0);
            text.push_str(&format!(
                "| {what} | {ours:.2} | {theirs:.2} | {:.3} |\n",
                ours / theirs
            ));
        }
    }
    text.push('\n');
    text
}

fn misses(ours: &Figures, theirs: &Figures) -> Vec<String> {
    let mut missed = Vec::new();
    let mut bar = |what: String, ratio: Option<f64>, most: f64| match ratio {
        Some(ratio) if ratio <= most => {}
        Some(ratio) => missed.push(format!("{what}: {ratio:.3}, at most {most:.3}")),
        None => missed.push(format!("{what}: not measured")),
    };
    let wall = |step: &str| Some(ours.steps.get(step)?.0 / theirs.steps.get(step)?.0);
    for network in NETWORKS {
        let step = format!("{network}: *start of a pod*");
        bar(format!("{step}, wall"), wall(&step), START);
    }
    bar("exec sync, wall".into(), wall("resident: exec sync"), EXEC);
    let [_, _, mine] = ours.memory;
    let [_, _, its] = theirs.memory;
    bar("memory per pod".into(), Some(mine / its), MEMORY);
    for step in ["resident: list containers", "resident: list pod sandboxes"] {
        bar(format!("{step}, ms"), ours.steps.get(step).map(|cost| cost.0), LIST_MS);
    }
    missed
}

/// Reads the samples, prints them and, when asked, records them.
pub(crate) fn run(options: &Options) -> Result<ExitCode, BenchError> {
    let (ours, theirs) = read(&options.samples)?;
    let mut text = record::circumstances(&[]);
    text.push_str(&format!("- ours: {}\n- containerd: {}\n\n", ours.version, theirs.version));
    text.push_str(&table(&ours, &theirs));
    let missed = misses(&ours, &theirs);
    text.push_str(&if missed.is_empty() {
        "Bars: met everywhere.\n".to_owned()
    } else {
        format!("Bars: missed.\n- {}\n", missed.join("\n- "))
    });
    println!("{text}");
    if let Some(file) = &options.record {
        record::write(file, "cri", &format!("## CRI: pods of a kubelet\n\n{NOTES}{text}"))?;
    }
    Ok(ExitCode::from(u8::from(options.check && !missed.is_empty())))
}

const NOTES: &str = "Medians, by one client on open connections, pods of both daemons in turns; \
CNI bridge and portmap. CPU is that of the daemon, its supervisors or shims, CNI plugins and \
runtimes.\n\n";

fn read(file: &Path) -> Result<(Figures, Figures), BenchError> {
    let text = fs::read_to_string(file).map_err(BenchError::path("read", file))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|source| BenchError::Json { path: file.to_owned(), source })?;
    let of = |name: &str| {
        value.get(name).and_then(Figures::read).ok_or_else(|| BenchError::Runtime {
            command: "cribench".into(),
            reason: format!("{} has no whole samples of {name}", file.display()),
        })
    };
    Ok((of("caisson")?, of("containerd")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(wall: f64, memory: f64) -> Figures {
        let step =
            |name: &str| (name.to_owned(), serde_json::json!([{"wall_ms": wall, "cpu_ms": wall}]));
        let mut names: Vec<String> = NETWORKS
            .iter()
            .flat_map(|n| BEGIN.iter().chain(&END).map(move |s| format!("{n}: {s}")))
            .collect();
        for name in ["exec sync", "list containers", "list pod sandboxes"] {
            names.push(format!("resident: {name}"));
        }
        let steps: serde_json::Map<_, _> = names.iter().map(|n| step(n)).collect();
        Figures::read(&serde_json::json!({
            "version": "x 1", "steps": steps, "daemon_pss_empty_kib": 1, "daemon_pss_kib": 2,
            "pod_pss_kib": memory, "pods": 100, "containers": 200,
        }))
        .unwrap()
    }

    #[test]
    fn what_is_slower_than_the_bar_is_named() {
        let theirs = figures(10.0, 800_000.0);
        assert!(misses(&figures(1.5, 100_000.0), &theirs).is_empty());
        let missed = misses(&figures(3.0, 200_000.0), &theirs);
        let all = missed.join("\n");
        assert_eq!(missed.len(), 4, "{all}");
        assert!(
            all.contains("exec sync") && all.contains("memory") && all.contains("list"),
            "{all}"
        );
        assert!(
            table(&figures(1.5, 1.0), &theirs).contains("| pod network: *start of a pod* | 4.50")
        );
    }
}
