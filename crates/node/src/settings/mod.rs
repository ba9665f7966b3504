//! `/etc/caisson/config.toml` and its drop-ins.

mod file;

pub use file::{
    CgroupDriver, HandlerEntry, LogEntry, NetworkEntry, RuntimeEntry, ServeEntry, Settings,
    StorageEntry, TracingEntry,
};

use std::path::{Path, PathBuf};

/// Where the settings are unless the caller says otherwise.
pub const DEFAULT_FILE: &str = "/etc/caisson/config.toml";

/// Longest settings file that is read, in bytes.
const SIZE_LIMIT: u64 = 1 << 20;

/// Why settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file could not be read.
    #[error("cannot read settings {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is longer than any sensible one.
    #[error("settings {0} are longer than 1 MiB")]
    TooLong(PathBuf),
    /// A file is not TOML, or holds a key that means nothing.
    #[error("settings {path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What and where, from the parser.
        reason: String,
    },
}

impl Settings {
    /// Reads `file` and the `*.toml` files of `conf.d` beside it, in the order
    /// of their names; later ones win, key by key. Where `file` is `None` it is
    /// [`DEFAULT_FILE`], which need not exist.
    ///
    /// # Errors
    /// [`SettingsError`]; an unknown key is one, and is named.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let mut settings = match read(path) {
            Ok(text) => parse(path, &text)?,
            Err(SettingsError::Read { source, .. })
                if file.is_none() && source.kind() == std::io::ErrorKind::NotFound =>
            {
                Self::default()
            }
            Err(error) => return Err(error),
        };
        for drop_in in drop_ins(path)? {
            settings.overlay(parse(&drop_in, &read(&drop_in)?)?);
        }
        Ok(settings)
    }
}

fn read(path: &Path) -> Result<String, SettingsError> {
    let fail = |source| SettingsError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(fail)?.len() > SIZE_LIMIT {
        return Err(SettingsError::TooLong(path.to_owned()));
    }
    std::fs::read_to_string(path).map_err(fail)
}

fn parse(path: &Path, text: &str) -> Result<Settings, SettingsError> {
    toml::from_str(text).map_err(|error| SettingsError::Malformed {
        path: path.to_owned(),
        reason: error.to_string().trim_end().to_owned(),
    })
}

fn drop_ins(path: &Path) -> Result<Vec<PathBuf>, SettingsError> {
    let Some(dir) = path.parent().map(|parent| parent.join("conf.d")) else {
        return Ok(Vec::new());
    };
    let fail = |source| SettingsError::Read { path: dir.clone(), source };
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(fail)?.path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_win_in_order_of_names() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("config.toml");
        std::fs::write(&file, "[runtime]\ndefault_handler = \"native\"\n[log]\nmax_files = 2\n")
            .unwrap();
        let dir = temp.path().join("conf.d");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("20.toml"), "[runtime]\ndefault_handler = \"b\"\n").unwrap();
        std::fs::write(
            dir.join("10.toml"),
            "[runtime]\ndefault_handler = \"a\"\n[runtime.handlers.x]\nkind = \"oci\"\nruntime_path = \"/bin/x\"\n",
        )
        .unwrap();
        std::fs::write(dir.join("ignored.bak"), "nonsense = ").unwrap();
        let settings = Settings::load(Some(&file)).unwrap();
        assert_eq!(settings.runtime.default_handler.as_deref(), Some("b"));
        assert_eq!(settings.runtime.handlers.len(), 1);
        assert_eq!(settings.log.max_files, Some(2));
    }

    #[test]
    fn unknown_keys_are_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("config.toml");
        for text in [
            "colour = 1\n",
            "[runtime]\ncolour = 1\n",
            "[runtime.handlers.x]\nisolator = \"native\"\ncolour = 1\n",
        ] {
            std::fs::write(&file, text).unwrap();
            let message = Settings::load(Some(&file)).unwrap_err().to_string();
            assert!(message.contains("colour") && message.contains("config.toml"), "{message}");
        }
        assert!(Settings::load(Some(&temp.path().join("none.toml"))).is_err());
    }
}
