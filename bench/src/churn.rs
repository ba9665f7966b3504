//! `churn`: many containers in a row and at once, then a census of leaks.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bundle::Bundles;
use crate::census::{Census, reap_orphans};
use crate::error::BenchError;
use crate::options::Options;
use crate::runtimes::{call, call_detached, discover};

/// How long an ended container's processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

struct Churn<'a> {
    runtime: &'a Path,
    root: PathBuf,
    bundles: &'a Bundles,
    mark: String,
}

/// Churns ours, or all runtimes; exit status 1 on a leak or failure.
pub(crate) fn run(options: &Options) -> Result<ExitCode, BenchError> {
    let scratch = tempfile::tempdir().map_err(BenchError::system("make a scratch directory"))?;
    let runtimes = discover(options)?;
    let bundles = Bundles::prepare(scratch.path(), &runtimes)?;
    let mut failed = false;
    for runtime in runtimes.iter().filter(|r| r.ours || options.all) {
        let Some(path) = &runtime.path else {
            println!("{}: {}", runtime.name, runtime.version);
            continue;
        };
        let churn = Churn {
            runtime: path,
            root: scratch.path().join(format!("state-{}", runtime.name.replace(' ', "-"))),
            bundles: &bundles,
            mark: format!("bench-churn-{}-{}", std::process::id(), runtime.name.replace(' ', "-")),
        };
        let before = Census::take(&churn.mark, &churn.root)?;
        let began = Instant::now();
        let mut errors = Vec::new();
        errors.extend(churn.in_a_row(options.serial).err());
        let row = began.elapsed();
        errors.extend(churn.at_once(options.parallel)?);
        let leaks = churn.leaks(&before)?;
        println!(
            "{}: {} in a row in {:.2} s, {} at once in {:.2} s, {} errors, {} leaks",
            runtime.name,
            options.serial,
            row.as_secs_f64(),
            options.parallel,
            (began.elapsed() - row).as_secs_f64(),
            errors.len(),
            leaks.len()
        );
        for error in errors.iter().take(10) {
            println!("  error: {error}");
        }
        for leak in leaks.iter().take(20) {
            println!("  left behind: {leak}");
        }
        failed |= !errors.is_empty() || !leaks.is_empty();
    }
    Ok(ExitCode::from(u8::from(failed)))
}

impl Churn<'_> {
    fn command(&self, arguments: &[&str]) -> Vec<std::ffi::OsString> {
        let mut all = vec!["--root".into(), self.root.clone().into()];
        all.extend(arguments.iter().map(Into::into));
        all
    }

    fn bundle(&self, id: &str, arguments: &[&str]) -> Result<String, BenchError> {
        let cgroup = format!("/{id}");
        let path = self.bundles.write(id, arguments, |config| {
            config["linux"]["cgroupsPath"] = json!(cgroup);
        })?;
        Ok(path.to_string_lossy().into_owned())
    }

    fn in_a_row(&self, count: usize) -> Result<(), BenchError> {
        for i in 0..count {
            let id = format!("{}-{i}", self.mark);
            let bundle = self.bundle(&id, &["/bin/true"])?;
            call_detached(self.runtime, self.command(&["create", "--bundle", &bundle, &id]))?;
            call_detached(self.runtime, self.command(&["start", &id]))?;
            // The init is an orphan of the runtime: ours to reap.
            if reap_orphans() == 0 {
                let _ = rustix::process::wait(rustix::process::WaitOptions::empty());
            }
            call(self.runtime, self.command(&["delete", &id]))?;
            let _ = std::fs::remove_dir_all(&bundle);
        }
        Ok(())
    }

    /// Runs every step of `count` containers at the same time.
    fn at_once(&self, count: usize) -> Result<Vec<BenchError>, BenchError> {
        let mut errors = Vec::new();
        let ids: Vec<String> = (0..count).map(|i| format!("{}-p{i}", self.mark)).collect();
        let mut bundles = Vec::new();
        for id in &ids {
            bundles.push(self.bundle(id, &["/bin/sleep", "1000000"])?);
        }
        let creates = ids.iter().zip(&bundles);
        let creates: Vec<_> =
            creates.map(|(id, bundle)| self.command(&["create", "--bundle", bundle, id])).collect();
        self.all(&creates, &mut errors);
        for step in [&["start"][..], &["kill"], &["delete", "--force"]] {
            if step == ["kill"] {
                self.expect_running(&ids, &mut errors);
            }
            let commands: Vec<_> = ids
                .iter()
                .map(|id| {
                    let mut command = self.command(step);
                    command.push(id.into());
                    if step == ["kill"] {
                        command.push("KILL".into());
                    }
                    command
                })
                .collect();
            self.all(&commands, &mut errors);
        }
        Ok(errors)
    }

    fn all(&self, commands: &[Vec<std::ffi::OsString>], errors: &mut Vec<BenchError>) {
        let children: Vec<std::io::Result<Child>> = commands
            .iter()
            .map(|arguments| {
                Command::new(self.runtime)
                    .args(arguments)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
            })
            .collect();
        for (child, arguments) in children.into_iter().zip(commands) {
            let reason = match child.and_then(|mut c| c.wait()) {
                Ok(status) if status.success() => continue,
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            errors.push(BenchError::Runtime {
                command: format!("{} {arguments:?}", self.runtime.display()),
                reason,
            });
        }
    }

    fn expect_running(&self, ids: &[String], errors: &mut Vec<BenchError>) {
        for id in ids {
            match call(self.runtime, self.command(&["state", id])) {
                Ok(state) => {
                    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&state);
                    if parsed.is_ok_and(|s| s["status"] == "running") {
                        continue;
                    }
                    errors.push(BenchError::Runtime {
                        command: format!("state {id}"),
                        reason: format!("not running: {state}"),
                    });
                }
                Err(error) => errors.push(error),
            }
        }
    }

    fn leaks(&self, before: &Census) -> Result<Vec<String>, BenchError> {
        let began = Instant::now();
        loop {
            reap_orphans();
            let leaks = Census::take(&self.mark, &self.root)?.since(before);
            // Only processes may still be on their way out.
            if leaks.iter().all(|l| !l.starts_with("process")) || began.elapsed() > PATIENCE {
                return Ok(leaks);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
