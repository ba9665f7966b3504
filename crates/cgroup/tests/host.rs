//! Limits, joining, freezing, killing and removal on the host's own
//! hierarchies, whichever version they are. Needs root.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod common;

use caisson_cgroup::{Cgroup, CreateError, LayoutKind, OomEvent, remove_unused};
use caisson_runtime_spec::Resources;
use common::{Scratch, config, spawn_in, unique_name};
use rustix::process::{Pid, Signal};

#[test]
#[ignore = "the inner process of other tests"]
fn joins_and_executes() {
    common::join_and_execute();
}

fn resources(json: &str) -> Resources {
    serde_json::from_str(json).unwrap()
}

fn create(json: Option<&str>) -> (String, Scratch) {
    let name = unique_name();
    let path = format!("/{name}");
    let resources = json.map(resources);
    let cgroup = Cgroup::create(&config(&name, Some(&path)), resources.as_ref()).unwrap();
    (name, Scratch(cgroup))
}

fn sleeper(cgroup: &Cgroup) -> std::process::Child {
    let child = spawn_in(cgroup, "/bin/sleep", &["100"]);
    common::wait_for_exec(&child, "sleep");
    child
}

#[test]
fn limits_are_in_the_files() {
    let (_, cgroup) = create(Some(
        r#"{"memory":{"limit":33554432,"reservation":16777216},
            "cpu":{"shares":512,"quota":50000,"period":200000,"burst":1000},
            "pids":{"limit":17}}"#,
    ));
    if cgroup.unified() {
        assert_eq!(cgroup.read("memory", "memory.max"), "33554432");
        assert_eq!(cgroup.read("memory", "memory.low"), "16777216");
        assert_eq!(cgroup.read("cpu", "cpu.weight"), "59");
        assert_eq!(cgroup.read("cpu", "cpu.max"), "50000 200000");
        assert_eq!(cgroup.read("cpu", "cpu.max.burst"), "1000");
    } else {
        assert_eq!(cgroup.read("memory", "memory.limit_in_bytes"), "33554432");
        assert_eq!(cgroup.read("memory", "memory.soft_limit_in_bytes"), "16777216");
        assert_eq!(cgroup.read("cpu", "cpu.shares"), "512");
        assert_eq!(cgroup.read("cpu", "cpu.cfs_quota_us"), "50000");
        assert_eq!(cgroup.read("cpu", "cpu.cfs_period_us"), "200000");
        assert_eq!(cgroup.read("cpu", "cpu.cfs_burst_us"), "1000");
        let list = cgroup.read("devices", "devices.list");
        assert_eq!(list.lines().count(), 11, "{list}");
        assert!(list.contains("c 1:3 rwm") && list.contains("b *:* m"), "{list}");
        assert!(!cgroup.read("cpuset", "cpuset.cpus").is_empty());
        assert!(!cgroup.read("cpuset", "cpuset.mems").is_empty());
    }
    assert_eq!(cgroup.read("pids", "pids.max"), "17");
}

