//! `memory-floor`: the smallest memory limit under which `/bin/true` runs.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bundle::Bundles;
use crate::error::BenchError;
use crate::options::Options;
use crate::record;
use crate::runtimes::{call, discover};

const LOWEST_KIB: u64 = 64;
const HIGHEST_KIB: u64 = 16 * 1024;
const STEP_KIB: u64 = 4;
const TRIES: usize = 5;
/// What ours has to get by with.
const BAR_KIB: u64 = 512;
const PATIENCE: Duration = Duration::from_secs(5);

/// Bisects per runtime, prints and, when asked, records.
pub(crate) fn run(options: &Options) -> Result<ExitCode, BenchError> {
    let scratch = tempfile::tempdir().map_err(BenchError::system("make a scratch directory"))?;
    let runtimes = discover(options)?;
    let bundles = Bundles::prepare(scratch.path(), &runtimes)?;
    let circumstances = record::circumstances(&runtimes);
    let mut text = "| runtime | smallest limit, KiB |\n|---|---|\n".to_owned();
    let mut met = false;
    for runtime in &runtimes {
        let figure = match &runtime.path {
            None => runtime.version.clone(),
            Some(path) => {
                let found = smallest(|kib| works(path, scratch.path(), &bundles, kib))?;
                if runtime.ours {
                    met = found.is_some_and(|kib| kib <= BAR_KIB);
                }
                found.map_or_else(|| format!("none up to {HIGHEST_KIB}"), |kib| kib.to_string())
            }
        };
        text.push_str(&format!("| {} | {figure} |\n", runtime.name));
    }
    text.push_str(&format!(
        "\n{TRIES} of {TRIES} `run`s of /bin/true succeed; steps of {STEP_KIB} KiB. Bar of {BAR_KIB} KiB for ours: {}.\n",
        if met { "met" } else { "missed" }
    ));
    println!("{circumstances}{text}");
    if let Some(file) = &options.record {
        record::write(
            file,
            "memory-floor",
            &format!("## native: smallest memory limit\n\n{circumstances}{text}"),
        )?;
    }
    Ok(ExitCode::from(u8::from(options.check && !met)))
}

/// Bisects over multiples of the step; assumes that what works with less
/// works with more.
fn smallest(
    mut works: impl FnMut(u64) -> Result<bool, BenchError>,
) -> Result<Option<u64>, BenchError> {
    let (mut low, mut high) = (LOWEST_KIB / STEP_KIB, HIGHEST_KIB / STEP_KIB);
    if !works(high * STEP_KIB)? {
        return Ok(None);
    }
    while low < high {
        let middle = low.midpoint(high);
        if works(middle * STEP_KIB)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(Some(high * STEP_KIB))
}

fn works(runtime: &Path, scratch: &Path, bundles: &Bundles, kib: u64) -> Result<bool, BenchError> {
    let bundle = bundles.write("limited", &["/bin/true"], |config| {
        config["linux"]["resources"]["memory"] = json!({"limit": kib * 1024});
    })?;
    let root = scratch.join("state");
    for i in 0..TRIES {
        let id = format!("bench-floor-{}-{kib}-{i}", std::process::id());
        let mut child = Command::new(runtime)
            .arg("--root")
            .arg(&root)
            .args(["run", "--bundle"])
            .arg(&bundle)
            .arg(&id)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(BenchError::path("start", runtime))?;
        let began = Instant::now();
        let ended = loop {
            match child.try_wait().map_err(BenchError::system("wait"))? {
                Some(status) => break status.success(),
                None if began.elapsed() > PATIENCE => {
                    child.kill().map_err(BenchError::system("kill a runtime that hangs"))?;
                    child.wait().map_err(BenchError::system("wait"))?;
                    break false;
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        if !ended {
            let delete = [
                "--root".as_ref(),
                root.as_os_str(),
                "delete".as_ref(),
                "--force".as_ref(),
                id.as_ref(),
            ];
            // A failed `run` mostly leaves nothing to delete.
            let _ = call(runtime, delete);
            crate::census::reap_orphans();
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bisection_finds_the_edge() {
        for edge in [LOWEST_KIB, 404, 512, 1000, HIGHEST_KIB] {
            assert_eq!(smallest(|kib| Ok(kib >= edge)).unwrap(), Some(edge));
        }
        assert_eq!(smallest(|_| Ok(false)).unwrap(), None);
    }
}
