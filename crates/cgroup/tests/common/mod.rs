//! What tests on the host's own hierarchies share. They need root.
#![allow(dead_code, unreachable_pub)]

use caisson_cgroup::{Cgroup, CgroupConfig, Driver, LayoutKind};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A cgroup name that no other test uses.
pub fn unique_name() -> String {
    format!("caisson-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn config<'a>(id: &'a str, path: Option<&'a str>) -> CgroupConfig<'a> {
    CgroupConfig {
        id,
        cgroups_path: path,
        driver: Driver::Cgroupfs,
        rootless: false,
        scope_prefix: "caisson",
    }
}

/// A cgroup that is removed with its processes when the test ends, however.
pub struct Scratch(pub Cgroup);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.0.kill_all(rustix::process::Signal::KILL);
        if let Err(error) = self.0.delete()
            && !std::thread::panicking()
        {
            panic!("left behind: {error}");
        }
    }
}

impl Scratch {
    pub fn dir(&self, controller: &str) -> PathBuf {
        let mut paths = self.0.paths();
        paths
            .find(|(name, _)| *name == controller || (self.unified() && name.is_empty()))
            .unwrap_or_else(|| panic!("no cgroup of {controller}"))
            .1
    }

    pub fn read(&self, controller: &str, file: &str) -> String {
        let path = self.dir(controller).join(file);
        std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            .trim()
            .to_owned()
    }

    pub fn unified(&self) -> bool {
        self.0.kind() == LayoutKind::Unified
    }
}

const JOIN: &str = "CAISSON_TEST_JOIN";

/// Runs a program in the cgroup, joined by the process itself. The test binary
/// that uses this has a test `joins_and_executes` which calls [`join_and_execute`].
pub fn spawn_in(cgroup: &Cgroup, program: &str, args: &[&str]) -> Child {
    let state = serde_json::to_string(&cgroup.state()).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "joins_and_executes"])
        .env(JOIN, serde_json::to_string(&(state, program, args)).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The other side of [`spawn_in`].
pub fn join_and_execute() {
    let Ok(request) = std::env::var(JOIN) else { return };
    let (state, program, args): (String, String, Vec<String>) =
        serde_json::from_str(&request).unwrap();
    let cgroup = Cgroup::open(&serde_json::from_str(&state).unwrap()).unwrap();
    cgroup.joiner_by_write().unwrap().join_self().unwrap();
    panic!("{program}: {}", Command::new(&program).args(args).exec());
}

/// Waits until the process has become `program`.
pub fn wait_for_exec(child: &Child, program: &str) {
    for _ in 0..2000 {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap();
        if name.trim() == program {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("process {} did not become {program}", child.id());
}
