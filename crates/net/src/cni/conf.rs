//! Configuration lists: which plugins make a network.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Largest configuration file.
const MAX_FILE: u64 = 1024 * 1024;
/// Most plugins in a list.
const MAX_PLUGINS: usize = 32;
/// Versions of the specification that are spoken here, oldest first.
pub(super) const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Why there is no such network.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// No file at all.
    #[error(
        "no CNI network is configured in {0}: put a .conflist file there, or use --network bridge"
    )]
    None(String),
    /// None of this name.
    #[error("no CNI network {name:?} is configured in {dirs}; there are: {known}")]
    Unknown {
        /// What was asked.
        name: String,
        /// Where it was looked for.
        dirs: String,
        /// What was found, broken files with their trouble.
        known: String,
    },
    /// It can't be read.
    #[error("can't read {path}: {cause}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// It makes no sense.
    #[error("CNI configuration {path}: {reason}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A network's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NetworkList {
    pub(crate) name: String,
    pub(crate) cni_version: String,
    pub(crate) disable_check: bool,
    pub(crate) plugins: Vec<Map<String, Value>>,
}

impl NetworkList {
    /// Major and minor version.
    pub(super) fn version(&self) -> (u32, u32) {
        let mut parts = self.cni_version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// A plugin's own part, with the list's name and version.
    pub(super) fn plugin_input(&self, plugin: &Map<String, Value>) -> Map<String, Value> {
        let mut input = plugin.clone();
        input.insert("name".to_owned(), self.name.clone().into());
        input.insert("cniVersion".to_owned(), self.cni_version.clone().into());
        input
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|cause| cause.to_string())?;
        let Value::Object(map) = value else { return Err("it is no object".to_owned()) };
        let name = map.get("name").and_then(Value::as_str).ok_or("it has no \"name\"")?;
        if !is_name(name) {
            return Err(format!("{name:?} is no name of a network"));
        }
        let plugins = match map.get("plugins") {
            None => vec![map.clone()],
            Some(Value::Array(all)) => all
                .iter()
                .map(|plugin| plugin.as_object().cloned().ok_or("a plugin is no object"))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err("\"plugins\" is no list".to_owned()),
        };
        if plugins.is_empty() || plugins.len() > MAX_PLUGINS {
            return Err(format!("it has {} plugins", plugins.len()));
        }
        if let Some(plugin) = plugins.iter().find(|plugin| !is_name(plugin_type(plugin))) {
            return Err(format!("{:?} is no type of a plugin", plugin_type(plugin)));
        }
        Ok(Self {
            name: name.to_owned(),
            cni_version: choose_version(&map)?,
            disable_check: map.get("disableCheck").and_then(Value::as_bool).unwrap_or(false),
            plugins,
        })
    }
}

/// The newest version that both sides know.
fn choose_version(map: &Map<String, Value>) -> Result<String, String> {
    let list = map.get("cniVersions").and_then(Value::as_array);
    let mut offered: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
    offered.extend(map.get("cniVersion").and_then(Value::as_str));
    let newest = VERSIONS.iter().rev().find(|version| offered.contains(*version));
    newest
        .map(|version| (*version).to_owned())
        .ok_or_else(|| format!("its cniVersion {offered:?} is none of {VERSIONS:?}"))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The plugin's type: the name of its file.
pub(super) fn plugin_type(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Whether a plugin declares a capability.
pub(super) fn has(plugin: &Map<String, Value>, capability: &str) -> bool {
    let value = plugin.get("capabilities").and_then(|all| all.get(capability));
    value.and_then(Value::as_bool).unwrap_or(false)
}

/// Loads the network of this name, or without a name the first one. Files are
/// taken in the order of their names, folder by folder.
pub(crate) fn load(dirs: &[PathBuf], name: &str) -> Result<NetworkList, ConfError> {
    let mut known = Vec::new();
    for path in dirs.iter().map(|dir| files(dir)).collect::<Result<Vec<_>, _>>()?.concat() {
        let list = NetworkList::parse(&read(&path)?);
        match list {
            Ok(list) if name.is_empty() || list.name == name => return Ok(list),
            Ok(list) => known.push(list.name),
            Err(reason) if name.is_empty() => return Err(ConfError::Broken { path, reason }),
            Err(reason) => known.push(format!("{} ({reason})", path.display())),
        }
    }
    let dirs = dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
    if known.is_empty() {
        return Err(ConfError::None(dirs));
    }
    Err(ConfError::Unknown { name: name.to_owned(), dirs, known: known.join(", ") })
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, ConfError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(ConfError::Io { path: dir.to_owned(), cause }),
    };
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let kinds = ["conflist", "conf", "json"];
    all.retain(|path| {
        path.extension().and_then(|e| e.to_str()).is_some_and(|e| kinds.contains(&e))
    });
    all.sort();
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, ConfError> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    file.map_err(|cause| ConfError::Io { path: path.to_owned(), cause })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) {
        fs::write(dir.join(name), text).unwrap();
    }

    #[test]
    fn files_are_taken_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("missing"), dir.path().to_owned()];
        assert!(matches!(load(&dirs, ""), Err(ConfError::None(_))));
        write(
            dir.path(),
            "20-b.conflist",
            r#"{"cniVersion":"1.0.0","name":"b","plugins":[{"type":"x"}]}"#,
        );
        write(
            dir.path(),
            "10-a.conf",
            r#"{"cniVersion":"0.3.1","name":"a","type":"bridge","mtu":9}"#,
        );
        write(dir.path(), "00-readme.txt", "no");
        let first = load(&dirs, "").unwrap();
        assert_eq!((first.name.as_str(), first.version()), ("a", (0, 3)));
        assert_eq!(first.plugins[0]["mtu"], 9);
        assert_eq!(load(&dirs, "b").unwrap().version(), (1, 0));
        let error = load(&dirs, "c").unwrap_err().to_string();
        assert!(error.contains("there are: a, b"), "{error}");
        write(dir.path(), "05-broken.conflist", "{");
        assert!(matches!(load(&dirs, ""), Err(ConfError::Broken { .. })));
        load(&dirs, "b").unwrap();
    }

    #[test]
    fn bad_lists_are_refused() {
        for text in [
            "[]",
            r#"{"cniVersion":"1.0.0","plugins":[{"type":"x"}]}"#,
            r#"{"cniVersion":"1.0.0","name":"a/b","plugins":[{"type":"x"}]}"#,
            r#"{"cniVersion":"1.0.0","name":"a","plugins":[]}"#,
            r#"{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"../sh"}]}"#,
            r#"{"cniVersion":"1.0.0","name":"a","plugins":[{}]}"#,
            r#"{"cniVersion":"1.0.0","name":"a","plugins":["x"]}"#,
            r#"{"cniVersion":"9.0.0","name":"a","plugins":[{"type":"x"}]}"#,
            r#"{"name":"a","plugins":[{"type":"x"}]}"#,
        ] {
            assert!(NetworkList::parse(text.as_bytes()).is_err(), "{text}");
        }
        let text =
            r#"{"cniVersions":["0.4.0","1.1.0","2.0.0"],"name":"a","plugins":[{"type":"x"}]}"#;
        assert_eq!(NetworkList::parse(text.as_bytes()).unwrap().version(), (1, 1));
    }
}
