//! `image`: cold pulls and warm runs, engine by engine.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::engines::{ALL, Engine, Kind, Network};
use crate::error::BenchError;
use crate::options::Options;
use crate::record;
use crate::runtimes::Runtime;
use crate::sample::{Cost, Sample, take};
use crate::table::{Row, medians, render};
use crate::usage::Meter;

/// The bars: at most this share of the fastest peer's wall time of a pull …
const PULL_WALL: f64 = 0.5;
/// … and of its CPU time; of podman's and docker's wall time of a run.
const PULL_CPU: f64 = 1.0;
const RUN_WALL: f64 = 0.2;

/// Takes the sample of a round; `None` where the engine has no such thing.
type Round<'a> = dyn Fn(&Engine, usize) -> Result<Option<Sample>, BenchError> + 'a;
/// Between what was removed and the next pull.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(6);

type Results = Vec<Result<Vec<Sample>, String>>;

struct Contest {
    described: Vec<Runtime>,
    engines: Vec<Option<Engine>>,
}

impl Contest {
    fn open(options: &Options, scratch: &Path) -> Self {
        let mut contest = Self { described: Vec::new(), engines: Vec::new() };
        for (kind, name, path) in ALL {
            let path =
                if kind == Kind::Ours { options.caisson.clone() } else { PathBuf::from(path) };
            let opened = if path.exists() {
                Engine::open(kind, &path, scratch).map_err(|e| e.to_string())
            } else {
                Err(format!("not installed: no {}", path.display()))
            };
            let program = opened.as_ref().map(|_| path.as_path()).map_err(Clone::clone);
            contest.described.push(Engine::describe(name, program));
            contest.engines.push(opened.ok());
        }
        contest
    }

    /// One warm-up and `runs` rounds of A B C … A B C …; an engine that fails
    /// is out, with the reason.
    fn measure(&self, runs: usize, one: &Round<'_>) -> Results {
        let mut results: Results = self
            .described
            .iter()
            .map(|r| r.path.as_ref().map(|_| Vec::new()).ok_or_else(|| r.version.clone()))
            .collect();
        for round in 0..=runs {
            for (engine, result) in self.engines.iter().zip(&mut results) {
                let (Some(engine), Ok(samples)) = (engine, &mut *result) else { continue };
                match one(engine, round) {
                    Ok(Some(_)) if round == 0 => {}
                    Ok(Some(sample)) => samples.push(sample),
                    Ok(None) => *result = Err("not offered".into()),
                    Err(error) => *result = Err(format!("{error} (round {round})")),
                }
            }
        }
        results
    }

    fn rows<'a>(&'a self, results: &'a Results) -> Vec<Row<'a>> {
        let row = |(described, result): (&Runtime, &'a Result<Vec<Sample>, String>)| Row {
            name: described.name,
            samples: result.as_deref().map_err(String::as_str),
        };
        self.described.iter().zip(results).map(row).collect()
    }
}

/// Runs one command; its CPU time and memory are those of all who work for it.
fn metered(engine: &Engine, command: Vec<std::ffi::OsString>) -> Result<Sample, BenchError> {
    let meter = Meter::start(engine.daemon())?;
    let sample = take(&[command])?;
    let (cpu_ms, daemons) = meter.stop()?;
    let wall_ms = sample.total().wall_ms;
    Ok(Sample { steps: vec![Cost { wall_ms, cpu_ms }], peak_mib: sample.peak_mib + daemons })
}

fn pull(engine: &Engine, reference: &str) -> Result<Sample, BenchError> {
    // What earlier rounds wrote must not be written in this one, and ext4
    // searches long for inodes while many were deleted within five seconds.
    std::thread::sleep(SETTLE);
    Command::new("sync").status().map_err(BenchError::system("run sync(1)"))?;
    let sample = metered(engine, engine.pull(reference))?;
    engine.forget(reference)?;
    Ok(sample)
}

