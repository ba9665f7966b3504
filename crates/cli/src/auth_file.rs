//! Where `caisson login` keeps credentials: the file that podman and its kin
//! share (containers-auth.json(5)).

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The longest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// A file of credentials, with everything that others put in it.
#[derive(Debug)]
pub(crate) struct AuthFile {
    path: PathBuf,
    content: Map<String, Value>,
}

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthFileError {
    /// It can't be read.
    #[error("cannot read credentials in {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can't be written.
    #[error("cannot write credentials to {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not of the form.
    #[error("{0} is no file of credentials: it is not a JSON object with \"auths\"")]
    Malformed(PathBuf),
}

impl AuthFile {
    /// Where podman keeps it: `$REGISTRY_AUTH_FILE`, or below the user's run
    /// directory.
    pub(crate) fn of_user() -> PathBuf {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(file) = variable("REGISTRY_AUTH_FILE") {
            return PathBuf::from(file);
        }
        let uid = rustix::process::getuid().as_raw();
        match variable("XDG_RUNTIME_DIR") {
            Some(folder) => PathBuf::from(folder).join("containers/auth.json"),
            None => PathBuf::from(format!("/run/containers/{uid}/auth.json")),
        }
    }

    /// Reads the file; one that is not there is empty.
    pub(crate) fn open(path: &Path) -> Result<Self, AuthFileError> {
        let fail = |source| AuthFileError::Read { path: path.to_owned(), source };
        let malformed = || AuthFileError::Malformed(path.to_owned());
        let text = match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > MAX_FILE => return Err(malformed()),
            Ok(_) => std::fs::read(path).map_err(fail)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(fail(error)),
        };
        let content = match text.iter().all(u8::is_ascii_whitespace) {
            true => Map::new(),
            false => serde_json::from_slice(&text).map_err(|_| malformed())?,
        };
        let auths = content.get("auths");
        if auths.is_some_and(|auths| !auths.is_object()) {
            return Err(malformed());
        }
        Ok(Self { path: path.to_owned(), content })
    }

    /// Keeps a credential for `registry`.
    pub(crate) fn insert(&mut self, registry: &str, user: &str, password: &str) {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        let auths = self.content.entry("auths").or_insert_with(|| json!({}));
        if let Value::Object(auths) = auths {
            auths.insert(registry.to_owned(), json!({ "auth": auth }));
        }
    }

    /// Forgets `registry`. Whether there was something to forget.
    pub(crate) fn remove(&mut self, registry: &str) -> bool {
        let auths = self.content.get_mut("auths").and_then(Value::as_object_mut);
        auths.is_some_and(|auths| auths.remove(registry).is_some())
    }

    /// Forgets all. How many there were.
    pub(crate) fn clear(&mut self) -> usize {
        let auths = self.content.get_mut("auths").and_then(Value::as_object_mut);
        auths.map_or(0, |auths| std::mem::take(auths).len())
    }

    /// Writes the file, for its owner's eyes only. The old one stays until the
    /// new one is complete.
    pub(crate) fn save(&self) -> Result<(), AuthFileError> {
        let fail = |source| AuthFileError::Write { path: self.path.clone(), source };
        let mut text = serde_json::to_vec_pretty(&self.content).map_err(|e| fail(e.into()))?;
        text.push(b'\n');
        if let Some(folder) = self.path.parent() {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(folder).map_err(fail)?;
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = self.path.with_file_name(name);
        let write = || {
            let mut options = std::fs::File::options();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        };
        write().map_err(|error| {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(&new);
            fail(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_others_wrote_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/auth.json");
        let mut file = AuthFile::open(&path).unwrap();
        file.insert("localhost:5000", "user", "secret");
        file.save().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let text = r#"{"auths": {"a": {"auth": "eA=="}}, "credHelpers": {"b": "pass"}}"#;
        std::fs::write(&path, text).unwrap();
        let mut file = AuthFile::open(&path).unwrap();
        file.insert("localhost:5000", "user", "secret");
        file.save().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("credHelpers") && text.contains("dXNlcjpzZWNyZXQ="), "{text}");
        let mut file = AuthFile::open(&path).unwrap();
        assert!(file.remove("a") && !file.remove("a"));
        assert_eq!(file.clear(), 1);
        assert_eq!(std::fs::read_dir(dir.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn other_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        for text in ["[]", "x", r#"{"auths": 1}"#] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(AuthFile::open(&path), Err(AuthFileError::Malformed(_))), "{text}");
        }
    }
}
