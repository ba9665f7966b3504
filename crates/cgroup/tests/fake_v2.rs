//! What is written to v2 files, on a directory that stands in for a v2 tree:
//! hosts without v2 controllers can't show it otherwise. Device rules need the
//! real thing and are left out by being rootless. Needs root no more than a
//! temporary directory does.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use caisson_cgroup::{Cgroup, CgroupConfig, CgroupState, HierarchyState};
use caisson_runtime_spec::Resources;
use std::path::Path;

const FILES: [&str; 21] = [
    "cgroup.controllers",
    "cgroup.procs",
    "cgroup.freeze",
    "cpu.idle",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpuset.cpus",
    "cpuset.mems",
    "hugetlb.2MB.max",
    "hugetlb.2MB.rsvd.max",
    "io.max",
    "io.weight",
    "memory.current",
    "memory.high",
    "memory.low",
    "memory.max",
    "memory.oom.group",
    "memory.swap.max",
    "pids.max",
    "rdma.max",
];

fn fake() -> (tempfile::TempDir, Cgroup) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("c");
    std::fs::create_dir(&dir).unwrap();
    for file in FILES {
        std::fs::write(dir.join(file), "").unwrap();
    }
    std::fs::write(dir.join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
    std::fs::write(dir.join("memory.current"), "5000\n").unwrap();
    let state = CgroupState {
        root: root.path().to_owned(),
        unified: true,
        rootless: false,
        hierarchies: vec![HierarchyState {
            controllers: String::new(),
            mount: String::new(),
            path: "c".to_owned(),
        }],
        unit: None,
    };
    (root, Cgroup::open(&state).unwrap())
}

fn update(cgroup: &Cgroup, json: &str) -> Result<(), String> {
    let resources: Resources = serde_json::from_str(json).unwrap();
    cgroup.update(&resources).map_err(|error| error.to_string())
}

/// All files that have been written.
fn written(root: &Path) -> Vec<(String, String)> {
    let given = ["cgroup.controllers", "memory.current"];
    let mut all = Vec::new();
    for file in FILES.iter().filter(|file| !given.contains(file)) {
        let text = std::fs::read_to_string(root.join("c").join(file)).unwrap();
        if !text.is_empty() {
            all.push(((*file).to_owned(), text));
        }
    }
    all
}

fn expect(json: &str, expected: &[(&str, &str)]) {
    let (root, cgroup) = fake();
    update(&cgroup, json).unwrap();
    let expected: Vec<_> =
        expected.iter().map(|(f, v)| ((*f).to_owned(), (*v).to_owned())).collect();
    assert_eq!(written(root.path()), expected, "{json}");
}

#[test]
fn cpu() {
    expect(
        r#"{"cpu":{"shares":1024,"quota":50000,"period":100000,"burst":7,"idle":1,"cpus":"0-1","mems":"0"}}"#,
        &[
            ("cpu.idle", "1"),
            ("cpu.max", "50000 100000"),
            ("cpu.max.burst", "7"),
            ("cpu.weight", "100"),
            ("cpuset.cpus", "0-1"),
            ("cpuset.mems", "0"),
        ],
    );
    expect(r#"{"cpu":{"quota":-1}}"#, &[("cpu.max", "max 100000")]);
    expect(r#"{"cpu":{"period":5000}}"#, &[("cpu.max", "max 5000")]);
    expect(r#"{"cpu":{"shares":0,"quota":0,"realtimeRuntime":5}}"#, &[]);
}

#[test]
fn memory() {
    expect(
        r#"{"memory":{"limit":100,"swap":150,"reservation":50,"kernel":3,"swappiness":9}}"#,
        &[("memory.low", "50"), ("memory.max", "100"), ("memory.swap.max", "50")],
    );
    expect(r#"{"memory":{"limit":-1}}"#, &[("memory.max", "max"), ("memory.swap.max", "max")]);
    expect(
        r#"{"memory":{"limit":100,"swap":100}}"#,
        &[("memory.max", "100"), ("memory.swap.max", "0")],
    );
    let (root, cgroup) = fake();
    let check = r#"{"memory":{"limit":4999,"checkBeforeUpdate":true}}"#;
    let error = update(&cgroup, check).unwrap_err();
    assert_eq!(error, "linux.resources.memory.limit: rejecting memory limit 4999 <= usage 5000");
    assert!(written(root.path()).is_empty());
}

#[test]
fn others() {
    expect(
        r#"{"pids":{"limit":0},"hugepageLimits":[{"pageSize":"2MB","limit":4096}],
            "rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":4}},
            "blockIO":{"weight":100,"leafWeight":5,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":77}]}}"#,
        &[
            ("hugetlb.2MB.max", "4096"),
            ("hugetlb.2MB.rsvd.max", "4096"),
            ("io.max", "8:0 rbps=77"),
            ("io.weight", "910"),
            ("pids.max", "1"),
            ("rdma.max", "mlx5_1 hca_handle=3 hca_object=4"),
        ],
    );
    expect(r#"{"pids":{"limit":-1}}"#, &[("pids.max", "max")]);
}

#[test]
fn unified_map() {
    expect(
        r#"{"unified":{"memory.high":"1000","memory.oom.group":"1","io.max":"8:0 rbps=1\n8:16 rbps=2"}}"#,
        &[
            ("io.max", "8:0 rbps=1\n8:16 rbps=2"),
            ("memory.high", "1000"),
            ("memory.oom.group", "1"),
        ],
    );
    let (_root, cgroup) = fake();
    let error = |json| update(&cgroup, json).unwrap_err();
    assert!(error(r#"{"unified":{"../x":"1"}}"#).contains("no slashes"));
    assert!(error(r#"{"unified":{"nodot":"1"}}"#).contains("CONTROLLER.PARAMETER"));
    assert!(error(r#"{"unified":{"misc.max":"1"}}"#).contains("\"misc\" not available"));
    let message = error(r#"{"unified":{"memory.nothing":"1"}}"#);
    assert!(message.contains("memory.nothing") && message.contains("No such file"), "{message}");
}

#[test]
fn freezing_without_completion_is_undone() {
    let (root, cgroup) = fake();
    assert!(cgroup.freeze().is_err(), "there is no cgroup.events");
    assert_eq!(written(root.path()), [("cgroup.freeze".to_owned(), "0".to_owned())]);
}

/// As on a read-only mount, or as a user without delegation.
#[test]
fn rootless_without_permission() {
    let config = |path| CgroupConfig {
        id: "c",
        cgroups_path: path,
        driver: caisson_cgroup::Driver::Cgroupfs,
        rootless: true,
        scope_prefix: "caisson",
    };
    // mkdir in /sys/kernel is refused to everybody.
    let layout = || caisson_cgroup::Layout::unified_at(Path::new("/sys/kernel")).unwrap();
    let none = Cgroup::create_in(layout(), &config(None), None).unwrap();
    assert!(none.is_none());
    none.delete().unwrap();
    assert!(none.pids(true).unwrap().is_empty());
    assert!(none.joiner().unwrap().clone_into_fd().is_none());
    none.joiner().unwrap().join_self().unwrap();
    let limits: Resources = serde_json::from_str(r#"{"pids":{"limit":5}}"#).unwrap();
    assert!(none.update(&limits).unwrap_err().to_string().contains("pids.limit"));
    let error = Cgroup::create_in(layout(), &config(None), Some(&limits)).unwrap_err().to_string();
    assert!(error.contains("linux.resources.pids.limit"), "{error}");
    assert!(Cgroup::create_in(layout(), &config(Some("/x")), None).is_err());
}
