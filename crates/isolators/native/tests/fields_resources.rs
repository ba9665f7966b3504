//! `linux.resources` and `linux.cgroupsPath` of `config.json`: what is written
//! to the host's cgroup hierarchies. Hierarchies that this host does not have
//! are named on standard output.

#![cfg(test)]

mod bundle;

use std::path::PathBuf;

use bundle::{Bundle, cgroups_named, eventually};
use serde_json::{Value, json};

/// The container's directory in the v1 hierarchy of a controller, or in the v2
/// hierarchy, `unified`, wherever it is mounted.
fn directory(bundle: &Bundle, controller: &str) -> Option<PathBuf> {
    let mut wanted = PathBuf::from("/sys/fs/cgroup");
    if controller != "unified" || !wanted.join("cgroup.controllers").exists() {
        wanted.push(controller);
    }
    cgroups_named(&bundle.id).into_iter().find(|path| path.starts_with(&wanted))
}

fn is_mounted(controller: &str) -> bool {
    let found = std::path::Path::new("/sys/fs/cgroup").join(controller).join("tasks").exists();
    if !found {
        println!("not tested: this machine has no v1 hierarchy of {controller}");
    }
    found
}

#[track_caller]
fn file(bundle: &Bundle, controller: &str, name: &str) -> String {
    let path = directory(bundle, controller).unwrap_or_else(|| panic!("no {controller}"));
    let text = std::fs::read_to_string(path.join(name));
    text.unwrap_or_else(|error| panic!("{controller} {name}: {error}")).trim().to_owned()
}

/// A running container with these limits.
#[track_caller]
fn limited(resources: Value) -> Bundle {
    let mut bundle = Bundle::sleeper();
    bundle.config["linux"]["resources"] = resources;
    bundle.started();
    bundle
}

#[test]
fn the_process_is_in_every_hierarchy() {
    let bundle = limited(json!({}));
    let pid = bundle.pid();
    let dirs = cgroups_named(&bundle.id);
    assert!(!dirs.is_empty());
    for dir in dirs {
        let members = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        assert!(members.lines().any(|line| line == pid.to_string()), "{}", dir.display());
    }
}

#[test]
fn exec_joins_a_cgroup_below_by_controller() {
    if !is_mounted("pids") || !is_mounted("cpu") {
        return;
    }
    let bundle = limited(json!({}));
    let made: Vec<_> = ["pids", "cpu"]
        .map(|controller| directory(&bundle, controller).unwrap().join(format!("{controller}-sub")))
        .into_iter()
        .inspect(|path| std::fs::create_dir(path).unwrap())
        .collect();
    let flags = ["--cgroup", "pids:pids-sub", "--cgroup", "cpu:/cpu-sub"];
    let script = "cat /proc/self/cgroup";
    let text = bundle.exec_with(&flags, &["sh", "-c", script]).ok().stdout();
    let at = |controller: &str| {
        let wanted = format!(":{controller}:");
        let line = text.lines().find(|line| line.contains(&wanted)).unwrap_or_default();
        line.rsplit('/').next().unwrap_or_default().to_owned()
    };
    assert_eq!([at("pids"), at("cpu")], ["pids-sub", "cpu-sub"], "{text}");
    assert_ne!(at("memory"), "pids-sub", "{text}");
    for (wrong, words) in [
        (&["pids:missing"][..], "No such file"),
        (&["banana:x"], "banana"),
        (&["pids:../x"], "bad sub cgroup path"),
        (&["pids:pids-sub", "/"], "missing <controller>"),
    ] {
        let flags: Vec<_> = wrong.iter().flat_map(|value| ["--cgroup", value]).collect();
        let said = bundle.exec_with(&flags, &["true"]).fails(255);
        assert!(said.contains(words), "{wrong:?}: {said}");
    }
    for path in made {
        eventually("the process's end", || std::fs::remove_dir(&path).is_ok());
    }
}

