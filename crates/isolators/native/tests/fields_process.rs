//! `process` of `config.json`: user, environment, limits, capabilities,
//! scheduling. Each test looks at the effect, from inside or outside.

#![cfg(test)]

mod bundle;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use bundle::{Bundle, proc_field};
use serde_json::{Value, json};

const CHOWN: u64 = 1 << 0;
const KILL: u64 = 1 << 5;

fn status_of(bundle: &Bundle) -> String {
    bundle.run().ok().stdout()
}

fn set(status: &str, name: &str) -> u64 {
    u64::from_str_radix(&proc_field(status, name), 16).unwrap()
}

#[test]
fn args_and_env_arrive_as_given() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["args"] =
        json!(["sh", "-c", "echo \"$0|$1|$A|${B-unset}\"", "x y", ""]);
    bundle.config["process"]["env"] = json!(["PATH=/bin", "A=old", "B=", "A=new value"]);
    assert_eq!(bundle.run().lines(), ["x y||new value|"]);
}

#[test]
fn the_runtimes_environment_stays_outside() {
    let mut bundle = Bundle::new();
    bundle.env.push(("LEAK_OF_THE_RUNTIME".to_owned(), "1".to_owned()));
    bundle.config["process"]["args"] = json!(["env"]);
    bundle.config["process"]["env"] = json!(["PATH=/bin"]);
    let mut lines = bundle.run().lines();
    lines.sort();
    assert_eq!(lines, ["HOME=/root", "PATH=/bin"]);
}

#[test]
fn home_comes_from_the_containers_passwd() {
    for (uid, home) in [(0, "/root"), (1000, "/home/user"), (4711, "/")] {
        let mut bundle = Bundle::script("echo $HOME");
        bundle.config["process"]["user"] = json!({"uid": uid, "gid": 0});
        assert_eq!(bundle.run().lines(), [home]);
    }
    let mut bundle = Bundle::script("echo $HOME");
    bundle.config["process"]["env"] = json!(["PATH=/bin", "HOME=/own"]);
    assert_eq!(bundle.run().lines(), ["/own"]);
}

#[test]
fn cwd_is_entered_and_made_if_missing() {
    let mut bundle = Bundle::script("pwd; stat -c '%a %u' .");
    bundle.config["process"]["cwd"] = json!("/made/for/this");
    assert_eq!(bundle.run().lines(), ["/made/for/this", "755 0"]);
    bundle.config["process"]["cwd"] = json!("/made/before/that");
    bundle.config["root"]["readonly"] = json!(true);
    assert_eq!(bundle.run().lines(), ["/made/before/that", "755 0"]);
}

#[test]
fn a_cwd_that_only_the_user_may_enter_is_entered_by_the_user() {
    let mut bundle = Bundle::script("pwd");
    let dir = bundle.rootfs().join("private");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&dir, Some(1000), Some(1000)).unwrap();
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    bundle.config["process"]["cwd"] = json!("/private");
    assert_eq!(bundle.run().lines(), ["/private"]);
}

#[test]
fn user_groups_and_umask_are_taken() {
    let mut bundle = Bundle::script("id -u; id -g; id -G; umask; cat /proc/self/status");
    bundle.config["process"]["user"] =
        json!({"uid": 1000, "gid": 2000, "additionalGids": [3000, 4000], "umask": 0o27});
    let lines = bundle.run().lines();
    assert_eq!(lines[..4], ["1000", "2000", "2000 3000 4000", "0027"]);
    let status = lines.join("\n");
    assert_eq!(proc_field(&status, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(proc_field(&status, "Gid"), "2000\t2000\t2000\t2000");
    assert_eq!(proc_field(&status, "Groups"), "3000 4000");
}

#[test]
fn without_additional_groups_and_umask_there_are_none_of_the_runtimes() {
    let bundle = Bundle::script("umask; cat /proc/self/status");
    let lines = bundle.run().lines();
    assert_eq!(lines[0], "0022");
    assert_eq!(proc_field(&lines.join("\n"), "Groups"), "");
}

#[test]
fn root_gets_the_bounding_set_or_without_new_privileges_the_permitted_one() {
    for (no_new, permitted) in [(false, CHOWN | KILL), (true, KILL)] {
        let mut bundle = Bundle::script("cat /proc/self/status");
        bundle.config["process"]["noNewPrivileges"] = json!(no_new);
        bundle.config["process"]["capabilities"] = json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL"],
            "permitted": ["CAP_KILL"],
            "effective": ["CAP_KILL"],
            "inheritable": ["CAP_CHOWN"],
        });
        let status = status_of(&bundle);
        assert_eq!(set(&status, "CapBnd"), CHOWN | KILL);
        assert_eq!(set(&status, "CapInh"), CHOWN);
        assert_eq!(set(&status, "CapPrm"), permitted);
        assert_eq!(set(&status, "CapEff"), permitted);
        assert_eq!(set(&status, "CapAmb"), 0);
    }
}

