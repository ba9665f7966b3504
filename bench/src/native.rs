//! `native`: what each operation costs, runtime by runtime.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use crate::bundle::Bundles;
use crate::error::BenchError;
use crate::measurer::REAP;
use crate::options::Options;
use crate::record;
use crate::runtimes::{Runtime, call, call_detached, discover};
use crate::sample::{Sample, take};
use crate::seccomp_profile;
use crate::table::{Row, medians, render};

/// The bar: at most this share of crun's wall and CPU time.
const BAR: f64 = 0.5;

/// Commands for a target and a fresh container id.
type Commands = dyn Fn(&Target, &str) -> Vec<Vec<OsString>>;

/// An installed runtime in use.
struct Target {
    runtime: PathBuf,
    /// Its state directory.
    root: PathBuf,
    /// Prefix of its container ids: default cgroups are named by id, and two
    /// runtimes must not meet in one.
    tag: String,
}

/// An operation that is measured.
struct Operation {
    title: &'static str,
    steps: &'static [&'static str],
    commands: Box<Commands>,
    /// Whether the bar applies.
    bar: bool,
}

impl Target {
    fn command(&self, rest: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
        let mut all: Vec<OsString> =
            vec![(&self.runtime).into(), "--root".into(), (&self.root).into()];
        all.extend(rest.iter().map(|a| AsRef::<OsStr>::as_ref(*a).to_owned()));
        all
    }

    fn sleeper(&self) -> String {
        format!("{}-sleeper", self.tag)
    }

    fn delete(&self, id: &str) -> Result<String, BenchError> {
        let arguments = self.command(&[&"delete", &"--force", &id]);
        call(&self.runtime, arguments.into_iter().skip(1))
    }
}

fn operations(plain: PathBuf, seccomp: Option<PathBuf>) -> Vec<Operation> {
    let mut list = Vec::new();
    for (title, run_title, bundle) in [
        ("create; start; delete of /bin/true", "run /bin/true", Some(plain)),
        (
            "create; start; delete, docker's default seccomp profile",
            "run, docker's default seccomp profile",
            seccomp,
        ),
    ] {
        let Some(bundle) = bundle else { continue };
        let again = bundle.clone();
        list.push(Operation {
            title,
            steps: &["create", "start", "init ends", "delete"],
            commands: Box::new(move |target, id| {
                vec![
                    target.command(&[&"create", &"--bundle", &bundle, &id]),
                    target.command(&[&"start", &id]),
                    vec![REAP.into()],
                    target.command(&[&"delete", &id]),
                ]
            }),
            bar: true,
        });
        list.push(Operation {
            title: run_title,
            steps: &["run"],
            commands: Box::new(move |target, id| {
                vec![target.command(&[&"run", &"--bundle", &again, &id])]
            }),
            bar: true,
        });
    }
    list.push(Operation {
        title: "exec of /bin/true in a running container",
        steps: &["exec"],
        commands: Box::new(|target, _| {
            vec![target.command(&[&"exec", &target.sleeper(), &"/bin/true"])]
        }),
        bar: true,
    });
    list.push(Operation {
        title: "--version",
        steps: &["--version"],
        commands: Box::new(|target, _| vec![vec![(&target.runtime).into(), "--version".into()]]),
        bar: false,
    });
    list
}

/// A running container per target, for exec; removed when dropped.
struct Sleeper<'a>(&'a Target);

impl<'a> Sleeper<'a> {
    fn start(target: &'a Target, bundle: &Path) -> Result<Self, BenchError> {
        let id = target.sleeper();
        let guard = Self(target);
        for command in [
            target.command(&[&"create", &"--bundle", &bundle, &id]),
            target.command(&[&"start", &id]),
        ] {
            call_detached(&target.runtime, command.into_iter().skip(1))?;
        }
        Ok(guard)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.delete(&self.0.sleeper()) {
            eprintln!("caisson-bench: {error}");
        }
        crate::census::reap_orphans();
    }
}