#[test]
fn update_raises_and_lowers() {
    let (_, cgroup) = create(Some(r#"{"memory":{"limit":67108864},"pids":{"limit":5}}"#));
    let file = if cgroup.unified() { "memory.max" } else { "memory.limit_in_bytes" };
    for limit in [134_217_728_u64, 33_554_432] {
        let json = format!(r#"{{"memory":{{"limit":{limit}}},"pids":{{"limit":-1}}}}"#);
        cgroup.0.update(&resources(&json)).unwrap();
        assert_eq!(cgroup.read("memory", file), limit.to_string());
    }
    assert_eq!(cgroup.read("pids", "pids.max"), "max");
    cgroup.0.update(&resources(r#"{"memory":{"limit":-1}}"#)).unwrap();
    cgroup.0.update(&resources(r#"{"cpu":{"cpus":"0"}}"#)).unwrap();
    assert_eq!(cgroup.read("cpuset", "cpuset.cpus"), "0");
}

#[test]
fn bad_values_name_the_field_and_leave_nothing() {
    let cases = [
        (r#"{"cpu":{"cpus":"4095"}}"#, "linux.resources.cpu.cpus"),
        (r#"{"cpu":{"shares":1}}"#, "linux.resources.cpu.shares"),
        (r#"{"hugepageLimits":[{"pageSize":"../x","limit":1}]}"#, "hugepageLimits"),
        (
            r#"{"blockIO":{"throttleReadBpsDevice":[{"major":999,"minor":1,"rate":5}]}}"#,
            "linux.resources.blockIO.throttleReadBpsDevice",
        ),
    ];
    for (json, field) in cases {
        let name = unique_name();
        let path = format!("/{name}/deep/down");
        let result = Cgroup::create(&config(&name, Some(&path)), Some(&resources(json)));
        let Err(error) = result else {
            // v2's scale of weights has no such minimum to break.
            let cgroup = Scratch(result.unwrap());
            let dirs: std::collections::BTreeSet<_> =
                cgroup.0.paths().map(|(_, path)| path).collect();
            drop(cgroup);
            for mut dir in dirs {
                while dir.pop() && !dir.ends_with(&name) {
                    std::fs::remove_dir(&dir).unwrap();
                }
                std::fs::remove_dir(&dir).unwrap();
            }
            continue;
        };
        assert!(error.to_string().contains(field), "{error}");
        for root in
            ["memory", "cpu", "cpuset", "devices", "pids", "blkio", "unified", "systemd", "."]
        {
            let left = std::path::Path::new("/sys/fs/cgroup").join(root).join(&name);
            assert!(!left.exists(), "{} is left", left.display());
        }
    }
}

#[test]
fn child_joins_every_hierarchy_by_itself() {
    let (name, cgroup) = create(None);
    let mut child = sleeper(&cgroup.0);
    let pid = Pid::from_child(&child);
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    for line in text.lines() {
        assert!(line.ends_with(&format!("/{name}")), "{line}");
    }
    assert_eq!(cgroup.0.pids(true).unwrap(), [pid]);
    cgroup.0.kill_all(Signal::KILL).unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn foreign_process_is_attached() {
    let (name, cgroup) = create(None);
    let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().unwrap();
    cgroup.0.attach(Pid::from_child(&child)).unwrap();
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    assert!(text.lines().all(|line| line.ends_with(&name)), "{text}");
    if !cgroup.unified() {
        std::fs::create_dir(cgroup.dir("pids").join("sub")).unwrap();
        drop(cgroup.0.joiner_in_each(&[("pids", "sub")]).unwrap());
        assert!(cgroup.0.joiner_in_each(&[("pids", "missing")]).is_err());
        assert!(cgroup.0.joiner_in_each(&[("banana", "sub")]).is_err());
    }
    assert!(cgroup.0.attach_in("../..", Pid::from_child(&child)).is_err());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn pids_limit_is_enforced() {
    let (_, cgroup) = create(Some(r#"{"pids":{"limit":1}}"#));
    let script = "/bin/true & wait; exit 0";
    let status = spawn_in(&cgroup.0, "/bin/sh", &["-c", script]).wait().unwrap();
    assert!(!status.success());
}

#[test]
fn memory_limit_is_enforced() {
    let (_, cgroup) = create(Some(r#"{"memory":{"limit":16777216,"swap":16777216}}"#));
    let script = "x=$(head -c 100000000 /dev/zero | tr '\\0' x); exit 0";
    let mut events = cgroup.0.oom_events().unwrap();
    assert_eq!(events.take().unwrap(), OomEvent::None);
    let status = spawn_in(&cgroup.0, "/bin/sh", &["-c", script]).wait().unwrap();
    assert!(!status.success());
    assert_eq!(events.take().unwrap(), OomEvent::Oom);
    assert!(cgroup.0.oom_kills().unwrap() > 0);
    assert!(cgroup.0.stats().unwrap().memory.usage.max > 8 << 20);
    cgroup.0.delete().unwrap();
    assert_eq!(events.take().unwrap(), OomEvent::Gone);
}

#[test]
fn statistics_of_a_busy_process() {
    let (_, cgroup) = create(Some(
        r#"{"memory":{"limit":67108864},"pids":{"limit":30},"cpu":{"quota":20000,"period":100000}}"#,
    ));
    let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 100";
    let mut child = spawn_in(&cgroup.0, "/bin/sh", &["-c", script]);
    let mut stats = cgroup.0.stats().unwrap();
    for _ in 0..500 {
        // The time is counted when the wait ends, after the number of periods;
        // a process that waits right after its start holds no memory yet.
        if stats.cpu.throttling.throttled_time > 0 && stats.memory.usage.usage > 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        stats = cgroup.0.stats().unwrap();
    }
    assert!(stats.cpu.throttling.throttled_periods > 0, "{stats:?}");
    assert!(stats.cpu.throttling.throttled_time > 0 && stats.cpu.usage.total > 0);
    assert_eq!(stats.pids.limit, 30);
    assert!(stats.pids.current >= 1);
    assert_eq!(stats.memory.usage.limit, 67_108_864);
    assert!(stats.memory.usage.usage > 0 && !stats.memory.raw.is_empty());
    if !cgroup.unified() {
        assert!(!stats.cpuset.cpus.is_empty() && !stats.cpu.usage.percpu.is_empty());
    }
    cgroup.0.kill_all(Signal::KILL).unwrap();
    child.wait().unwrap();
}

#[test]
fn freeze_thaw_and_kill_of_frozen() {
    let (_, cgroup) = create(None);
    let mut child = sleeper(&cgroup.0);
    assert!(!cgroup.0.is_frozen().unwrap());
    cgroup.0.freeze().unwrap();
    assert!(cgroup.0.is_frozen().unwrap());
    cgroup.0.thaw().unwrap();
    assert!(!cgroup.0.is_frozen().unwrap());
    cgroup.0.freeze().unwrap();
    cgroup.0.kill_all(Signal::TERM).unwrap();
    assert!(cgroup.0.is_frozen().unwrap(), "a signal other than KILL leaves it frozen");
    cgroup.0.kill_all(Signal::KILL).unwrap();
    child.wait().unwrap();
}

#[test]
fn used_or_frozen_cgroup_is_refused() {
    let (name, cgroup) = create(None);
    let path = format!("/{name}");
    let again = || Cgroup::create(&config("other", Some(&path)), None);
    let child = sleeper(&cgroup.0);
    assert!(matches!(again(), Err(CreateError::NotEmpty { count: 1, .. })));
    cgroup.0.kill_all(Signal::KILL).unwrap();
    { child }.wait().unwrap();
    cgroup.0.freeze().unwrap();
    assert!(matches!(again(), Err(CreateError::Frozen { .. })));
    cgroup.0.thaw().unwrap();
    drop(again().unwrap());
    assert!(cgroup.0.exists());
}

#[test]
fn nested_cgroups_go_with_it() {
    let (_, cgroup) = create(None);
    for (_, path) in cgroup.0.paths() {
        std::fs::create_dir_all(path.join("a/b/c")).unwrap();
        std::fs::create_dir_all(path.join("d")).unwrap();
    }
    cgroup.0.delete().unwrap();
    assert!(!cgroup.0.exists());
    cgroup.0.delete().unwrap();
    assert!(cgroup.0.pids(true).unwrap().is_empty());
    assert!(!cgroup.0.is_frozen().unwrap());
    cgroup.0.kill_all(Signal::KILL).unwrap();
}

#[test]
fn state_survives_serialization() {
    let (_, cgroup) = create(None);
    let json = serde_json::to_string(&cgroup.0.state()).unwrap();
    let again = Cgroup::open(&serde_json::from_str(&json).unwrap()).unwrap();
    assert_eq!(again.paths().collect::<Vec<_>>(), cgroup.0.paths().collect::<Vec<_>>());
    assert_eq!(again.kind(), cgroup.0.kind());
    assert_eq!(again.path(), cgroup.0.path());
    let mut state = cgroup.0.state();
    state.hierarchies[0].path = "../etc".to_owned();
    assert!(Cgroup::open(&state).is_err());
    state.hierarchies[0].path = String::new();
    assert!(Cgroup::open(&state).is_err());
}

#[test]
fn without_a_path_it_lies_beside_or_below_the_runtime() {
    let name = unique_name();
    let cgroup = Scratch(Cgroup::create(&config(&name, None), None).unwrap());
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    for (controller, path) in cgroup.0.paths() {
        assert!(path.is_dir(), "{}", path.display());
        if cgroup.0.kind() == LayoutKind::Unified || controller.is_empty() {
            continue;
        }
        let line = own.lines().find(|line| {
            line.split(':').nth(1).is_some_and(|list| list.split(',').any(|c| c == controller))
        });
        let own = line.and_then(|line| line.splitn(3, ':').nth(2)).unwrap().trim_end_matches('/');
        assert!(path.ends_with(format!("{own}/{name}").trim_start_matches('/')));
    }
}

#[test]
fn device_rules_of_v1_are_updated_without_a_gap() {
    let (_, cgroup) = create(None);
    if cgroup.unified() {
        println!("not here: no v1 hierarchy of `devices` on this host");
        return;
    }
    let add = r#"{"devices":[{"allow":false,"access":"rwm"},
        {"allow":true,"type":"b","major":7,"minor":0,"access":"rw"}]}"#;
    cgroup.0.update_devices(&resources(add).devices).unwrap();
    assert!(cgroup.read("devices", "devices.list").contains("b 7:0 rw"));
    cgroup.0.update(&Resources::default()).unwrap();
    assert!(cgroup.read("devices", "devices.list").contains("b 7:0"), "update spares devices");
    cgroup.0.update_devices(&[]).unwrap();
    assert!(!cgroup.read("devices", "devices.list").contains("b 7:0"));
    let hole = r#"{"devices":[{"allow":true,"type":"c","major":1,"access":"rwm"},
        {"allow":false,"type":"c","major":1,"minor":5,"access":"w"}]}"#;
    let error = cgroup.0.update_devices(&resources(hole).devices).unwrap_err().to_string();
    assert!(
        error.contains("linux.resources.devices[1]") && error.contains("punch hole"),
        "{error}"
    );
}

#[test]
fn unified_values_need_v2() {
    let name = unique_name();
    let path = format!("/{name}");
    let wanted = resources(r#"{"unified":{"pids.max":"10"}}"#);
    match Cgroup::create(&config(&name, Some(&path)), Some(&wanted)) {
        Ok(cgroup) => {
            let cgroup = Scratch(cgroup);
            assert_eq!(cgroup.read("pids", "pids.max"), "10");
        }
        Err(error) => assert!(error.to_string().contains("needs cgroup v2"), "{error}"),
    }
}

#[test]
fn memory_and_swap_are_raised_and_lowered_together() {
    let both = |mib: u64| format!(r#"{{"memory":{{"limit":{0},"swap":{0}}}}}"#, mib << 20);
    let (_, cgroup) = create(Some(&both(64)));
    for mib in [256, 32, 128] {
        cgroup.0.update(&resources(&both(mib))).unwrap();
        if cgroup.unified() {
            assert_eq!(cgroup.read("memory", "memory.max"), (mib << 20).to_string());
            assert_eq!(cgroup.read("memory", "memory.swap.max"), "0");
        } else {
            assert_eq!(cgroup.read("memory", "memory.limit_in_bytes"), (mib << 20).to_string());
            let swap = cgroup.read("memory", "memory.memsw.limit_in_bytes");
            assert_eq!(swap, (mib << 20).to_string());
        }
    }
}

#[test]
fn many_at_once_below_a_new_parent() {
    let parent = unique_name();
    let all: Vec<Scratch> = std::thread::scope(|scope| {
        let make = |index: usize| {
            let path = format!("/{parent}/pod/{index}");
            let limits = resources(r#"{"pids":{"limit":9},"memory":{"limit":33554432}}"#);
            Scratch(Cgroup::create(&config("x", Some(&path)), Some(&limits)).unwrap())
        };
        let threads: Vec<_> = (0..24).map(|index| scope.spawn(move || make(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // Controllers that share a hierarchy have one directory.
    let dirs: std::collections::BTreeSet<_> = all[0].0.paths().map(|(_, path)| path).collect();
    for cgroup in &all {
        assert_eq!(cgroup.read("pids", "pids.max"), "9");
        if !cgroup.unified() {
            assert!(!cgroup.read("cpuset", "cpuset.cpus").is_empty());
        }
    }
    drop(all);
    for dir in dirs {
        let pod = dir.parent().unwrap();
        std::fs::remove_dir(pod).unwrap();
        std::fs::remove_dir(pod.parent().unwrap()).unwrap();
    }
}

#[test]
fn a_parent_goes_with_the_last_one_in_it() {
    let parent = unique_name();
    let create = |name: &str| {
        let path = format!("/{parent}/{name}");
        Scratch(Cgroup::create(&config(name, Some(&path)), None).unwrap())
    };
    let (one, two) = (create("one"), create("two"));
    let dir = one.dir("pids").parent().unwrap().to_owned();
    drop(one);
    remove_unused(&format!("/{parent}"));
    assert!(dir.exists() && two.dir("pids").exists());
    drop(two);
    remove_unused(&format!("/{parent}/"));
    assert!(!dir.exists());
    remove_unused(&format!("/{parent}"));
    remove_unused("/");
}

#[test]
fn whoever_needs_a_parent_makes_it_again() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let parent = unique_name();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                remove_unused(&format!("/{parent}"));
            }
        });
        for round in 0..200 {
            let name = format!("{round}");
            let path = format!("/{parent}/{name}");
            let made = Cgroup::create(&config(&name, Some(&path)), None);
            if made.is_err() {
                done.store(true, Ordering::Relaxed);
            }
            drop(Scratch(made.unwrap()));
        }
        done.store(true, Ordering::Relaxed);
    });
    remove_unused(&format!("/{parent}"));
}