#[test]
fn cgroups_path_is_where_the_cgroup_lies() {
    let mut bundle = Bundle::sleeper();
    let path = format!("/{}/inner/leaf", bundle.id);
    bundle.config["linux"]["cgroupsPath"] = json!(path);
    bundle.started();
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", bundle.pid())).unwrap();
    for line in text.lines().filter(|line| line.contains("pids") || line.contains("devices")) {
        assert!(line.ends_with(&path), "{line}");
    }
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    let ours = |dir: &PathBuf| dir.to_string_lossy().contains(&bundle.id);
    let left: Vec<_> = cgroups_named("leaf").into_iter().filter(ours).collect();
    assert!(left.is_empty(), "{left:?}");
    // Parents stay, as with runc: they may be shared.
    for dir in cgroups_named(&bundle.id) {
        let _ = std::fs::remove_dir(dir.join("inner"));
        let _ = std::fs::remove_dir(dir);
    }
}

#[test]
fn cpu_limits_are_written() {
    if !is_mounted("cpu") {
        return;
    }
    let bundle = limited(json!({"cpu": {
        "shares": 512, "quota": 40_000, "period": 80_000, "burst": 10_000,
        "realtimePeriod": 900_000, "realtimeRuntime": 11_000
    }}));
    assert_eq!(file(&bundle, "cpu", "cpu.shares"), "512");
    assert_eq!(file(&bundle, "cpu", "cpu.cfs_quota_us"), "40000");
    assert_eq!(file(&bundle, "cpu", "cpu.cfs_period_us"), "80000");
    assert_eq!(file(&bundle, "cpu", "cpu.cfs_burst_us"), "10000");
    assert_eq!(file(&bundle, "cpu", "cpu.rt_period_us"), "900000");
    assert_eq!(file(&bundle, "cpu", "cpu.rt_runtime_us"), "11000");
}

#[test]
fn cpu_idle_is_written() {
    if is_mounted("cpu") {
        let bundle = limited(json!({"cpu": {"idle": 1}}));
        assert_eq!(file(&bundle, "cpu", "cpu.idle"), "1");
    }
}

#[test]
fn cpuset_is_written_and_in_force() {
    if !is_mounted("cpuset") {
        return;
    }
    let bundle = limited(json!({"cpu": {"cpus": "0", "mems": "0"}}));
    assert_eq!(file(&bundle, "cpuset", "cpuset.cpus"), "0");
    assert_eq!(file(&bundle, "cpuset", "cpuset.mems"), "0");
    assert_eq!(bundle.exec(&["nproc"]).lines(), ["1"]);
    assert_eq!(
        bundle.exec(&["grep", "Cpus_allowed_list", "/proc/1/status"]).lines(),
        ["Cpus_allowed_list:\t0"]
    );
}

#[test]
fn memory_limits_are_written() {
    if !is_mounted("memory") {
        return;
    }
    let mebi = 1 << 20;
    let bundle = limited(json!({"memory": {
        "limit": 64 * mebi, "reservation": 32 * mebi, "swap": 128 * mebi, "swappiness": 17,
        "disableOOMKiller": true
    }}));
    let number = |name: &str| file(&bundle, "memory", name).parse::<i64>().unwrap();
    assert_eq!(number("memory.limit_in_bytes"), 64 * mebi);
    assert_eq!(number("memory.soft_limit_in_bytes"), 32 * mebi);
    assert_eq!(number("memory.memsw.limit_in_bytes"), 128 * mebi);
    assert_eq!(number("memory.swappiness"), 17);
    assert!(file(&bundle, "memory", "memory.oom_control").contains("oom_kill_disable 1"));
}

#[test]
fn memory_limits_are_in_force() {
    if !is_mounted("memory") {
        return;
    }
    let mut bundle = Bundle::script("head -c 60000000 /dev/zero | tail | wc -c; echo survived");
    bundle.config["linux"]["resources"] = json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}});
    let ended = bundle.run();
    assert!(!ended.stdout().contains("60000000"), "{}", ended.stdout());
}

