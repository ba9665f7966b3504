//! `--env-file` and `--label-file`.

use std::path::{Path, PathBuf};

/// Longest file that is read, in bytes.
const SIZE_LIMIT: u64 = 1 << 20;

/// Why a file of variables can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// It can't be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no `NAME=value`.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// The lines of `file` as `NAME=value`. Empty lines and those that start with
/// `#` count for nothing; a name alone stands for the caller's own variable,
/// which `env` looks up, and is left out if there is none.
///
/// # Errors
/// [`EnvFileError`].
pub fn read_env_file(
    file: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, EnvFileError> {
    let fail = |source| EnvFileError::Read { path: file.to_owned(), source };
    if std::fs::metadata(file).map_err(fail)?.len() > SIZE_LIMIT {
        return Err(fail(std::io::Error::other("longer than 1 MiB")));
    }
    let text = std::fs::read_to_string(file).map_err(fail)?;
    let mut variables = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split_once('=').map_or(line, |(name, _)| name);
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(EnvFileError::Line {
                path: file.to_owned(),
                line: index + 1,
                reason: format!("{name:?} is no name of a variable"),
            });
        }
        if line.contains('=') {
            variables.push(line.to_owned());
        } else if let Some(value) = env(name) {
            variables.push(format!("{name}={value}"));
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("env");
        std::fs::write(&file, "# note\n\nA=1\nB=x y=z\nHOME\nNONE\nC=\n").unwrap();
        let env = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        let lines = read_env_file(&file, &env).unwrap();
        assert_eq!(lines, ["A=1", "B=x y=z", "HOME=/root", "C="]);
        std::fs::write(&file, "A=1\n=2\n").unwrap();
        assert!(read_env_file(&file, &env).unwrap_err().to_string().contains("line 2"));
        std::fs::write(&file, "A B=1\n").unwrap();
        assert!(read_env_file(&file, &env).is_err());
    }
}
