//! The other documents: state, the message to a seccomp agent, features,
//! `exec`'s process and `update`'s resources.

#![cfg(test)]

use caisson_runtime_spec::features::{Enabled, Features, LinuxFeatures, SeccompFeatures};
use caisson_runtime_spec::{
    ContainerProcessState, Process, Resources, SECCOMP_FD_NAME, State, Status, mount_options,
    validate_process, validate_resources,
};
use serde_json::json;

fn state() -> State {
    State {
        oci_version: "1.3.0".to_owned(),
        id: "one".to_owned(),
        status: Status::Created,
        pid: 7,
        bundle: "/bundle".to_owned(),
        annotations: [("a".to_owned(), "b".to_owned())].into(),
    }
}

#[test]
fn state_has_the_specified_names() {
    let expected = json!({
        "ociVersion": "1.3.0", "id": "one", "status": "created", "pid": 7, "bundle": "/bundle",
        "annotations": { "a": "b" }
    });
    assert_eq!(serde_json::to_value(state()).unwrap(), expected);
    assert_eq!(serde_json::from_value::<State>(expected).unwrap(), state());
    let stopped = State { pid: 0, status: Status::Stopped, ..state() };
    assert_eq!(serde_json::to_value(stopped).unwrap().get("pid"), None);
}

#[test]
fn agent_message_has_the_specified_names() {
    let message = ContainerProcessState {
        oci_version: "1.3.0".to_owned(),
        fds: vec![SECCOMP_FD_NAME.to_owned()],
        pid: 8,
        metadata: "m".to_owned(),
        state: state(),
    };
    let value = serde_json::to_value(&message).unwrap();
    assert_eq!(value["fds"], json!(["seccompFd"]));
    assert_eq!(value["pid"], 8);
    assert_eq!(value["metadata"], "m");
    assert_eq!(value["state"]["status"], "created");
}

#[test]
fn features_have_the_specified_names_and_omit_the_unknown() {
    let features = Features {
        oci_version_min: "1.0.0".to_owned(),
        oci_version_max: "1.3.0".to_owned(),
        mount_options: mount_options::known().map(str::to_owned).collect(),
        linux: Some(LinuxFeatures {
            seccomp: Some(SeccompFeatures {
                enabled: Some(true),
                known_flags: vec!["SECCOMP_FILTER_FLAG_LOG".to_owned()],
                ..SeccompFeatures::default()
            }),
            net_devices: Some(Enabled { enabled: Some(true) }),
            ..LinuxFeatures::default()
        }),
        ..Features::default()
    };
    let value = serde_json::to_value(&features).unwrap();
    assert_eq!(value["ociVersionMax"], "1.3.0");
    assert!(value["mountOptions"].as_array().unwrap().len() > 60);
    assert_eq!(value["linux"]["seccomp"]["knownFlags"][0], "SECCOMP_FILTER_FLAG_LOG");
    assert_eq!(value["linux"]["netDevices"]["enabled"], true);
    assert_eq!(value["linux"].get("cgroup"), None);
    assert_eq!(value.get("hooks"), None);
}

#[test]
fn a_process_document_is_named_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("process.json");
    std::fs::write(&path, r#"{"args":["sh"],"cwd":"x"}"#).unwrap();
    let process = Process::load(&path).unwrap();
    let error = validate_process(&process, "process.json").unwrap_err().to_string();
    assert_eq!(error, "process.json: cwd: \"x\" is not an absolute path");
    std::fs::write(&path, r#"{"args":"sh"}"#).unwrap();
    let error = Process::load(&path).unwrap_err().to_string();
    assert!(error.starts_with("process.json: args: invalid type"), "{error}");
}

#[test]
fn a_resources_document_is_named_in_errors() {
    let error = Resources::from_slice(br#"{"cpu":{"quota":"1"}}"#, "stdin").unwrap_err();
    assert!(error.to_string().starts_with("stdin: cpu.quota: invalid type"), "{error}");
    let resources = Resources::from_slice(br#"{"cpu":{"quota":1}}"#, "stdin").unwrap();
    let error = validate_resources(&resources, "stdin").unwrap_err().to_string();
    assert_eq!(error, "stdin: cpu.quota: 1 is below 1000 microseconds");
}
