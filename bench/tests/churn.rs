//! Containers in a row and at once leave nothing behind. Needs root and
//! `caisson-native` built in the same profile.

use std::path::Path;
use std::process::Command;

#[test]
fn churn_leaves_nothing_behind() {
    let bench = Path::new(env!("CARGO_BIN_EXE_caisson-bench"));
    let runtime = bench.with_file_name("caisson-native");
    let missing = [runtime.as_path(), Path::new("/bin/busybox")].into_iter().find(|p| !p.exists());
    if let Some(missing) = missing {
        println!("NOT TESTED: churn needs {}", missing.display());
        return;
    }
    let output = Command::new(bench)
        .args(["churn", "--serial", "50", "--parallel", "10", "--runtime"])
        .arg(&runtime)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