#[test]
fn ambient_capabilities_reach_a_user_that_is_not_root() {
    let mut bundle = Bundle::script("cat /proc/self/status");
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    bundle.capabilities(&["CAP_KILL", "CAP_CHOWN"]);
    // Ambient needs permitted: CHOWN is dropped, as by runc.
    bundle.config["process"]["capabilities"]["permitted"] = json!(["CAP_KILL"]);
    bundle.config["process"]["capabilities"]["effective"] = json!(["CAP_KILL"]);
    let status = status_of(&bundle);
    assert_eq!(set(&status, "CapAmb"), KILL);
    assert_eq!(set(&status, "CapPrm"), KILL);
    assert_eq!(set(&status, "CapEff"), KILL);
    assert_eq!(set(&status, "CapInh"), KILL | CHOWN);
    assert_eq!(set(&status, "CapBnd"), KILL | CHOWN);
}

#[test]
fn without_capabilities_there_are_none() {
    for sets in [json!({}), Value::Null] {
        let mut bundle = Bundle::script("cat /proc/self/status");
        bundle.config["process"]["capabilities"] = sets;
        let status = status_of(&bundle);
        for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(set(&status, name), 0, "{name}");
        }
    }
}

/// What is effective shows at execve itself: it then decides whether a file
/// may be executed.
#[test]
fn the_effective_set_is_in_effect_at_execve() {
    for (effective, fine) in [(json!(["CAP_DAC_OVERRIDE"]), true), (json!([]), false)] {
        let mut bundle = Bundle::new();
        std::fs::create_dir(bundle.rootfs().join("guarded")).unwrap();
        let program = bundle.rootfs().join("guarded/true");
        std::fs::copy("/bin/busybox", &program).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
        bundle.config["process"]["args"] = json!(["/guarded/true"]);
        bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        bundle.config["process"]["capabilities"] = json!({
            "bounding": ["CAP_DAC_OVERRIDE"],
            "permitted": ["CAP_DAC_OVERRIDE"],
            "effective": effective,
        });
        let ended = bundle.run();
        if fine {
            ended.ok();
        } else {
            ended.refused(&["/guarded/true", "permission denied"]);
        }
    }
}

#[test]
fn no_new_privileges_is_as_said() {
    for wanted in [true, false] {
        let mut bundle = Bundle::script("cat /proc/self/status");
        bundle.config["process"]["noNewPrivileges"] = json!(wanted);
        let status = status_of(&bundle);
        assert_eq!(proc_field(&status, "NoNewPrivs"), if wanted { "1" } else { "0" });
    }
}

#[test]
fn oom_score_adj_is_set() {
    let mut bundle = Bundle::script("cat /proc/self/oom_score_adj");
    bundle.config["process"]["oomScoreAdj"] = json!(321);
    assert_eq!(bundle.run().lines(), ["321"]);
    let mut bundle = Bundle::sleeper();
    bundle.config["process"]["oomScoreAdj"] = json!(321);
    bundle.started();
    assert_eq!(bundle.exec(&["cat", "/proc/self/oom_score_adj"]).lines(), ["321"]);
}

