//! CDI: devices that a vendor describes in a file, by a name such as
//! `vendor.com/gpu=0` (container-device-interface, SPEC.md).
//!
//! The files are the administrator's: they name paths of the host. They are
//! still read with limits.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::pods::PodError;

/// Where descriptions lie; later folders win.
pub(super) const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// Longest file that is read, bytes.
const SIZE_LIMIT: u64 = 16 << 20;

/// A file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    cdi_version: String,
    kind: String,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    name: String,
    #[serde(default)]
    container_edits: Edits,
}

/// What a device needs of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Edits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<Node>,
    pub(super) hooks: Vec<Hook>,
    pub(super) mounts: Vec<CdiMount>,
    pub(super) additional_gids: Vec<u32>,
    pub(super) intel_rdt: Option<serde_json::Value>,
    pub(super) net_devices: Vec<NetDevice>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Node {
    pub(super) path: String,
    pub(super) host_path: Option<String>,
    pub(super) r#type: Option<String>,
    pub(super) major: Option<i64>,
    pub(super) minor: Option<i64>,
    pub(super) file_mode: Option<u32>,
    pub(super) permissions: Option<String>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Hook {
    pub(super) hook_name: String,
    pub(super) path: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) timeout: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CdiMount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    pub(super) r#type: Option<String>,
    pub(super) options: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NetDevice {
    pub(super) host_interface_name: String,
    pub(super) name: String,
}

/// What the devices of these names need, in their order; what a file says for
/// all of its devices comes once, first.
pub(super) fn edits(folders: &[&str], names: &[String]) -> Result<Vec<Edits>, PodError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let read = read_all(folders);
    let mut common = BTreeSet::new();
    let mut list = Vec::new();
    for name in names {
        let invalid =
            |reason: String| PodError::invalid("cdi_devices", format!("{name}: {reason}"));
        let Some((kind, device)) = name.split_once('=') else {
            return Err(invalid("a name is vendor.com/class=device".to_owned()));
        };
        let found = read.files.iter().rev().find_map(|(path, file)| {
            let device = file.devices.iter().find(|d| d.name == device)?;
            (file.kind == kind).then_some((path, file, device))
        });
        let Some((path, file, device)) = found else {
            let mut reason = format!("is in no description in {}", folders.join(" or "));
            for trouble in &read.troubles {
                reason += &format!("; {trouble}");
            }
            return Err(invalid(reason));
        };
        if common.insert(path.clone()) {
            list.push(file.container_edits.clone());
        }
        list.push(device.container_edits.clone());
    }
    Ok(list)
}

struct ReadFiles {
    files: Vec<(PathBuf, File)>,
    /// Why others could not be used.
    troubles: Vec<String>,
}

fn read_all(folders: &[&str]) -> ReadFiles {
    let mut read = ReadFiles { files: Vec::new(), troubles: Vec::new() };
    for folder in folders {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => match read_one(&path) {
                    Ok(file) => read.files.push((path, file)),
                    Err(why) => read.troubles.push(format!("{}: {why}", path.display())),
                },
                Some("yaml" | "yml") => read
                    .troubles
                    .push(format!("{}: YAML is not read, write it as JSON", path.display())),
                _ => {}
            }
        }
    }
    read
}

fn read_one(path: &Path) -> Result<File, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut text = String::new();
    file.take(SIZE_LIMIT).read_to_string(&mut text).map_err(|e| e.to_string())?;
    let file: File = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let version = file.cdi_version.split('.').next().unwrap_or_default();
    if !matches!(version, "0" | "1") {
        return Err(format!("version {} is not known", file.cdi_version));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_found_and_what_is_common_comes_once() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(
            temp.path().join("a.json"),
            r#"{"cdiVersion":"0.6.0","kind":"v.com/gpu",
                "containerEdits":{"env":["ALL=1"]},
                "devices":[{"name":"0","containerEdits":{"env":["ZERO=1"]}},
                           {"name":"1","containerEdits":{"env":["ONE=1"]}}]}"#,
        )
        .unwrap();
        std::fs::write(temp.path().join("b.yaml"), "cdiVersion: 0.6.0").unwrap();
        std::fs::write(temp.path().join("c.json"), "{").unwrap();
        let folders = [temp.path().to_str().unwrap()];
        let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let found = edits(&folders, &names(&["v.com/gpu=1", "v.com/gpu=0"])).unwrap();
        let env: Vec<&str> = found.iter().flat_map(|e| &e.env).map(String::as_str).collect();
        assert_eq!(env, ["ALL=1", "ONE=1", "ZERO=1"]);
        let error = edits(&folders, &names(&["v.com/gpu=9"])).unwrap_err().to_string();
        assert!(error.contains("b.yaml") && error.contains("c.json"), "{error}");
        assert!(edits(&folders, &names(&["gpu"])).is_err());
        assert!(edits(&["/no/such"], &[]).unwrap().is_empty());
    }
}
