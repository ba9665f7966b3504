//! Malformed and contradictory configurations through the real binary: one
//! line that names the place, exit code 1, and nothing left.

#![cfg(test)]

mod bundle;

use bundle::{Bundle, Census};
use serde_json::{Value, json};

/// Sets what lies at a JSON pointer; parents are made.
fn set(config: &mut Value, pointer: &str, value: Value) {
    let mut place = config;
    for key in pointer.split('/').skip(1) {
        place = match key.parse::<usize>() {
            Ok(index) if place.is_array() => {
                let list = place.as_array_mut().unwrap();
                while list.len() <= index {
                    list.push(Value::Null);
                }
                &mut list[index]
            }
            _ => &mut place[key],
        };
    }
    *place = value;
}

/// Says what is wrong unless `create` and `run` refuse this configuration with
/// one line that holds `word`, and leave nothing.
fn complaint(bundle: &Bundle, word: &str) -> Option<String> {
    let before = Census::take(bundle);
    for command in ["create", "run"] {
        let ended = if command == "create" { bundle.create() } else { bundle.run() };
        let said = ended.stderr();
        let one_line = said.lines().count() == 1 && said.contains("level=error");
        if ended.code() != 1 || !one_line || !said.contains(word) {
            return Some(format!("{word}: {command} ended with {}: {said:?}", ended.code()));
        }
        let after = Census::take(bundle);
        if after != before {
            return Some(format!("{word}: {command} left {after:?}"));
        }
    }
    None
}