/// As where the runtime has no right to lower it: `create` bears with that.
#[test]
fn exec_bears_with_an_oom_score_that_create_bore_with() {
    let mut bundle = Bundle::sleeper();
    bundle.user_namespace(200_000);
    bundle.config["process"]["oomScoreAdj"] = json!(-500);
    bundle.started();
    bundle.exec(&["true"]).ok();
}

#[test]
fn an_oom_score_that_may_not_be_given_is_refused_by_name() {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    if set(&own, "CapEff") & (1 << 24) != 0 {
        println!("not tested: this machine's root has CAP_SYS_RESOURCE");
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["process"]["oomScoreAdj"] = json!(-500);
    bundle.run().refused(&["process.oomScoreAdj", "-500", "CAP_SYS_RESOURCE"]);
}

#[test]
fn every_kind_of_rlimit_is_set() {
    let kinds = [
        ("CPU", "Max cpu time", 100),
        ("FSIZE", "Max file size", 2_000_000),
        ("DATA", "Max data size", 400_000_000),
        ("STACK", "Max stack size", 4_000_000),
        ("CORE", "Max core file size", 4096),
        ("RSS", "Max resident set", 400_000_000),
        ("NPROC", "Max processes", 4000),
        ("NOFILE", "Max open files", 64),
        ("MEMLOCK", "Max locked memory", 65536),
        ("AS", "Max address space", 800_000_000),
        ("LOCKS", "Max file locks", 100),
        ("SIGPENDING", "Max pending signals", 200),
        ("MSGQUEUE", "Max msgqueue size", 8000),
        ("NICE", "Max nice priority", 0),
        ("RTPRIO", "Max realtime priority", 0),
        ("RTTIME", "Max realtime timeout", 5_000_000),
    ];
    let mut bundle = Bundle::script("cat /proc/self/limits");
    bundle.config["process"]["rlimits"] = kinds
        .iter()
        .map(|(kind, _, hard)| json!({"type": format!("RLIMIT_{kind}"), "soft": hard / 2, "hard": hard}))
        .collect();
    let limits = bundle.run().ok().stdout();
    for (_, name, hard) in kinds {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let values: Vec<&str> = line[name.len()..].split_whitespace().take(2).collect();
        assert_eq!(values, [(hard / 2).to_string(), hard.to_string()], "{line}");
    }
}

#[test]
fn an_rlimit_above_the_runtimes_own_is_refused_by_name() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["rlimits"] =
        json!([{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1_u64 << 40}]);
    bundle.run().refused(&["RLIMIT_NOFILE"]);
}

/// Fewer descriptors than the runtime itself has open are no obstacle to it.
#[test]
fn three_descriptors_are_enough() {
    let mut bundle = Bundle::script("ulimit -n");
    bundle.config["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 3}]);
    assert_eq!(bundle.run().ok().stdout(), "3\n");
}

/// Policy and attributes of a created container's first process, by chrt(1).
fn scheduling(scheduler: Value) -> String {
    let mut bundle = Bundle::sleeper();
    // Where real-time scheduling is divided among cgroups, none has any at first.
    if scheduler["priority"] != Value::Null {
        bundle.config["linux"]["resources"] =
            json!({"cpu": {"realtimePeriod": 1_000_000, "realtimeRuntime": 20_000}});
    }
    bundle.config["process"]["scheduler"] = scheduler;
    bundle.started();
    let shown = Command::new("chrt").args(["-p", &bundle.pid().to_string()]).output().unwrap();
    String::from_utf8(shown.stdout).unwrap()
}

#[test]
fn scheduler_policy_nice_and_flags_are_set() {
    let shown = scheduling(json!({"policy": "SCHED_BATCH", "nice": 7}));
    assert!(shown.contains("SCHED_BATCH"), "{shown}");
    let shown = scheduling(json!({"policy": "SCHED_IDLE"}));
    assert!(shown.contains("SCHED_IDLE"), "{shown}");
    let shown = scheduling(json!({
        "policy": "SCHED_OTHER", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]
    }));
    assert!(shown.contains("SCHED_OTHER|SCHED_RESET_ON_FORK"), "{shown}");
    let mut bundle = Bundle::script("cut -d' ' -f19 /proc/1/stat");
    bundle.config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 7});
    assert_eq!(bundle.run().lines(), ["7"]);
}

