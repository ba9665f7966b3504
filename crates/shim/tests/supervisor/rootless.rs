//! A part of these tests again, as root of a user namespace of somebody
//! without rights.

use std::os::unix::fs::chown;
use std::process::Command;

use crate::needs_root;
use crate::pod::{Pod, is_rootless};

const NOBODY: u32 = 61_234;
const TESTS: [&str; 9] = [
    "lifecycle::a_container_runs_to_its_end",
    "lifecycle::init_passes_signals_on_and_reaps",
    "lifecycle::who_ignores_the_stop_signal_is_killed",
    "attach::who_attaches_before_the_start_misses_nothing",
    "exec::its_streams_are_the_clients_own",
    "exec::detached_ones_run_on_and_can_be_signalled",
    "faults::a_guard_is_replaced_and_both_dead_are_collected",
    "restart::always_means_until_it_is_stopped",
    "terminal::",
];

#[test]
fn without_rights() {
    needs_root!();
    if is_rootless() {
        return;
    }
    // The layer that all share is made by this.
    drop(Pod::sleeper());
    let program = std::env::current_exe().unwrap();
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let user = |program: &std::ffi::OsStr| {
        let id = NOBODY.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program);
        command.env("TMPDIR", dir.path());
        command
    };
    let reachable = user("test".as_ref()).arg("-x").arg(&program).status().unwrap().success();
    if !reachable {
        eprintln!("left out: users without rights can't reach {}", program.display());
        return;
    }
    let ended = user("unshare".as_ref()).arg("-Ur").arg(&program).args(TESTS).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("10 passed"), "{said}");
}