#[test]
fn an_update_below_the_usage_is_refused_if_so_configured() {
    if !is_mounted("memory") {
        return;
    }
    let mut bundle = Bundle::script(
        "dd if=/dev/zero of=/dev/shm-file bs=1M count=12 2>/dev/null; \
        echo filled; while :; do sleep 100; done",
    );
    bundle.config["linux"]["resources"] =
        json!({"memory": {"limit": 64 << 20, "checkBeforeUpdate": true}});
    let created = bundle.create().ok();
    bundle.start().ok();
    eventually("filled", || created.stdout().contains("filled"));
    let limits = bundle.path().join("limits.json");
    std::fs::write(&limits, r#"{"memory": {"limit": 4194304, "checkBeforeUpdate": true}}"#)
        .unwrap();
    let limits = limits.to_str().unwrap();
    let said = bundle.call(&["update", "-r", limits, &bundle.id]).fails(1);
    assert!(said.contains("memory"), "{said}");
    assert_eq!(file(&bundle, "memory", "memory.limit_in_bytes"), (64 << 20).to_string());
}

#[test]
fn pids_limit_is_written_and_in_force() {
    if !is_mounted("pids") {
        return;
    }
    let bundle = limited(json!({"pids": {"limit": 6}}));
    assert_eq!(file(&bundle, "pids", "pids.max"), "6");
    let ended = bundle.exec(&["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 2 & done; wait"]);
    assert!(ended.stderr().contains("fork"), "{}", ended.stderr());
    let bundle = limited(json!({"pids": {"limit": -1}}));
    assert_eq!(file(&bundle, "pids", "pids.max"), "max");
}

/// The first disk: `major:minor`.
fn disk() -> Option<(u64, u64)> {
    let entries = std::fs::read_dir("/sys/block").ok()?;
    let mut names: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    names.sort();
    let found = names.iter().find_map(|path| {
        let number = std::fs::read_to_string(path.join("dev")).ok()?;
        let (major, minor) = number.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    if found.is_none() {
        println!("not tested: this machine has no block device");
    }
    found
}

#[test]
fn block_io_throttles_are_written() {
    let Some((major, minor)) = disk().filter(|_| is_mounted("blkio")) else { return };
    let rate = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let bundle = limited(json!({"blockIO": {
        "throttleReadBpsDevice": rate(1_048_576), "throttleWriteBpsDevice": rate(2_097_152),
        "throttleReadIOPSDevice": rate(300), "throttleWriteIOPSDevice": rate(400)
    }}));
    for (name, value) in
        [("read_bps", 1_048_576), ("write_bps", 2_097_152), ("read_iops", 300), ("write_iops", 400)]
    {
        let text = file(&bundle, "blkio", &format!("blkio.throttle.{name}_device"));
        assert_eq!(text, format!("{major}:{minor} {value}"), "{name}");
    }
}

/// Weights take an I/O scheduler that has them: without its files the limit
/// can't be given, and that is said.
#[test]
fn block_io_weights_are_written_or_refused_by_name() {
    let Some((major, minor)) = disk().filter(|_| is_mounted("blkio")) else { return };
    let device = json!([{"major": major, "minor": minor, "weight": 300, "leafWeight": 200}]);
    let cases = [
        ("weight", json!(500), ["blkio.weight", "blkio.bfq.weight"], "500".to_owned()),
        ("leafWeight", json!(400), ["blkio.leaf_weight", ""], "400".to_owned()),
        (
            "weightDevice",
            device,
            ["blkio.weight_device", "blkio.bfq.weight_device"],
            format!("{major}:{minor} 300"),
        ),
    ];
    for (field, value, files, wanted) in cases {
        let mut bundle = Bundle::sleeper();
        bundle.config["linux"]["resources"] = json!({"blockIO": {field: value}});
        let created = bundle.create();
        if created.code() != 0 {
            println!("{field}: this machine's I/O schedulers have no weights");
            created.refused(&[field]);
            continue;
        }
        let dir = directory(&bundle, "blkio").unwrap();
        let text: String =
            files.iter().filter_map(|name| std::fs::read_to_string(dir.join(name)).ok()).collect();
        assert!(text.contains(&wanted), "{field}: {text:?}");
    }
}

#[test]
fn hugepage_limits_are_written_or_refused_by_name() {
    let mut bundle = Bundle::sleeper();
    bundle.config["linux"]["resources"] =
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]});
    let created = bundle.create();
    let v1 = directory(&bundle, "hugetlb").map(|dir| dir.join("hugetlb.2MB.limit_in_bytes"));
    let v2 = directory(&bundle, "unified").map(|dir| dir.join("hugetlb.2MB.max"));
    let written = v1.into_iter().chain(v2).find_map(|path| std::fs::read_to_string(path).ok());
    if created.code() == 0 {
        assert_eq!(written.unwrap().trim(), "4194304");
    } else {
        println!("this machine has no hugetlb controller to be used");
        created.refused(&["hugepageLimits"]);
    }
}