/// Measures, prints and, when asked, records.
pub(crate) fn run(options: &Options) -> Result<ExitCode, BenchError> {
    let scratch = tempfile::Builder::new()
        .prefix("caisson-bench")
        .tempdir_in(&options.dir)
        .map_err(BenchError::system("make a scratch directory"))?;
    let contest = Contest::open(options, scratch.path());
    let circumstances = record::circumstances(&contest.described);
    println!("{circumstances}");
    let mut text = circumstances;
    let mut missed = Vec::new();

    let pulls = contest.measure(options.pulls, &|engine, _| pull(engine, &options.image).map(Some));
    let rows = contest.rows(&pulls);
    let title = format!("pull of {}, cold, {} rounds", options.title, options.pulls);
    publish(&mut text, &render(&title, &["pull"], &rows));
    missed.extend(pull_misses(&rows));

    for engine in contest.engines.iter().flatten() {
        if let Err(error) = take(&[engine.pull(&options.busybox)]) {
            println!("no busybox to run: {error}");
        }
    }
    for (network, words) in [(Network::Default, "default network"), (Network::None, "no network")] {
        let runs = contest.measure(options.runs, &|engine, round| {
            let id = format!("bench-{}-{round}", std::process::id());
            let command = engine.run(&options.busybox, network, &id);
            command.map(|command| metered(engine, command)).transpose()
        });
        let rows = contest.rows(&runs);
        let title = format!("run --rm busybox true, warm, {words}, {} rounds", options.runs);
        publish(&mut text, &render(&title, &["run"], &rows));
        missed.extend(run_misses(words, &rows));
    }

    let verdict = if missed.is_empty() {
        "Bars: met everywhere.\n".to_owned()
    } else {
        format!("Bars: missed.\n- {}\n", missed.join("\n- "))
    };
    publish(&mut text, &verdict);
    if let Some(file) = &options.record {
        record::write(file, "image", &format!("## images: pull and run\n\n{NOTES}{text}"))?;
    }
    Ok(ExitCode::from(u8::from(options.check && !missed.is_empty())))
}

const NOTES: &str = "From a registry on loopback. CPU is that of everything that worked: \
client, daemon and their children, until 0.3 s after the command's end, without the registry. \
Peak memory is the largest process of the client and the sum of the daemon's.\n\n";

fn publish(text: &mut String, part: &str) {
    println!("{part}");
    text.push_str(part);
}

fn pull_misses(rows: &[Row<'_>]) -> Vec<String> {
    let Some(Ok(ours)) = rows.first().map(|row| row.samples) else {
        return vec!["pull: ours was not measured".into()];
    };
    let (wall, cpu, _) = medians(ours);
    let unpacking = rows.iter().skip(1).filter(|row| !row.name.starts_with("skopeo"));
    let peers = unpacking.filter_map(|row| Some((row.name, medians(row.samples.ok()?))));
    let Some((name, (their_wall, their_cpu, _))) = peers.min_by(|a, b| a.1.0.total_cmp(&b.1.0))
    else {
        return vec!["pull: no peer was measured".into()];
    };
    [("wall", wall / their_wall, PULL_WALL), ("CPU", cpu / their_cpu, PULL_CPU)]
        .into_iter()
        .filter(|(_, ratio, bar)| ratio > bar)
        .map(|(what, ratio, bar)| format!("pull: {what} {ratio:.2} × {name}, at most {bar}"))
        .collect()
}

fn run_misses(words: &str, rows: &[Row<'_>]) -> Vec<String> {
    let Some(Ok(ours)) = rows.first().map(|row| row.samples) else {
        return vec![format!("run, {words}: ours was not measured")];
    };
    let wall = medians(ours).0;
    rows.iter()
        .filter(|row| matches!(row.name, "podman" | "docker"))
        .filter_map(|row| Some((row.name, wall / medians(row.samples.ok()?).0)))
        .filter(|(_, ratio)| *ratio > RUN_WALL)
        .map(|(name, ratio)| format!("run, {words}: wall {ratio:.2} × {name}, at most {RUN_WALL}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(wall_ms: f64, cpu_ms: f64) -> Vec<Sample> {
        vec![Sample { steps: vec![Cost { wall_ms, cpu_ms }], peak_mib: 1.0 }]
    }

    #[test]
    fn the_fastest_unpacking_peer_sets_the_bar() {
        let (ours, ctr, podman, skopeo) =
            (samples(40.0, 90.0), samples(100.0, 80.0), samples(150.0, 200.0), samples(9.0, 9.0));
        let row = |name, samples| Row { name, samples: Ok(samples) };
        let rows = [
            row("ours", &ours[..]),
            row("containerd (ctr)", &ctr),
            row("podman", &podman),
            row("skopeo, not unpacked", &skopeo),
        ];
        let missed = pull_misses(&rows);
        assert_eq!(missed.len(), 1, "{missed:?}");
        assert!(missed[0].contains("CPU 1.12 × containerd"), "{missed:?}");
        assert_eq!(run_misses("x", &rows).len(), 1);
    }
}
