//! What the container is called and which kernel it believes to run on:
//! `hostname`, `domainname`, `annotations`, `ociVersion`, `linux.sysctl`,
//! `linux.personality`, `linux.memoryPolicy`, `linux.timeOffsets`.

#![cfg(test)]

mod bundle;

use bundle::Bundle;
use serde_json::json;

#[test]
fn host_and_domain_name_are_set_inside_only() {
    let before = rustix::system::uname().nodename().to_owned();
    let mut bundle = Bundle::script("hostname; cat /proc/sys/kernel/domainname");
    bundle.config["hostname"] = json!("inside.example");
    bundle.config["domainname"] = json!("domain.example");
    assert_eq!(bundle.run().lines(), ["inside.example", "domain.example"]);
    assert_eq!(rustix::system::uname().nodename(), before.as_c_str());
}

#[test]
fn annotations_and_version_are_in_the_state() {
    let mut bundle = Bundle::sleeper();
    bundle.config["annotations"] = json!({"org.example/one": "1", "two": "a\nb"});
    bundle.config["ociVersion"] = json!("1.1.0");
    bundle.create().ok();
    let state = bundle.state();
    assert_eq!(state["annotations"], bundle.config["annotations"]);
    let version = state["ociVersion"].as_str().unwrap();
    assert!(version.starts_with("1."), "{version}");
}

#[test]
fn sysctls_are_set_in_the_containers_namespaces() {
    let mut bundle = Bundle::script(
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max \
         /proc/sys/net/ipv4/ip_local_port_range",
    );
    bundle.config["linux"]["sysctl"] = json!({
        "net.ipv4.ip_forward": "1", "kernel.shmmni": "777", "fs.mqueue.msg_max": "33",
        "net/ipv4/ip_local_port_range": "40000 50000"
    });
    assert_eq!(bundle.run().lines(), ["1", "777", "33", "40000\t50000"]);
}

#[test]
fn personality_is_set() {
    let mut bundle = Bundle::script("uname -m");
    bundle.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    assert_eq!(bundle.run().lines(), ["i686"]);
    bundle.config["linux"]["personality"] = json!({"domain": "LINUX"});
    assert_eq!(bundle.run().lines(), ["x86_64"]);
}

#[test]
fn personality_and_memory_policy_are_those_of_exec_too() {
    let mut bundle = Bundle::sleeper();
    bundle.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    bundle.config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0"});
    bundle.started();
    let script = "uname -m; head -n 1 /proc/self/numa_maps | cut -d ' ' -f 2";
    assert_eq!(bundle.exec(&["sh", "-c", script]).lines(), ["i686", "bind:0"]);
}

#[test]
fn memory_policy_is_set() {
    for (policy, shown) in [
        (json!({"mode": "MPOL_BIND", "nodes": "0"}), "bind:0"),
        (
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}),
            "bind=static:0",
        ),
        (json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}), "interleave:0"),
        (json!({"mode": "MPOL_DEFAULT"}), "default"),
        (json!({"mode": "MPOL_LOCAL"}), "local"),
    ] {
        let mut bundle = Bundle::new();
        bundle.config["process"]["args"] = json!(["head", "-1", "/proc/self/numa_maps"]);
        bundle.config["linux"]["memoryPolicy"] = policy;
        let ended = bundle.run();
        if ended.code() != 0 && ended.stderr().contains("not implemented") {
            println!("not tested: this machine's kernel has no NUMA support");
            ended.refused(&["linux.memoryPolicy"]);
            return;
        }
        let lines = ended.lines();
        assert!(lines[0].contains(shown), "{shown}: {lines:?}");
    }
}

#[test]
fn time_offsets_shift_the_clocks_of_a_time_namespace() {
    let mut bundle = Bundle::script("cat /proc/uptime /proc/self/timens_offsets");
    bundle.namespace("time", None);
    bundle.config["linux"]["timeOffsets"] = json!({
        "boottime": {"secs": 10_000_000, "nanosecs": 250_000_000},
        "monotonic": {"secs": 5_000_000, "nanosecs": 3}
    });
    let lines = bundle.run().lines();
    let uptime: f64 = lines[0].split(' ').next().unwrap().parse().unwrap();
    let host = std::fs::read_to_string("/proc/uptime").unwrap();
    let host: f64 = host.split(' ').next().unwrap().parse().unwrap();
    assert!((uptime - host - 10_000_000.25).abs() < 20.0, "{uptime} {host}");
    let offsets = lines[1..]
        .iter()
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" "));
    let offsets: Vec<_> = offsets.collect();
    assert_eq!(offsets, ["monotonic 5000000 3", "boottime 10000000 250000000"]);
}