/// What takes a hierarchy that is not there is refused, not forgotten.
#[test]
fn limits_of_missing_hierarchies_are_refused_by_name() {
    for (hierarchy, resources, words) in [
        ("net_cls", json!({"network": {"classID": 0x10_0001}}), ["classID", ""]),
        (
            "net_prio",
            json!({"network": {"priorities": [{"name": "lo", "priority": 5}]}}),
            ["priorities", ""],
        ),
        ("rdma", json!({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 100}}}), ["rdma", ""]),
        ("unified", json!({"unified": {"memory.high": "1000000"}}), ["unified", ""]),
    ] {
        let mut bundle = Bundle::sleeper();
        bundle.config["linux"]["resources"] = resources;
        let created = bundle.create();
        if created.code() == 0 {
            let dir = directory(&bundle, hierarchy);
            assert!(dir.is_some(), "{hierarchy}: accepted, and not written anywhere");
            continue;
        }
        created.refused(&words);
    }
}

#[test]
fn ignored_memory_limits_do_no_harm() {
    let bundle = limited(json!({"memory": {"kernel": 100_000_000, "kernelTCP": 100_000_000,
        "useHierarchy": true}}));
    assert_eq!(bundle.status(), "running");
}

/// `probe` in a container with these device rules, line by line.
fn devices(rules: &Value, probe: &str) -> Vec<String> {
    let mut bundle = Bundle::script(probe);
    bundle.capabilities(&["CAP_MKNOD"]);
    bundle.config["linux"]["resources"] = json!({"devices": rules});
    bundle.run().lines()
}

/// Makes FUSE's device, which no container has by itself, and opens it.
const PROBE: &str = "mknod /tmp/fuse c 10 229; ( : < /tmp/fuse ) 2>/dev/null && echo r; \
    ( : > /tmp/fuse ) 2>/dev/null && echo w; head -c 1 /dev/zero > /dev/null && echo default";

#[test]
fn device_rules_are_enforced_in_their_order() {
    let deny = json!({"allow": false, "access": "rwm"});
    let fuse = |allow: bool, access: &str| json!({"allow": allow, "type": "c", "major": 10, "minor": 229, "access": access});
    let any_misc = json!({"allow": true, "type": "c", "major": 10, "access": "rwm"});
    for (rules, wanted) in [
        // The default devices are always allowed, as is making any node.
        (json!([deny]), &["default"][..]),
        (json!([deny, fuse(true, "rw")]), &["r", "w", "default"]),
        (json!([deny, fuse(true, "r")]), &["r", "default"]),
        (json!([deny, fuse(true, "w")]), &["w", "default"]),
        (json!([deny, any_misc]), &["r", "w", "default"]),
        (json!([{"allow": true, "access": "rwm"}]), &["r", "w", "default"]),
        (
            json!([deny, {"allow": true, "type": "b", "major": 10, "minor": 229, "access": "rw"}]),
            &["default"],
        ),
    ] {
        assert_eq!(devices(&rules, PROBE), wanted, "{rules}");
    }
    let mut bundle = Bundle::script(PROBE);
    bundle.capabilities(&["CAP_MKNOD"]);
    bundle.config["linux"]["resources"] = json!({"devices": [deny, any_misc, fuse(false, "w")]});
    let ended = bundle.run();
    if is_mounted("devices") {
        // v1's lists can't take one device out of a wildcard.
        ended.refused(&["linux.resources.devices[2]", "10:229"]);
    } else {
        assert_eq!(ended.lines(), ["r", "default"]);
    }
}

