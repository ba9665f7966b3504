//! `state`: the OCI state of a container, as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use caisson_isolator::ContainerInfo;
use serde::Serialize;

use super::Command;
use crate::clock::rfc3339_nanos;
use crate::failure::CliError;
use crate::invocation::Invocation;
use crate::output;

pub(crate) const COMMAND: Command =
    Command::on_container("state", "print the state of a container as JSON", state);

/// The document, which `list` prints too. Order and names are runc's.
#[derive(Debug, Serialize)]
pub(super) struct StateDocument<'a> {
    #[serde(rename = "ociVersion")]
    pub(super) oci_version: &'a str,
    pub(super) id: &'a str,
    pub(super) pid: i32,
    pub(super) status: &'static str,
    pub(super) bundle: Cow<'a, str>,
    pub(super) rootfs: Cow<'a, str>,
    pub(super) created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: &'a BTreeMap<String, String>,
    /// Empty in `state`, a user's name in `list`.
    pub(super) owner: &'a str,
}

impl<'a> StateDocument<'a> {
    pub(super) fn new(info: &'a ContainerInfo, owner: &'a str) -> Self {
        Self {
            oci_version: &info.oci_version,
            id: info.id.as_str(),
            pid: info.pid,
            status: info.status.as_str(),
            bundle: info.bundle.to_string_lossy(),
            rootfs: info.rootfs.to_string_lossy(),
            created: rfc3339_nanos(info.created),
            annotations: &info.annotations,
            owner,
        }
    }
}

fn state(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    let container = invocation.container()?;
    let info = container.info()?;
    output::stdout(&output::pretty_json(&StateDocument::new(&info, ""), "  ")?)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    use caisson_isolator::{ContainerInfo, ContainerStatus};

    use super::StateDocument;
    use crate::output::{json_line, pretty_json};

    fn info() -> ContainerInfo {
        ContainerInfo {
            id: "c1".parse().unwrap(),
            status: ContainerStatus::Running,
            pid: 4242,
            bundle: "/bundles/one".into(),
            rootfs: "/bundles/one/rootfs".into(),
            created: SystemTime::UNIX_EPOCH + Duration::new(1_795_226_450, 120_340_000),
            owner_uid: 0,
            oci_version: "1.3.0".into(),
            annotations: BTreeMap::new(),
        }
    }

    /// The text that runc 1.5 prints for such a container.
    #[test]
    fn state_is_byte_for_byte_runcs() {
        let info = info();
        let text = pretty_json(&StateDocument::new(&info, ""), "  ").unwrap();
        let runc = r#"{
  "ociVersion": "1.3.0",
  "id": "c1",
  "pid": 4242,
  "status": "running",
  "bundle": "/bundles/one",
  "rootfs": "/bundles/one/rootfs",
  "created": "2026-11-21T02:00:50.12034Z",
  "owner": ""
}"#;
        assert_eq!(String::from_utf8(text).unwrap(), runc);
    }

    #[test]
    fn annotations_appear_when_there_are_some() {
        let mut info = info();
        info.annotations.insert("b".into(), "2".into());
        info.annotations.insert("a".into(), "1".into());
        let text = String::from_utf8(json_line(&[StateDocument::new(&info, "root")]).unwrap());
        assert_eq!(
            text.unwrap(),
            concat!(
                r#"[{"ociVersion":"1.3.0","id":"c1","pid":4242,"status":"running","#,
                r#""bundle":"/bundles/one","rootfs":"/bundles/one/rootfs","#,
                r#""created":"2026-11-21T02:00:50.12034Z","annotations":{"a":"1","b":"2"},"#,
                r#""owner":"root"}]"#,
                "\n"
            )
        );
    }
}
