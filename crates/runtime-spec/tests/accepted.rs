//! Unusual configurations that must be accepted, and what they warn of.

#![cfg(test)]

mod edit;

use caisson_runtime_spec::{SeccompFlag, Spec, template, validate, validate_rootless, warnings};
use edit::{FULL, edited};

fn accepted(edits: &[(&str, &str)]) -> Spec {
    let spec = Spec::from_slice(edited(edits).as_bytes()).unwrap();
    if let Err(error) = validate(&spec) {
        panic!("{edits:?}: {error}");
    }
    spec
}

#[test]
fn the_template_is_valid_and_free_of_warnings() {
    for cgroup_v2 in [false, true] {
        let spec = template::default_spec(cgroup_v2);
        validate(&spec).unwrap();
        assert_eq!(warnings(&spec), [""; 0]);
        let spec = template::rootless_spec(cgroup_v2, 1000, 1000);
        validate(&spec).unwrap();
        validate_rootless(&spec).unwrap();
    }
}

#[test]
fn null_and_empty_mean_absent() {
    let spec = accepted(&[
        ("/process/env", "null"),
        ("/process/terminal", "null"),
        ("/process/selinuxLabel", "\"\""),
        ("/process/capabilities/ambient", "null"),
        ("/hooks", "null"),
        ("/annotations", "null"),
        ("/mounts/0/options", "null"),
        ("/linux/rootfsPropagation", "\"\""),
        ("/linux/namespaces/0/path", "\"\""),
        ("/linux/resources/devices/0/type", "\"\""),
        ("/linux/sysctl", "null"),
        ("/linux/cgroupsPath", "\"\""),
    ]);
    let linux = spec.linux.unwrap();
    assert_eq!(linux.rootfs_propagation, None);
    assert_eq!(linux.namespaces[0].path, None);
    assert_eq!(linux.resources.unwrap().devices[0].kind, None);
    assert_eq!(spec.process.unwrap().selinux_label, None);
}

#[test]
fn unknown_fields_and_other_platforms_are_ignored() {
    accepted(&[
        ("/windows", r#"{"layerFolders":7}"#),
        ("/solaris", "[]"),
        ("/x-vendor", r#"{"deep":[1,{"a":null}]}"#),
        ("/process/commandLine", "1"),
        ("/process/user/username", "\"admin\""),
        ("/linux/resources/memory/future", "true"),
    ]);
}

#[test]
fn what_clients_write_is_accepted() {
    // containerd and CRI-O give path and mappings of a joined user namespace.
    let spec = accepted(&[("/linux/namespaces/5/path", "\"/proc/1/ns/user\"")]);
    assert!(warnings(&spec).iter().any(|line| line.starts_with("linux.uidMappings: ")));
    // docker leaves the file type in a device's mode.
    let spec = accepted(&[("/linux/devices/0/fileMode", "8630")]);
    assert_eq!(spec.linux.unwrap().devices[0].permissions(), 0o666);
    accepted(&[("/process", "")]);
    accepted(&[("/process/consoleSize", r#"{"height":0,"width":0}"#)]);
    accepted(&[(
        "/process/rlimits",
        r#"[{"type":"RLIMIT_CPU","hard":18446744073709551615,"soft":18446744073709551615}]"#,
    )]);
    accepted(&[("/linux/cgroupsPath", "\"system.slice:docker:1234\"")]);
    accepted(&[("/linux/resources/memory/limit", "0"), ("/linux/resources/memory/swap", "0")]);
    accepted(&[("/linux/resources/pids/limit", "-1")]);
    accepted(&[("/linux/sysctl/net~1ipv4~1ip_unprivileged_port_start", "\"0\"")]);
    accepted(&[("/linux/sysctl/kernel.domainname", "\"x\"")]);
}

#[test]
fn absent_and_empty_seccomp_flags_differ() {
    let spec = accepted(&[("/linux/seccomp/flags", "")]);
    let filter = spec.linux.unwrap().seccomp.unwrap();
    assert_eq!(filter.flags(), [SeccompFlag::SpecAllow]);
    let spec = accepted(&[("/linux/seccomp/flags", "[]")]);
    let filter = spec.linux.unwrap().seccomp.unwrap();
    assert_eq!(filter.flags(), []);
}

#[test]
fn what_is_ignored_is_warned_of() {
    let spec = accepted(&[
        ("/process/capabilities/bounding/2", "\"CAP_NEW\""),
        ("/process/capabilities/inheritable", ""),
        ("/mounts/0/destination", "\"proc\""),
    ]);
    let lines = warnings(&spec);
    for start in [
        "mounts[0].destination: \"proc\"",
        "process.capabilities.bounding: ignoring unknown \"CAP_NEW\"",
        "process.capabilities.ambient: ignoring CAP_KILL",
        "linux.personality.flags: ",
        "linux.resources.memory.kernel: ",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(start)), "{start}: {lines:#?}");
    }
}

#[test]
fn an_unknown_capability_survives_a_round_trip() {
    let spec = accepted(&[("/process/capabilities/bounding/2", "\"CAP_NEW\"")]);
    let again = Spec::from_slice(&serde_json::to_vec(&spec).unwrap()).unwrap();
    assert_eq!(again, spec);
}

/// Bytes of valid documents are changed at random: whatever comes out is
/// accepted or refused, within the type system.
#[test]
fn mutated_documents_never_panic() {
    let template = template::to_json(&template::default_spec(true)).unwrap();
    // xorshift64 with a fixed seed, so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let tokens: [&[u8]; 12] = [
        b"null",
        b"-1",
        b"1e999",
        b"\"\"",
        b"{}",
        b"[]",
        b"\\u0000",
        b"99999999999999999999",
        b",",
        b"\xff",
        b"/",
        b"true",
    ];
    let mut accepted = 0_u32;
    for original in [FULL.as_bytes(), &template] {
        for _ in 0..4000 {
            let mut bytes = original.to_vec();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                    1 => drop(bytes.remove(at)),
                    2 => drop(bytes.splice(at..at, tokens[random(tokens.len())].iter().copied())),
                    _ => {
                        let end = (at + 1 + random(8)).min(bytes.len());
                        drop(bytes.drain(at..end));
                    }
                }
            }
            if let Ok(spec) = Spec::from_slice(&bytes) {
                let lines = warnings(&spec);
                assert!(lines.iter().all(|line| !line.is_empty()));
                let _ = validate_rootless(&spec);
                accepted += u32::from(validate(&spec).is_ok());
                let again = Spec::from_slice(&serde_json::to_vec(&spec).unwrap()).unwrap();
                assert_eq!(again, spec);
            }
        }
    }
    // Most changes hit inside of strings, which must stay valid.
    assert!(accepted > 100, "only {accepted} documents were accepted");
}