#[test]
fn update_changes_limits() {
    let bundle = limited(json!({"pids": {"limit": 20}, "memory": {"limit": 64 << 20}}));
    bundle.call(&["update", "--pids-limit", "30", "--memory", "48m", &bundle.id]).ok();
    if is_mounted("pids") && is_mounted("memory") {
        assert_eq!(file(&bundle, "pids", "pids.max"), "30");
        assert_eq!(file(&bundle, "memory", "memory.limit_in_bytes"), (48 << 20).to_string());
    }
}

#[test]
fn intel_rdt_is_refused_by_name_where_it_is_missing() {
    for rdt in [
        json!({"closID": "one"}),
        json!({"l3CacheSchema": "L3:0=f"}),
        json!({"memBwSchema": "MB:0=20"}),
        json!({"schemata": ["L3:0=f"]}),
        json!({"enableMonitoring": true}),
    ] {
        let mut bundle = Bundle::new();
        bundle.config["linux"]["intelRdt"] = rdt;
        if std::path::Path::new("/sys/fs/resctrl/schemata").exists() {
            println!("not tested: this machine has Intel RDT");
            return;
        }
        bundle.run().refused(&["linux.intelRdt"]);
    }
}

/// The directory for a hybrid host's v2 hierarchy may be there without it.
#[test]
fn a_host_without_cgroup_v2_will_do() {
    let mut bundle = Bundle::new();
    bundle.prelude = Some(
        "if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; \
         else echo not tested: no hybrid cgroups; fi"
            .to_owned(),
    );
    let ended = bundle.run().ok();
    assert!(ended.stderr().is_empty(), "{}", ended.stderr());
    print!("{}", ended.stdout());
}

#[test]
fn exec_joins_the_cgroups_that_it_names() {
    if !is_mounted("pids") || !is_mounted("memory") {
        return;
    }
    let bundle = limited(json!({}));
    let dirs =
        ["memory", "pids"].map(|controller| directory(&bundle, controller).unwrap().join("sub"));
    dirs.iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
    let own = |flags: &[&str]| {
        let lines = bundle.exec_with(flags, &["cat", "/proc/self/cgroup"]).ok().lines();
        let subs = lines.iter().filter(|line| line.ends_with("/sub"));
        let mut names: Vec<_> = subs.map(|line| line.split(':').nth(1).unwrap()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(own(&[]), "");
    assert_eq!(own(&["--cgroup", "pids:sub"]), "pids");
    assert_eq!(own(&["--cgroup", "pids,memory:sub"]), "memory pids");
    assert_eq!(own(&["--cgroup", "memory:sub", "--cgroup", "pids:sub"]), "memory pids");
    for (bad, word) in [("pids:other", "other"), ("banana:sub", "banana")] {
        let said = bundle.exec_with(&["--cgroup", bad], &["true"]).fails(255);
        assert!(said.contains(word), "{said}");
    }
    dirs.iter().for_each(|dir| std::fs::remove_dir(dir).unwrap());
}

/// As systemd in a container does it.
#[test]
fn exec_into_a_cgroup_that_only_holds_cgroups_joins_the_first_process() {
    if !std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        println!("not tested: this machine has no cgroup v2 with controllers");
        return;
    }
    let mut bundle = Bundle::script(
        "cd /sys/fs/cgroup && mkdir init && echo 0 > init/cgroup.procs \
         && echo +pids > cgroup.subtree_control && echo ready > /ready; exec sleep 1000",
    );
    bundle.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["rw"]}));
    bundle.started();
    let ready = bundle.rootfs().join("ready");
    eventually("its cgroups are set up", || ready.exists());
    let lines = bundle.exec(&["cat", "/proc/self/cgroup"]).ok().lines();
    assert_eq!(lines, ["0::/init"]);
}