/// Measures, prints and, when asked, records.
pub(crate) fn run(options: &Options) -> Result<ExitCode, BenchError> {
    let scratch = tempfile::tempdir().map_err(BenchError::system("make a scratch directory"))?;
    let runtimes = discover(options)?;
    let bundles = Bundles::prepare(scratch.path(), &runtimes)?;
    let plain = bundles.write("plain", &["/bin/true"], |_| {})?;
    let sleep = bundles.write("sleep", &["/bin/sleep", "1000000"], |_| {})?;
    let seccomp = match seccomp_profile::load(&options.profile)? {
        Some(profile) => Some(bundles.write("seccomp", &["/bin/true"], |config| {
            config["linux"]["seccomp"] = json!(profile);
        })?),
        None => {
            println!("no seccomp profile at {}: its rows are left out", options.profile.display());
            None
        }
    };
    let circumstances = record::circumstances(&runtimes);
    println!("{circumstances}");

    let targets: Vec<Option<Target>> = runtimes
        .iter()
        .map(|r| {
            let name = r.name.replace(' ', "-");
            r.path.clone().map(|runtime| Target {
                runtime,
                root: scratch.path().join(format!("state-{name}")),
                tag: format!("bench-{}-{name}", std::process::id()),
            })
        })
        .collect();
    let mut sleepers = Vec::new();
    for target in targets.iter().flatten() {
        match Sleeper::start(target, &sleep) {
            Ok(sleeper) => sleepers.push(sleeper),
            Err(error) => println!("no container for exec: {error}"),
        }
    }

    let floor: Vec<Sample> = (0..options.runs)
        .map(|_| take(&[vec!["/bin/busybox", "true"]]))
        .collect::<Result<_, _>>()?;
    let (wall, cpu, peak) = medians(&floor);
    let mut text = format!(
        "{circumstances}Medians of {} interleaved rounds. The same program without any container: \
         {wall:.2} ms wall, {cpu:.2} ms CPU, {peak:.2} MiB (no peak below that can be told apart).\n\n",
        options.runs
    );
    let mut missed = Vec::new();
    for operation in operations(plain, seccomp) {
        let results = measure(&operation, &runtimes, &targets, options.runs);
        let rows: Vec<Row<'_>> = runtimes
            .iter()
            .zip(&results)
            .map(|(runtime, result)| Row {
                name: runtime.name,
                samples: result.as_deref().map_err(String::as_str),
            })
            .collect();
        let table = render(operation.title, operation.steps, &rows);
        println!("{table}");
        text.push_str(&table);
        if operation.bar {
            missed.extend(misses(operation.title, &rows));
        }
    }
    drop(sleepers);
    let verdict = if missed.is_empty() {
        format!("Bar of {BAR} × crun's wall and CPU time: met everywhere.\n")
    } else {
        format!("Bar of {BAR} × crun's wall and CPU time: missed.\n- {}\n", missed.join("\n- "))
    };
    println!("{verdict}");
    text.push_str(&verdict);
    if let Some(file) = &options.record {
        record::write(file, "native", &format!("## native: operations\n\n{text}"))?;
    }
    Ok(ExitCode::from(u8::from(options.check && !missed.is_empty())))
}

/// One warm-up and `runs` rounds of A B C … A B C …; a runtime that fails is
/// out, with the reason.
fn measure(
    operation: &Operation,
    runtimes: &[Runtime],
    targets: &[Option<Target>],
    runs: usize,
) -> Vec<Result<Vec<Sample>, String>> {
    let mut results: Vec<Result<Vec<Sample>, String>> = runtimes
        .iter()
        .map(|r| r.path.as_ref().map(|_| Vec::new()).ok_or_else(|| r.version.clone()))
        .collect();
    for round in 0..=runs {
        for (target, result) in targets.iter().zip(&mut results) {
            let (Some(target), Ok(samples)) = (target, &mut *result) else {
                continue;
            };
            let id = format!("{}-{round}", target.tag);
            match take(&(operation.commands)(target, &id)) {
                Ok(_) if round == 0 => {}
                Ok(sample) => samples.push(sample),
                Err(error) => {
                    // The container may well not exist: nothing to report.
                    let _ = target.delete(&id);
                    *result = Err(format!("{error} (round {round})"));
                }
            }
        }
    }
    results
}

fn misses(title: &str, rows: &[Row<'_>]) -> Vec<String> {
    let Some(Ok(ours)) = rows.first().map(|row| row.samples) else {
        return vec![format!("{title}: ours was not measured")];
    };
    let (our_wall, our_cpu, _) = medians(ours);
    rows.iter()
        .filter(|row| row.name.starts_with("crun"))
        .filter_map(|row| Some((row.name, row.samples.ok()?)))
        .flat_map(|(name, samples)| {
            let (wall, cpu, _) = medians(samples);
            [("wall", our_wall / wall), ("CPU", our_cpu / cpu)]
                .into_iter()
                .filter(|(_, ratio)| *ratio > BAR)
                .map(move |(what, ratio)| format!("{title}: {what} {ratio:.2} × {name}"))
        })
        .collect()
}
