//! `features`, and what runc announces that this runtime does not.

#![cfg(test)]

mod bundle;

use std::path::{Path, PathBuf};
use std::process::Command;

use bundle::RUNTIME;
use serde_json::{Value, json};

fn features(program: &Path) -> Value {
    let output = Command::new(program).arg("features").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn ours() -> Value {
    features(Path::new(RUNTIME))
}

#[test]
fn the_document_is_complete() {
    let ours = ours();
    assert_eq!(ours["ociVersionMin"], "1.0.0");
    assert_eq!(ours["ociVersionMax"], "1.3.0");
    for list in [
        "/hooks",
        "/mountOptions",
        "/linux/namespaces",
        "/linux/capabilities",
        "/linux/seccomp/actions",
        "/linux/seccomp/operators",
        "/linux/seccomp/archs",
        "/linux/seccomp/knownFlags",
        "/linux/seccomp/supportedFlags",
        "/linux/memoryPolicy/modes",
        "/linux/memoryPolicy/flags",
    ] {
        let values = ours.pointer(list).and_then(Value::as_array);
        let values = values.unwrap_or_else(|| panic!("{list} is missing"));
        assert!(!values.is_empty(), "{list} is empty");
        let mut names: Vec<_> = values.iter().map(|name| name.as_str().unwrap()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), values.len(), "{list} repeats itself");
    }
    for switch in [
        "/linux/cgroup/v1",
        "/linux/cgroup/v2",
        "/linux/cgroup/systemd",
        "/linux/cgroup/systemdUser",
        "/linux/cgroup/rdma",
        "/linux/seccomp/enabled",
        "/linux/apparmor/enabled",
        "/linux/selinux/enabled",
        "/linux/intelRdt/enabled",
        "/linux/intelRdt/schemata",
        "/linux/intelRdt/monitoring",
        "/linux/mountExtensions/idmap/enabled",
        "/linux/netDevices/enabled",
    ] {
        assert_eq!(ours.pointer(switch), Some(&json!(true)), "{switch}");
    }
}

#[test]
fn kernel_flags_of_seccomp_are_a_part_of_the_known_ones() {
    let ours = ours();
    let known = ours["linux"]["seccomp"]["knownFlags"].as_array().unwrap();
    let supported = ours["linux"]["seccomp"]["supportedFlags"].as_array().unwrap();
    assert!(supported.iter().all(|flag| known.contains(flag)), "{supported:?}");
    // Linux 3.17; every kernel that runs this has it.
    assert!(supported.contains(&json!("SECCOMP_FILTER_FLAG_TSYNC")), "{supported:?}");
}

/// What some runc announces and this runtime does not, with the reason.
const LACKING: [(&str, Option<&str>, &str); 9] = [
    (
        "/annotations/io.github.seccomp.libseccomp.version",
        None,
        "filters are made without libseccomp",
    ),
    ("/annotations/org.opencontainers.runc.checkpoint.enabled", None, "no checkpoints (CRIU) yet"),
    ("/annotations/org.opencontainers.runc.commit", None, "this is not runc"),
    ("/annotations/org.opencontainers.runc.version", None, "this is not runc"),
    ("/annotations/org.openSUSE.libpathrs.version", None, "paths are resolved without libpathrs"),
    (
        "/mountOptions",
        Some("acl"),
        "POSIX ACLs are no mount(2) flag since Linux 2.6; runc 1.2 dropped it",
    ),
    ("/mountOptions", Some("noacl"), "as acl"),
    ("/potentiallyUnsafeConfigAnnotations", Some("bundle"), "the annotation has no effect here"),
    ("/potentiallyUnsafeConfigAnnotations", Some("org.criu.config"), "no checkpoints (CRIU) yet"),
];

/// Walks all that `theirs` says; what `ours` does not say as well is a pair of
/// its place and, in lists, the member.
fn differences(
    theirs: &Value,
    ours: Option<&Value>,
    at: &str,
    found: &mut Vec<(String, Option<String>)>,
) {
    match (theirs, ours) {
        (Value::Object(theirs), _) => {
            for (name, value) in theirs {
                differences(
                    value,
                    ours.and_then(|ours| ours.get(name)),
                    &format!("{at}/{name}"),
                    found,
                );
            }
        }
        (Value::Array(theirs), _) => {
            let ours = ours.and_then(Value::as_array).cloned().unwrap_or_default();
            let missing = theirs.iter().filter(|member| !ours.contains(member));
            found.extend(missing.map(|name| (at.to_owned(), name.as_str().map(str::to_owned))));
        }
        (theirs, Some(ours)) if theirs == ours => {}
        // An older runtime knows an older specification.
        (Value::String(theirs), Some(Value::String(ours)))
            if at == "/ociVersionMax" && theirs.trim_end_matches("-dev") <= ours.as_str() => {}
        _ => found.push((at.to_owned(), None)),
    }
}

#[test]
fn all_that_runc_announces_is_announced_or_lacking_for_a_reason() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let peers = [repository.join(".cache/peers/bin/runc"), PathBuf::from("/usr/sbin/runc")];
    let ours = ours();
    let mut compared = 0;
    for runc in peers.iter().filter(|path| path.exists()) {
        let mut found = Vec::new();
        differences(&features(runc), Some(&ours), "", &mut found);
        found.retain(|(at, member)| {
            !LACKING.iter().any(|(place, name, _)| place == at && *name == member.as_deref())
        });
        assert!(found.is_empty(), "{} announces {found:?}", runc.display());
        compared += 1;
    }
    if compared == 0 {
        println!("NOT TESTED: no runc to compare with at {peers:?} (conformance/peers/install.sh)");
    }
}
