//! A `create` that fails, or is killed, at any step leaves nothing behind.
//!
//! The steps are the calls of `fault::point` in the engine's source; a new one
//! is tested without being listed here, and has to be reached.

#![cfg(test)]

mod bundle;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use bundle::{Bundle, Census, eventually};
use serde_json::json;

/// Names of all fault points.
fn points() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 10, "{found:?}");
    found
}

fn collect(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for call in text.split("fault::point(\"").skip(1) {
            found.insert(call.split('"').next().unwrap().to_owned());
        }
    }
}

type Variant = (&'static str, fn() -> Bundle);

/// Containers that between them reach every step.
fn variants() -> [Variant; 5] {
    [
        ("plain", plain),
        ("user namespace", in_user_namespace),
        ("joined", joined),
        ("shared pids", with_shared_pids),
        ("shared mounts", with_shared_mounts),
    ]
}

fn plain() -> Bundle {
    let mut bundle = Bundle::sleeper();
    let source = bundle.path().join("source");
    std::fs::create_dir(&source).unwrap();
    bundle.mount(json!({"destination": "/mnt", "source": source, "options": ["rbind", "ro"]}));
    let hook = json!([{"path": "/bin/true"}]);
    bundle.config["hooks"] = json!({"createRuntime": hook, "createContainer": hook});
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/kcore"]);
    bundle.config["linux"]["resources"] = json!({"pids": {"limit": 50}});
    bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    bundle
}

fn in_user_namespace() -> Bundle {
    let mut bundle = plain();
    bundle.user_namespace(200_000);
    bundle
}

/// Two processes make the container: one joins, the other is made.
fn joined() -> Bundle {
    let mut bundle = in_user_namespace();
    bundle.namespace("uts", Some("/proc/self/ns/uts"));
    bundle.config.as_object_mut().unwrap().remove("hostname");
    bundle
}

fn with_shared_pids() -> Bundle {
    let mut bundle = plain();
    bundle.without_namespace("pid");
    bundle
}

/// What is mounted is mounted on the host.
fn with_shared_mounts() -> Bundle {
    let mut bundle = plain();
    bundle.without_namespace("mount");
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    linux.remove("maskedPaths");
    bundle
}

#[test]
fn a_create_that_fails_leaves_nothing_and_says_one_line() {
    let mut unreached = points();
    for (name, make) in variants() {
        for point in points() {
            let mut bundle = make();
            bundle.env.push(("CAISSON_FAULT".to_owned(), point.clone()));
            let before = Census::take(&bundle);
            let ended = bundle.create();
            if ended.code() == 0 {
                continue;
            }
            unreached.remove(&point);
            ended.refused(&["injected fault", &point]);
            assert_eq!(Census::take(&bundle), before, "{name}: {point}");
        }
    }
    assert!(unreached.is_empty(), "no variant reaches {unreached:?}");
}

#[test]
fn a_run_that_fails_leaves_nothing() {
    for point in points() {
        let mut bundle = Bundle::new();
        bundle.env.push(("CAISSON_FAULT".to_owned(), point.clone()));
        let before = Census::take(&bundle);
        let ended = bundle.run();
        if ended.code() != 0 {
            ended.refused(&["injected fault", &point]);
        }
        assert_eq!(Census::take(&bundle), before, "{point}");
    }
}

/// What a killed `create` leaves, `delete --force` finds and removes.
#[track_caller]
fn assert_removable(bundle: &Bundle, before: &Census, what: &str) {
    if bundle.state_dir().exists() {
        bundle.call(&["delete", "--force", &bundle.id]).ok();
    }
    eventually(&format!("nothing left: {what}"), || Census::take(bundle) == *before);
    assert_eq!(Census::take(bundle), *before, "{what}");
}

#[test]
fn a_runtime_killed_at_any_step_of_its_own_leaves_what_delete_removes() {
    let mut killed = 0;
    for (name, make) in variants() {
        for point in points() {
            let mut bundle = make();
            bundle.env.push(("CAISSON_FAULT".to_owned(), format!("kill:{point}")));
            let before = Census::take(&bundle);
            let ended = bundle.create();
            if ended.code() == 128 + 9 {
                killed += 1;
                bundle.env.clear();
                assert_removable(&bundle, &before, &format!("{name}: kill at {point}"));
            }
        }
    }
    assert!(killed > 20, "only {killed} were killed");
}

#[test]
fn a_runtime_killed_while_the_first_process_is_at_any_step_leaves_what_delete_removes() {
    let mut lingered = 0;
    for (name, make) in variants() {
        for point in points() {
            let mut bundle = make();
            bundle.env.push(("CAISSON_FAULT".to_owned(), format!("linger:{point}")));
            let before = Census::take(&bundle);
            bundle.write_config();
            let said = bundle.path().join("said");
            let bundle_path = bundle.path().to_str().unwrap();
            let mut create = bundle.command(&["create", "--bundle", bundle_path, &bundle.id]);
            create.stdout(std::process::Stdio::null());
            create.stderr(std::fs::File::create(&said).unwrap());
            let mut child = create.spawn().unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            let reached = loop {
                if std::fs::read_to_string(&said).unwrap().contains("lingering") {
                    break true;
                }
                if child.try_wait().unwrap().is_some() {
                    break false;
                }
                assert!(Instant::now() < deadline, "{name}: hangs before {point}");
                std::thread::sleep(Duration::from_millis(1));
            };
            child.kill().unwrap();
            child.wait().unwrap();
            lingered += usize::from(reached);
            bundle.env.clear();
            assert_removable(&bundle, &before, &format!("{name}: lingering at {point}"));
        }
    }
    assert!(lingered > 30, "only {lingered} lingered");
}
