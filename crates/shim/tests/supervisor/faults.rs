//! kill -9 at any moment.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use caisson_shim::ExitRecord;
use caisson_shim::client::{CollectError, collect, is_alive};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::exec::process;
use crate::needs_root;
use crate::pod::{PATIENCE, PROGRAM, Pod, eventually, processes};

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

pub(crate) fn guard_of(shim: i32) -> Option<i32> {
    processes().into_iter().find_map(|process| {
        let stat = std::fs::read_to_string(process.join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(") ")?;
        let parent: i32 = tail.split(' ').nth(1)?.parse().ok()?;
        let guard = parent == shim && head.ends_with("(caisson-guard");
        guard.then(|| process.file_name()?.to_str()?.parse().ok())?
    })
}

#[test]
fn a_killed_supervisor_takes_its_container_along() {
    needs_root!();
    let mut pod = Pod::sleeper();
    let told = pod.path("told");
    pod.config["exit_command"] = json!(["/bin/sh", "-c", format!("echo x >> {}", told.display())]);
    let shim = pod.started();
    let exec = shim.exec(process(&["sleep", "1000"]), caisson_shim::client::ExecStdio::Null);
    exec.unwrap();
    pod.await_log("up");
    kill(shim.state().unwrap().shim_pid);
    pod.await_clean();
    let record = pod.exit_file().unwrap();
    assert_eq!((record.code, record.signal), (ExitRecord::LOST, None));
    assert!(record.error.is_some());
    eventually("the exit command ran", || told.exists());
    assert_eq!(shim.wait(Some(PATIENCE)).unwrap(), record);
    collect(Path::new(PROGRAM), &pod.pod_dir()).unwrap();
    assert_eq!(pod.exit_file(), Some(record));
}

#[test]
fn a_guard_is_replaced_and_both_dead_are_collected() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.started();
    pod.await_log("up");
    let pid = shim.state().unwrap().shim_pid;
    // It takes its name once it runs.
    eventually("there is a guard", || guard_of(pid).is_some());
    let first = guard_of(pid).unwrap();
    kill(first);
    eventually("there is another", || guard_of(pid).is_some_and(|guard| guard != first));
    assert!(matches!(collect(Path::new(PROGRAM), &pod.pod_dir()), Err(CollectError::Alive(_))));
    // The supervisor stopped, its guard dies without a successor.
    kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
    kill(guard_of(pid).unwrap());
    kill(pid);
    eventually("nobody is left", || !is_alive(&pod.pod_dir()).unwrap());
    std::thread::sleep(Duration::from_millis(100));
    assert!(!pod.leftovers().is_empty());
    collect(Path::new(PROGRAM), &pod.pod_dir()).unwrap();
    let record = pod.exit_file().unwrap();
    assert_eq!(record.code, ExitRecord::LOST);
    pod.await_clean();
}

/// Run by [`a_killed_launcher_leaves_all_or_nothing`] in a process of its own.
#[test]
fn launcher() {
    let Some(pod_dir) = std::env::var_os("CAISSON_TEST_LAUNCH") else { return };
    println!("\nlaunching");
    let launched = caisson_shim::client::launch(
        Path::new(PROGRAM),
        Path::new(&pod_dir),
        &caisson_shim::client::LaunchFds::default(),
    );
    let Ok(launched) = launched else { return };
    let id = std::env::var("CAISSON_TEST_CONTAINER").unwrap();
    launched.shim().container(&id).start().unwrap();
    launched.commit().unwrap();
    println!("\ncommitted");
}

#[test]
fn a_killed_launcher_leaves_all_or_nothing() {
    needs_root!();
    let (mut nothing, mut all) = (0, 0);
    for round in 0..40_u64 {
        let pod = Pod::sleeper();
        pod.write();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::launcher", "--nocapture"])
            .env("CAISSON_TEST_LAUNCH", pod.pod_dir())
            .env("CAISSON_TEST_CONTAINER", &pod.id)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line == "launching"));
        std::thread::sleep(Duration::from_micros(round * 600));
        let _ = child.kill();
        child.wait().unwrap();
        // What is there now either stays or goes away by itself.
        let is_up = || {
            let shim = caisson_shim::client::connect(&pod.pod_dir());
            shim.and_then(|shim| shim.container(&pod.id).state())
                .is_ok_and(|state| state.started_at.is_some())
        };
        eventually("all or nothing", || is_up() || pod.leftovers().is_empty());
        std::thread::sleep(Duration::from_millis(20));
        if is_up() {
            all += 1;
        } else {
            pod.await_clean();
            nothing += 1;
        }
    }
    eprintln!("killed launchers: {nothing} left nothing, {all} left all");
}

#[test]
fn supervisors_killed_at_random_moments_leave_nothing() {
    needs_root!();
    for round in 0..25_u64 {
        let pod = Pod::sleeper();
        pod.write();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::launcher", "--nocapture"])
            .env("CAISSON_TEST_LAUNCH", pod.pod_dir())
            .env("CAISSON_TEST_CONTAINER", &pod.id)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line == "launching"));
        std::thread::sleep(Duration::from_micros(round * 500));
        for pid in supervisors(&pod) {
            let _ = kill_process(pid, Signal::KILL);
        }
        // Everything but guards was killed; what came later goes by itself.
        let _ = child.kill();
        child.wait().unwrap();
        if let Ok(shim) = caisson_shim::client::connect(&pod.pod_dir()) {
            let _ = shim.shutdown(true);
        }
        eventually("no supervisor is left", || !is_alive(&pod.pod_dir()).unwrap());
        eventually("what is left is collected", || {
            match collect(Path::new(PROGRAM), &pod.pod_dir()) {
                Ok(_) => true,
                Err(CollectError::Alive(_)) => false,
                Err(error) => panic!("{error}"),
            }
        });
        pod.await_clean();
    }
}

/// The processes that lead the session of a supervisor of this pod.
fn supervisors(pod: &Pod) -> Vec<Pid> {
    let dir = pod.pod_dir();
    let dir = dir.to_str().unwrap();
    processes()
        .into_iter()
        .filter_map(|process| {
            let command = std::fs::read(process.join("cmdline")).ok()?;
            let stat = std::fs::read_to_string(process.join("stat")).ok()?;
            let name = process.file_name()?.to_str()?;
            let leads = stat.rsplit_once(") ")?.1.split(' ').nth(3)? == name;
            let ours = String::from_utf8_lossy(&command).contains(dir);
            (leads && ours).then(|| Pid::from_raw(name.parse().ok()?))?
        })
        .collect()
}
