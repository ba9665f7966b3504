//! A file of CDI, as JSON or YAML.
//!
//! It is the administrator's: it names paths of the host. It is still read with
//! limits, and nothing in it is passed over: what is not known is refused.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Longest file that is read, bytes.
const SIZE_LIMIT: u64 = 16 << 20;

/// The versions of the specification.
const VERSIONS: [&str; 10] =
    ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];

/// A file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    cdi_version: String,
    pub(super) kind: String,
    #[serde(default)]
    annotations: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    pub(super) devices: Vec<Device>,
    #[serde(default)]
    pub(super) container_edits: Edits,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Device {
    pub(super) name: String,
    #[serde(default)]
    annotations: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    pub(super) container_edits: Edits,
}

/// What a device needs of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Edits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<Node>,
    pub(super) hooks: Vec<Hook>,
    pub(super) mounts: Vec<CdiMount>,
    pub(super) additional_gids: Vec<u32>,
    pub(super) intel_rdt: Option<Rdt>,
    pub(super) net_devices: Vec<NetDevice>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
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
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Hook {
    pub(super) hook_name: String,
    pub(super) path: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) timeout: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct CdiMount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    pub(super) r#type: Option<String>,
    pub(super) options: Vec<String>,
}

/// Intel's Resource Director Technology.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Rdt {
    #[serde(rename = "closID")]
    pub(super) clos_id: Option<String>,
    pub(super) l3_cache_schema: Option<String>,
    pub(super) mem_bw_schema: Option<String>,
    pub(super) schemata: Vec<String>,
    pub(super) enable_monitoring: bool,
    /// Of versions before 1.1.0.
    #[serde(rename = "enableCMT")]
    pub(super) enable_cmt: bool,
    /// Of versions before 1.1.0.
    #[serde(rename = "enableMBM")]
    pub(super) enable_mbm: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct NetDevice {
    pub(super) host_interface_name: String,
    pub(super) name: String,
}

/// Reads a file; what is wrong with it.
pub(super) fn read(path: &Path) -> Result<File, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut text = String::new();
    file.take(SIZE_LIMIT + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if u64::try_from(text.len()).is_ok_and(|length| length > SIZE_LIMIT) {
        return Err(format!("it is longer than {SIZE_LIMIT} bytes"));
    }
    let file: File = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|e| e.to_string())?,
        _ => {
            let options = serde_saphyr::options! {
                // As the libraries of Go read it: modes are written so.
                legacy_octal_numbers: true,
                with_snippet: false,
            };
            serde_saphyr::from_str_with_options(&text, options).map_err(|e| e.to_string())?
        }
    };
    file.check()?;
    Ok(file)
}

