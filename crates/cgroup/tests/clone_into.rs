//! What needs `clone3` from a process with one thread, and the features of a v2
//! tree: CLONE_INTO_CGROUP, freezing, killing and BPF device programs. On a
//! hybrid host they are tested in a cgroup of the v2 tree, which has no
//! controllers; on a v1 host without such a tree that part can't be tested.
//! Needs root.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod common;

use caisson_cgroup::{Cgroup, CgroupConfig, Driver, Joiner, Layout, LayoutKind, UnitProperty};
use caisson_runtime_spec::Resources;
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use common::{Scratch, config, unique_name};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::process::{Pid, Signal, WaitOptions, waitpid};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

thread_local! {
    static SKIPPED: Cell<bool> = const { Cell::new(false) };
}

fn not_tested(why: &str) {
    println!("NOT TESTED: {why}");
    SKIPPED.set(true);
}

fn main() {
    let tests: [(&str, fn()); 7] = [
        ("a_clone_is_in_every_hierarchy", a_clone_is_in_every_hierarchy),
        ("v2_freezes_and_kills", v2_freezes_and_kills),
        ("v2_device_program_is_enforced", v2_device_program_is_enforced),
        ("further_process_beside_init", further_process_beside_init),
        ("joiner_in_a_child_cgroup", joiner_in_a_child_cgroup),
        ("own_cgroup_in_a_container", own_cgroup_in_a_container),
        ("scope_of_a_real_systemd", scope_of_a_real_systemd),
    ];
    let filter = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    for (name, test) in tests {
        if filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())) {
            test();
            let outcome = if SKIPPED.take() { "NOT TESTED" } else { "ok" };
            println!("test {name} ... {outcome}");
        }
    }
}

/// Runs `body` in a child that has joined; its exit code is the answer.
fn child(joiner: &Joiner, body: impl FnOnce() -> u8) -> Pid {
    child_in(CloneFlags::empty(), joiner, body)
}

fn child_in(flags: CloneFlags, joiner: &Joiner, body: impl FnOnce() -> u8) -> Pid {
    match clone3(flags, joiner.clone_into_fd()).unwrap() {
        Side::Child => {
            let joined = joiner.join_self();
            exit_now(if joined.is_ok() { body() } else { 99 });
        }
        Side::Parent { pid, .. } => pid,
    }
}

fn exit_code(pid: Pid) -> Option<i32> {
    waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1.exit_status()
}

fn resources(json: &str) -> Resources {
    serde_json::from_str(json).unwrap()
}

fn a_clone_is_in_every_hierarchy() {
    let name = unique_name();
    let path = format!("/{name}");
    let cgroup = Scratch(Cgroup::create(&config(&name, Some(&path)), None).unwrap());
    let joiner = cgroup.0.joiner().unwrap();
    let pid = child(&joiner, || {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        u8::from(!own.lines().all(|line| line.ends_with(&path)) || own.is_empty())
    });
    assert_eq!(exit_code(pid), Some(0));
}

/// A v2 tree of our own, removed at the end.
struct Tree(PathBuf);

impl Drop for Tree {
    fn drop(&mut self) {
        std::fs::remove_dir(&self.0).unwrap();
    }
}

fn v2_tree() -> Option<Tree> {
    let base = match Layout::detect().unwrap().kind() {
        LayoutKind::Unified => "/sys/fs/cgroup",
        LayoutKind::Hybrid => "/sys/fs/cgroup/unified",
        LayoutKind::Legacy => {
            not_tested("this host has no v2 tree");
            return None;
        }
    };
    let path = Path::new(base).join(unique_name());
    std::fs::create_dir(&path).unwrap();
    Some(Tree(path))
}

fn create_v2(tree: &Tree, resources: Option<&Resources>) -> Scratch {
    let layout = Layout::unified_at(&tree.0).unwrap();
    Scratch(Cgroup::create_in(layout, &config("c", Some("/a/c")), resources).unwrap())
}

fn finish(tree: &Tree, cgroup: Scratch) {
    drop(cgroup);
    std::fs::remove_dir(tree.0.join("a")).unwrap();
}

fn v2_freezes_and_kills() {
    let Some(tree) = v2_tree() else { return };
    let cgroup = create_v2(&tree, None);
    let joiner = cgroup.0.joiner().unwrap();
    assert!(joiner.clone_into_fd().is_some());
    let sleeper = || {
        std::thread::sleep(Duration::from_secs(100));
        0
    };
    let pids = [child(&joiner, sleeper), child(&joiner, sleeper)];
    let mut members = cgroup.0.pids(true).unwrap();
    members.sort_by_key(|pid| pid.as_raw_nonzero());
    assert_eq!(members, pids);
    cgroup.0.freeze().unwrap();
    assert!(cgroup.0.is_frozen().unwrap());
    let events = std::fs::read_to_string(tree.0.join("a/c/cgroup.events")).unwrap();
    assert!(events.contains("frozen 1"), "{events}");
    cgroup.0.thaw().unwrap();
    assert!(!cgroup.0.is_frozen().unwrap());
    cgroup.0.kill_all(Signal::TERM).unwrap();
    assert_eq!(exit_signal(pids[0]), Some(Signal::TERM.as_raw()));
    assert_eq!(exit_signal(pids[1]), Some(Signal::TERM.as_raw()));
    let last = child(&joiner, sleeper);
    cgroup.0.freeze().unwrap();
    cgroup.0.kill_all(Signal::KILL).unwrap();
    assert_eq!(exit_signal(last), Some(Signal::KILL.as_raw()));
    finish(&tree, cgroup);
}