#[test]
fn wrong_values_are_named_by_their_place() {
    let cases = [
        ("/ociVersion", json!("0.1"), "ociVersion"),
        ("/ociVersion", json!("not a version"), "ociVersion"),
        ("/ociVersion", json!(1), "ociVersion"),
        ("/root", Value::Null, "root"),
        ("/root/path", json!(7), "root.path"),
        ("/root/path", json!("no/such/dir"), "root.path"),
        ("/root/path", json!("/"), "root.path"),
        ("/root/readonly", json!("yes"), "root.readonly"),
        ("/process", json!([]), "process"),
        ("/process/args", json!([]), "process.args"),
        ("/process/args", json!("sh"), "process.args"),
        ("/process/args", json!(["a\u{0}b"]), "process.args"),
        ("/process/args/0", json!(5), "process.args[0]"),
        ("/process/env/0", json!("a\u{0}b"), "process.env"),
        ("/process/env/1", json!({}), "process.env[1]"),
        ("/process/cwd", json!("relative"), "process.cwd"),
        ("/process/cwd", json!(""), "process.cwd"),
        ("/process/user/uid", json!(-1), "process.user.uid"),
        ("/process/user/uid", json!(4_294_967_296_u64), "process.user.uid"),
        ("/process/user/additionalGids", json!([1, -2]), "process.user.additionalGids[1]"),
        ("/process/oomScoreAdj", json!(1001), "process.oomScoreAdj"),
        ("/process/oomScoreAdj", json!("high"), "process.oomScoreAdj"),
        ("/process/rlimits/0/type", json!("RLIMIT_NOSUCH"), "process.rlimits[0].type"),
        ("/process/rlimits/0/soft", json!(2048), "process.rlimits[0]"),
        ("/process/rlimits/0/hard", json!(-1), "process.rlimits[0].hard"),
        (
            "/process/rlimits/1",
            json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}),
            "process.rlimits[1]",
        ),
        ("/process/capabilities/bounding", json!([["CAP_KILL"]]), "process.capabilities.bounding"),
        ("/process/scheduler", json!({"policy": "SCHED_NOSUCH"}), "process.scheduler.policy"),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_OTHER", "nice": 20}),
            "process.scheduler.nice",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_OTHER", "priority": 1}),
            "process.scheduler.priority",
        ),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "process.ioPriority.priority",
        ),
        (
            "/process/ioPriority",
            json!({"class": "BEST", "priority": 1}),
            "process.ioPriority.class",
        ),
        ("/process/terminal", json!("true"), "process.terminal"),
        ("/hostname", json!(["a"]), "hostname"),
        ("/mounts/0/destination", json!(""), "mounts[0].destination"),
        ("/mounts/0/destination", Value::Null, "mounts[0]"),
        ("/mounts/1/options", json!("ro"), "mounts[1].options"),
        ("/mounts/2/uidMappings", json!([{"containerID": 0, "hostID": 0, "size": 0}]), "mounts[2]"),
        ("/hooks/prestart", json!([{"path": "relative"}]), "hooks.prestart[0].path"),
        (
            "/hooks/poststop",
            json!([{"path": "/bin/true"}, {"path": "/x", "timeout": 0}]),
            "hooks.poststop[1].timeout",
        ),
        ("/hooks/poststop", json!([{"path": "/x", "timeout": -3}]), "hooks.poststop[0].timeout"),
        ("/linux/namespaces/0/type", json!("nosuch"), "linux.namespaces[0].type"),
        ("/linux/namespaces/6", json!({"type": "pid"}), "linux.namespaces[6]"),
        (
            "/linux/namespaces/1",
            json!({"type": "network", "path": "relative/ns"}),
            "linux.namespaces[1].path",
        ),
        (
            "/linux/uidMappings",
            json!([{"containerID": 0, "hostID": 1000, "size": 1}]),
            "linux.uidMappings",
        ),
        ("/linux/timeOffsets", json!({"boottime": {"secs": 1}}), "linux.timeOffsets"),
        ("/linux/sysctl", json!({"kernel.nosuch.key": "1"}), "kernel.nosuch.key"),
        ("/linux/sysctl", json!({"vm.swappiness": "1"}), "linux.sysctl"),
        ("/linux/sysctl", json!({"net.ipv4.ip_forward": "not a number"}), "net.ipv4.ip_forward"),
        (
            "/linux/devices",
            json!([{"path": "/dev/x", "type": "z", "major": 1, "minor": 1}]),
            "linux.devices[0].type",
        ),
        (
            "/linux/devices",
            json!([{"path": "dev/x", "type": "c", "major": 1, "minor": 1}]),
            "linux.devices[0].path",
        ),
        ("/linux/maskedPaths", json!(["relative"]), "linux.maskedPaths[0]"),
        ("/linux/readonlyPaths", json!(["/a", "relative"]), "linux.readonlyPaths[1]"),
        ("/linux/rootfsPropagation", json!("sideways"), "linux.rootfsPropagation"),
        ("/linux/personality", json!({"domain": "LINUX16"}), "linux.personality.domain"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_NOSUCH"}), "linux.memoryPolicy.mode"),
        ("/linux/resources/cpu", json!({"shares": "many"}), "linux.resources.cpu.shares"),
        ("/linux/resources/cpu", json!({"cpus": "9999"}), "cpus"),
        (
            "/linux/resources/memory",
            json!({"swappiness": 101}),
            "linux.resources.memory.swappiness",
        ),
        (
            "/linux/resources/memory",
            json!({"limit": 100_000_000, "swap": 1_000_000}),
            "linux.resources.memory",
        ),
        ("/linux/resources/pids", json!({"limit": "x"}), "linux.resources.pids.limit"),
        (
            "/linux/resources/devices",
            json!([{"allow": true, "access": "rwx"}]),
            "linux.resources.devices[0].access",
        ),
        (
            "/linux/resources/hugepageLimits",
            json!([{"pageSize": "3MB", "limit": 1}]),
            "hugepageLimits",
        ),
        ("/linux/seccomp", json!({}), "defaultAction"),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_NOSUCH"}),
            "linux.seccomp.defaultAction",
        ),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "linux.seccomp"),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_NOSUCH"]}),
            "linux.seccomp.architectures[0]",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
            [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [
                {"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}),
            "linux.seccomp.syscalls[0].args[0].index",
        ),
        ("/linux/cgroupsPath", json!("/"), "linux.cgroupsPath"),
        ("/linux/intelRdt", json!({"closID": "../up"}), "linux.intelRdt.closID"),
        ("/linux/netDevices", json!({"eth0": {"name": "a/b"}}), "linux.netDevices"),
    ];
    let complaints: Vec<_> = cases
        .into_iter()
        .filter_map(|(pointer, value, word)| {
            let mut bundle = Bundle::new();
            set(&mut bundle.config, pointer, value.clone());
            complaint(&bundle, word).map(|text| format!("{pointer} = {value}: {text}"))
        })
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn contradictions_are_refused() {
    let map = json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]);
    let mut cases: Vec<(Bundle, &str)> = Vec::new();
    let mut user_without_maps = Bundle::new();
    user_without_maps.namespace("user", None);
    cases.push((user_without_maps, "linux.uidMappings"));
    let mut one_map = Bundle::new();
    one_map.namespace("user", None);
    one_map.config["linux"]["uidMappings"] = map.clone();
    cases.push((one_map, "linux.gidMappings"));
    let mut overlapping = Bundle::new();
    overlapping.user_namespace(200_000);
    overlapping.config["linux"]["uidMappings"] = json!([
        {"containerID": 0, "hostID": 200_000, "size": 10},
        {"containerID": 5, "hostID": 300_000, "size": 10}]);
    cases.push((overlapping, "linux.uidMappings"));
    let mut hostname = Bundle::new();
    hostname.without_namespace("uts");
    cases.push((hostname, "hostname"));
    let mut sysctl = Bundle::new();
    sysctl.without_namespace("network");
    sysctl.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    cases.push((sysctl, "net.ipv4.ip_forward"));
    let mut devices = Bundle::new();
    devices.without_namespace("network");
    devices.config["linux"]["netDevices"] = json!({"eth0": {}});
    cases.push((devices, "linux.netDevices"));
    let mut unmapped = Bundle::new();
    unmapped.user_namespace(200_000);
    unmapped.config["process"]["user"]["uid"] = json!(70_000);
    cases.push((unmapped, "process.user.uid"));
    let mut agentless = Bundle::new();
    agentless.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]});
    cases.push((agentless, "linux.seccomp"));
    let mut proc_elsewhere = Bundle::new();
    proc_elsewhere.config["mounts"][0] =
        json!({"destination": "/proc", "type": "tmpfs", "source": "tmpfs"});
    cases.push((proc_elsewhere, "/proc"));
    let complaints: Vec<_> =
        cases.iter().filter_map(|(bundle, word)| complaint(bundle, word)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn what_is_no_configuration_is_refused() {
    let bundle = Bundle::new();
    let path = bundle.path().to_str().unwrap();
    let deep = "[".repeat(100_000);
    let twice = r#"{"ociVersion": "1.0.0", "ociVersion": "1.0.0"}"#;
    for text in ["", "{", "[]", "null", "{\"a\": }", "\u{0}", deep.as_str(), twice] {
        let before = Census::take(&bundle);
        std::fs::write(bundle.path().join("config.json"), text).unwrap();
        bundle.call(&["create", "-b", path, &bundle.id]).refused(&["config.json"]);
        assert_eq!(Census::take(&bundle), before);
    }
    std::fs::remove_file(bundle.path().join("config.json")).unwrap();
    bundle.call(&["create", "-b", path, &bundle.id]).refused(&["config.json"]);
    bundle.call(&["create", "-b", "/no/such/bundle", &bundle.id]).refused(&["/no/such/bundle"]);
    std::fs::create_dir(bundle.path().join("config.json")).unwrap();
    bundle.call(&["create", "-b", path, &bundle.id]).refused(&["config.json"]);
}

#[test]
fn names_that_are_paths_are_refused() {
    let bundle = Bundle::new();
    bundle.write_config();
    let path = bundle.path().to_str().unwrap();
    for id in ["", ".", "..", "../up", "a/b", "a\nb", "a b", &"x".repeat(2000)] {
        for command in [&["create", "-b", path, id][..], &["delete", "--force", id], &["state", id]]
        {
            let code = bundle.call(command).code();
            assert_eq!(code, 1, "{command:?}");
        }
    }
    assert!(!bundle.state_root().exists() || bundle.call(&["list", "-q"]).lines().is_empty());
}