#[test]
fn realtime_priority_is_set() {
    let shown = scheduling(json!({"policy": "SCHED_FIFO", "priority": 12}));
    assert!(shown.contains("SCHED_FIFO") && shown.contains("priority: 12"), "{shown}");
    let shown = scheduling(json!({"policy": "SCHED_RR", "priority": 3}));
    assert!(shown.contains("SCHED_RR") && shown.contains("priority: 3"), "{shown}");
}

#[test]
fn deadline_parameters_are_set() {
    // A deadline task may not fork unless it resets.
    let shown = scheduling(json!({
        "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 20_000_000,
        "period": 30_000_000, "flags": ["SCHED_FLAG_RESET_ON_FORK"]
    }));
    assert!(shown.contains("SCHED_DEADLINE"), "{shown}");
    assert!(shown.contains("1000000/20000000/30000000"), "{shown}");
}

#[test]
fn io_priority_is_set() {
    for (class, priority, shown) in [
        ("IOPRIO_CLASS_BE", 6, "best-effort: prio 6"),
        ("IOPRIO_CLASS_RT", 2, "realtime: prio 2"),
        ("IOPRIO_CLASS_IDLE", 0, "idle"),
    ] {
        let mut bundle = Bundle::sleeper();
        bundle.config["process"]["ioPriority"] = json!({"class": class, "priority": priority});
        bundle.started();
        let pid = bundle.pid().to_string();
        let output = Command::new("ionice").args(["-p", &pid]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), shown);
    }
}

#[test]
fn labels_of_security_modules_the_host_lacks_are_refused() {
    let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
    if enabled.is_ok_and(|text| text.starts_with(b"Y")) {
        println!("not tested: this machine has AppArmor");
    } else {
        let mut bundle = Bundle::new();
        bundle.config["process"]["apparmorProfile"] = json!("some-profile");
        bundle.run().refused(&["process.apparmorProfile", "AppArmor"]);
    }
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        println!("not tested: this machine has SELinux");
    } else {
        let mut bundle = Bundle::new();
        bundle.config["process"]["selinuxLabel"] = json!("system_u:system_r:container_t:s0");
        bundle.run().refused(&["process.selinuxLabel", "SELinux"]);
    }
}

#[test]
fn exec_binds_to_the_cpus_it_is_told() {
    let cpus = std::thread::available_parallelism().unwrap().get();
    if cpus < 2 {
        println!("not tested: this machine has one CPU");
        return;
    }
    let bundle = Bundle::sleeper();
    bundle.started();
    let allowed = |affinity: Value| {
        let file = bundle.path().join("process.json");
        let process = json!({"args": ["grep", "Cpus_allowed_list", "/proc/self/status"],
            "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
            "execCPUAffinity": affinity});
        std::fs::write(&file, process.to_string()).unwrap();
        let ended = bundle.call(&["exec", "-p", file.to_str().unwrap(), &bundle.id]);
        proc_field(&ended.ok().stdout(), "Cpus_allowed_list")
    };
    assert_eq!(allowed(json!({"final": "1"})), "1");
    assert_eq!(allowed(json!({"initial": "0", "final": "0-1"})), "0-1");
    assert_ne!(allowed(json!({"initial": "1"})), "1", "it holds until the cgroup is joined only");
}

/// The CPU that the runtime is on when the process is made: it says so by
/// being refused.
#[test]
fn an_initial_affinity_without_cpus_is_refused_by_name() {
    let bundle = Bundle::sleeper();
    bundle.started();
    for (field, affinity) in
        [("initial", json!({"initial": "1000"})), ("final", json!({"final": "1000"}))]
    {
        let file = bundle.path().join("process.json");
        let process = json!({"args": ["true"], "cwd": "/", "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0}, "execCPUAffinity": affinity});
        std::fs::write(&file, process.to_string()).unwrap();
        let said = bundle.call(&["exec", "-p", file.to_str().unwrap(), &bundle.id]).fails(255);
        assert!(said.contains("execCPUAffinity") && said.contains(field), "{said}");
    }
}