fn exit_signal(pid: Pid) -> Option<i32> {
    waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1.terminating_signal()
}

fn v2_device_program_is_enforced() {
    let Some(tree) = v2_tree() else { return };
    let cgroup = create_v2(&tree, None);
    let joiner = cgroup.0.joiner().unwrap();
    // /dev/kmsg is c 1:11, which is not among the defaults.
    let open = |write: bool| {
        move || {
            let kmsg = std::fs::OpenOptions::new().read(!write).write(write).open("/dev/kmsg");
            let zero = std::fs::File::open("/dev/zero");
            match (kmsg, zero) {
                (_, Err(_)) => 3,
                (Ok(_), _) => 0,
                (Err(error), _) => u8::from(error.raw_os_error() == Some(1)) + 1,
            }
        }
    };
    let (allowed, denied) = (Some(0), Some(2));
    assert_eq!(exit_code(child(&joiner, open(false))), denied);
    let rules = r#"{"devices":[{"allow":false,"access":"rwm"},
        {"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#;
    cgroup.0.update_devices(&resources(rules).devices).unwrap();
    assert_eq!(exit_code(child(&joiner, open(false))), allowed);
    assert_eq!(exit_code(child(&joiner, open(true))), denied);
    cgroup.0.update_devices(&[]).unwrap();
    assert_eq!(exit_code(child(&joiner, open(false))), denied);
    let all = resources(r#"{"devices":[{"allow":true,"access":"rwm"}]}"#);
    cgroup.0.update_devices(&all.devices).unwrap();
    assert_eq!(exit_code(child(&joiner, open(true))), allowed);
    finish(&tree, cgroup);
}

/// As after init moved itself into a child cgroup.
fn further_process_beside_init() {
    let Some(tree) = v2_tree() else { return };
    if Layout::detect().unwrap().kind() != LayoutKind::Unified {
        not_tested("joining beside init, for want of a v2 host with controllers");
        return;
    }
    let cgroup = create_v2(&tree, None);
    let base = tree.0.join("a/c");
    std::fs::create_dir(base.join("init")).unwrap();
    let sleeper = || {
        std::thread::sleep(Duration::from_secs(100));
        0
    };
    let init = child(&cgroup.0.joiner_in("init").unwrap(), sleeper);
    std::fs::write(base.join("cgroup.subtree_control"), "+memory").unwrap();
    let direct = cgroup.0.joiner().unwrap();
    assert!(clone3(CloneFlags::empty(), direct.clone_into_fd()).is_err());
    let beside = cgroup.0.joiner_beside(init).unwrap();
    let pid = child(&beside, || 0);
    assert_eq!(exit_code(pid), Some(0));
    cgroup.0.kill_all(Signal::KILL).unwrap();
    assert_eq!(exit_signal(init), Some(Signal::KILL.as_raw()));
    finish(&tree, cgroup);
}

fn joiner_in_a_child_cgroup() {
    let Some(tree) = v2_tree() else { return };
    let cgroup = create_v2(&tree, None);
    std::fs::create_dir(tree.0.join("a/c/sub")).unwrap();
    let joiner = cgroup.0.joiner_in("/sub").unwrap();
    let pid = child(&joiner, || {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        u8::from(!own.lines().any(|line| line.ends_with("/a/c/sub")))
    });
    assert_eq!(exit_code(pid), Some(0));
    assert!(cgroup.0.joiner_in("../x").is_err());
    assert!(cgroup.0.joiner_in("missing").is_err());
    finish(&tree, cgroup);
}

/// A container that has no cgroup namespace, but whose mounts show its own part of
/// the hierarchies only, as docker-in-docker has it on v1.
fn own_cgroup_in_a_container() {
    let name = unique_name();
    let path = format!("/{name}");
    let outer = Scratch(Cgroup::create(&config(&name, Some(&path)), None).unwrap());
    if outer.unified() {
        not_tested("partial mounts of v1 hierarchies, for want of such");
        return;
    }
    let joiner = outer.0.joiner().unwrap();
    let (memory, devices) = (outer.dir("memory"), outer.dir("devices"));
    let pid = child_in(CloneFlags::NEWNS, &joiner, || {
        let inside = || {
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).unwrap();
            mount_bind(&memory, "/sys/fs/cgroup/memory").unwrap();
            mount_bind(&devices, "/sys/fs/cgroup/devices").unwrap();
            // Guessed mount points and those of mountinfo, relative and absolute.
            for layout in [Layout::detect().unwrap(), Layout::from_mountinfo().unwrap()] {
                let inner = Cgroup::create_in(layout, &config("inner", None), None).unwrap();
                let inner = Scratch(inner);
                for controller in ["memory", "devices"] {
                    let expected = format!("/sys/fs/cgroup/{controller}/inner");
                    assert_eq!(inner.dir(controller), Path::new(&expected));
                }
                assert!(Path::new("/sys/fs/cgroup/memory/inner").is_dir());
                let own = format!("/sys/fs/cgroup/pids/{name}/inner");
                assert_eq!(inner.dir("pids"), Path::new(&own));
            }
        };
        u8::from(std::panic::catch_unwind(std::panic::AssertUnwindSafe(inside)).is_err())
    });
    assert_eq!(exit_code(pid), Some(0));
}

/// The whole life of a scope, if systemd is init here (in a virtual machine, say).
fn scope_of_a_real_systemd() {
    if !Path::new("/run/systemd/system").exists() {
        not_tested("the systemd driver with systemd itself, which is not init here");
        return;
    }
    let id = unique_name();
    let path = format!("caisson-test.slice:pre:{id}");
    let config =
        CgroupConfig { driver: Driver::Systemd, cgroups_path: Some(&path), ..config(&id, None) };
    let limits = resources(
        r#"{"devices":[{"allow":false,"access":"rwm"}],"pids":{"limit":12},
            "memory":{"limit":67108864,"swap":67108864},
            "cpu":{"shares":512,"quota":50500,"period":100000,"cpus":"0"}}"#,
    );
    let cgroup = Scratch(Cgroup::create(&config, Some(&limits)).unwrap());
    let mut sleeper = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    let pid = Pid::from_child(&sleeper);
    let extra = UnitProperty::from_annotation("org.systemd.property.TimeoutStopSec", "5");
    cgroup.0.start_unit(pid, Some(&limits), &[extra.unwrap().unwrap()]).unwrap();
    assert_eq!(cgroup.0.pids(true).unwrap(), [pid]);
    let unit = format!("pre-{id}.scope");
    assert!(cgroup.0.path().unwrap().ends_with(&format!("caisson-test.slice/{unit}")));
    let show = |name: &str| {
        let args = ["show", "-p", name, "--value", &unit];
        let output = std::process::Command::new("systemctl").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(show("ActiveState"), "active");
    assert_eq!(show("Slice"), "caisson-test.slice");
    assert_eq!(show("TasksMax"), "12");
    assert_eq!(show("TimeoutStopUSec"), "5s");
    assert_eq!(show("DevicePolicy"), "strict");
    assert_eq!(show("CPUQuotaPerSecUSec"), "510ms");
    assert_eq!(cgroup.read("pids", "pids.max"), "12");
    if cgroup.unified() {
        assert_eq!(show("MemoryMax"), "67108864");
        assert_eq!(cgroup.read("memory", "memory.max"), "67108864");
        assert_eq!(cgroup.read("memory", "memory.swap.max"), "0");
        assert_eq!(cgroup.read("cpu", "cpu.max"), "51000 100000");
        assert_eq!(cgroup.read("cpu", "cpu.weight"), "59");
        assert_eq!(cgroup.read("cpuset", "cpuset.cpus"), "0");
    }
    let lower = r#"{"memory":{"limit":33554432,"swap":33554432},"pids":{"limit":-1}}"#;
    cgroup.0.update(&resources(lower)).unwrap();
    assert_eq!(show("TasksMax"), "infinity");
    assert_eq!(cgroup.read("pids", "pids.max"), "max");
    cgroup.0.attach(Pid::from_child(&sleeper)).unwrap();
    // Devices: the defaults only.
    let joiner = cgroup.0.joiner().unwrap();
    let denied = child(&joiner, || {
        let (kmsg, null) = (std::fs::File::open("/dev/kmsg"), std::fs::File::open("/dev/null"));
        u8::from(kmsg.is_ok() || null.is_err())
    });
    assert_eq!(exit_code(denied), Some(0));
    cgroup.0.freeze().unwrap();
    cgroup.0.kill_all(Signal::KILL).unwrap();
    sleeper.wait().unwrap();
    cgroup.0.delete().unwrap();
    assert!(!cgroup.0.exists());
    assert_eq!(show("LoadState"), "not-found");
    // Slices stay, as with runc; v1 hierarchies that systemd ignores have them, too.
    let slices = ["stop", "caisson-test.slice", "caisson.slice"];
    std::process::Command::new("systemctl").args(slices).status().unwrap();
    for (_, mut dir) in cgroup.0.paths() {
        while dir.pop() && dir.to_string_lossy().contains("caisson") {
            let _ = std::fs::remove_dir(&dir);
        }
    }
}