impl File {
    fn check(&self) -> Result<(), String> {
        let place = |version: &str| VERSIONS.iter().position(|known| *known == version);
        let Some(version) = place(&self.cdi_version) else {
            return Err(format!("cdiVersion {:?} is not known", self.cdi_version));
        };
        if let Some((needs, what)) = self.needs()
            && place(needs) > Some(version)
        {
            return Err(format!(
                "cdiVersion {} has no {what}: that came with {needs}",
                self.cdi_version
            ));
        }
        let named = |name: &str, more: &[u8]| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
            let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = name.as_bytes();
            bytes.iter().all(|byte| inner(*byte)) && end(bytes.first()) && end(bytes.last())
        };
        match self.kind.split_once('/') {
            Some((vendor, class)) if named(vendor, b"-_.") && named(class, b"-_.") => {}
            _ => return Err(format!("kind {:?} is no vendor.com/class", self.kind)),
        }
        match self.devices.iter().find(|device| !named(&device.name, b"-_.:")) {
            Some(device) => Err(format!("no device may be called {:?}", device.name)),
            None => Ok(()),
        }
    }

    /// The oldest version that has all that is in it, and what of it is as young.
    fn needs(&self) -> Option<(&'static str, &'static str)> {
        let all = || {
            let devices = self.devices.iter().map(|device| &device.container_edits);
            devices.chain([&self.container_edits])
        };
        let any = |has: &dyn Fn(&Edits) -> bool| all().any(has);
        let young_rdt = |rdt: &Rdt| rdt.enable_monitoring || !rdt.schemata.is_empty();
        let digit = |name: &str| name.starts_with(|first: char| first.is_ascii_digit());
        let has_annotations = !self.annotations.is_empty()
            || self.devices.iter().any(|device| !device.annotations.is_empty());
        let class_has_dot = self.kind.split_once('/').is_some_and(|(_, class)| class.contains('.'));
        [
            ("1.1.0", "netDevices", any(&|edits| !edits.net_devices.is_empty())),
            (
                "1.1.0",
                "intelRdt.schemata and enableMonitoring",
                any(&|edits| edits.intel_rdt.as_ref().is_some_and(young_rdt)),
            ),
            ("0.7.0", "intelRdt", any(&|edits| edits.intel_rdt.is_some())),
            ("0.7.0", "additionalGids", any(&|edits| !edits.additional_gids.is_empty())),
            ("0.6.0", "annotations", has_annotations),
            ("0.6.0", "dot in a class", class_has_dot),
            (
                "0.5.0",
                "hostPath of device nodes",
                any(&|edits| edits.device_nodes.iter().any(|node| node.host_path.is_some())),
            ),
            (
                "0.5.0",
                "devices whose names begin with digits",
                self.devices.iter().any(|device| digit(&device.name)),
            ),
            (
                "0.4.0",
                "type of mounts",
                any(&|edits| edits.mounts.iter().any(|mount| mount.r#type.is_some())),
            ),
        ]
        .into_iter()
        .find_map(|(version, what, has)| has.then_some((version, what)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<File, String> {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = "---\ncdiVersion: 0.5.0\nkind: v.com/gpu\ncontainerEdits:\n  env:\n  - A=1\n\
                    devices:\n- name: \"0\"\n  containerEdits:\n    deviceNodes:\n    \
                    - path: /dev/mine\n      hostPath: /dev/null\n      fileMode: 0660\n      \
                    permissions: rw\n    hooks:\n    - hookName: createContainer\n      \
                    path: /bin/x\n      args: [x, --flag]\n";
        let json = r#"{"cdiVersion": "0.5.0", "kind": "v.com/gpu", "containerEdits": {"env": ["A=1"]},
            "devices": [{"name": "0", "containerEdits": {
                "deviceNodes": [{"path": "/dev/mine", "hostPath": "/dev/null", "fileMode": 432,
                    "permissions": "rw"}],
                "hooks": [{"hookName": "createContainer", "path": "/bin/x",
                    "args": ["x", "--flag"]}]}}]}"#;
        let read = ["a.yaml", "a.yml"].map(|name| format!("{:?}", read_text(name, yaml).unwrap()));
        let expected = format!("{:?}", read_text("a.json", json).unwrap());
        assert_eq!(read, [expected.as_str(), expected.as_str()]);
    }

    #[test]
    fn what_is_not_known_or_not_of_the_version_is_refused() {
        let edits = |version: &str, edits: &str| {
            let device = format!(r#"{{"name": "d", "containerEdits": {edits}}}"#);
            format!(r#"{{"cdiVersion": "{version}", "kind": "v.com/x", "devices": [{device}]}}"#)
        };
        for (text, word) in [
            (edits("1.1.0", r#"{"magic": 1}"#), "magic"),
            (edits("9.0.0", "{}"), "9.0.0"),
            (
                edits("1.0.0", r#"{"netDevices": [{"hostInterfaceName": "a", "name": "b"}]}"#),
                "1.1.0",
            ),
            (edits("0.6.0", r#"{"additionalGids": [5]}"#), "additionalGids"),
            (edits("0.3.0", r#"{"mounts": [{"type": "tmpfs"}]}"#), "0.4.0"),
            (edits("0.5.0", "{}").replace("v.com/x", "v.com"), "v.com"),
            (edits("0.5.0", "{}").replace("\"d\"", "\"d/../e\""), "d/../e"),
        ] {
            let error = read_text("a.json", &text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(read_text("a.json", &edits("1.1.0", r#"{"netDevices": []}"#)).is_ok());
        assert!(read_text("a.yaml", &edits("1.0.0", r#"{"intelRdt": {"closID": "c"}}"#)).is_ok());
        let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned()
            + &(b'b'..=b'k')
                .map(|name| {
                    let (name, before) = (char::from(name), char::from(name - 1));
                    format!(
                        "{name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}]\n"
                    )
                })
                .collect::<String>();
        assert!(read_text("a.yaml", &bomb).is_err());
    }
}
