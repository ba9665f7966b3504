//! The repository's files: what git tracks, and what it would.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use thiserror::Error;

use crate::mask::Source;

/// Why the tree could not be read.
#[derive(Debug, Error)]
pub enum ReadTreeError {
    /// git is missing or refuses.
    #[error("list the files of {root} with git: {reason}")]
    Git {
        /// The root asked for.
        root: PathBuf,
        /// What git or the system said.
        reason: String,
    },
    /// A listed file can't be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// A text file of the repository.
pub struct File {
    /// Path relative to the root, with `/`.
    pub path: String,
    /// Its text; files that are not UTF-8 are left out of the tree.
    pub text: String,
    /// For `.rs` files, its views.
    pub rust: Option<Source>,
}

impl File {
    /// Whether the whole file is test code: it lies under `tests/`, is called
    /// `tests.rs`, or is a module that another file declares for tests only.
    #[must_use]
    pub fn is_test(&self, test_modules: &[String]) -> bool {
        let in_tests = self.path.contains("/tests/") || self.path.ends_with("/tests.rs");
        let under = |module: &str| {
            let below = self.path.strip_prefix(module.trim_end_matches(".rs"));
            self.path == module || below.is_some_and(|b| b.starts_with('/'))
        };
        in_tests || test_modules.iter().any(|module| under(module))
    }
}

/// The repository's root, from where this crate was built.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Every text file under `root` that git tracks or would track.
///
/// # Errors
/// When git is missing, `root` is no work tree, or a file can't be read.
pub fn read(root: &Path) -> Result<Vec<File>, ReadTreeError> {
    let git = |reason: String| ReadTreeError::Git { root: root.to_owned(), reason };
    // The checkout may belong to another user than the one who tests.
    let safe = format!("safe.directory={}", root.display());
    let output = Command::new("git")
        .args(["-c", &safe, "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|e| git(e.to_string()))?;
    if !output.status.success() {
        return Err(git(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut paths: Vec<&str> = listing.split('\0').filter(|p| !p.is_empty()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut files = Vec::new();
    for path in paths {
        let full = root.join(path);
        // Deleted but still tracked, or a symbolic link: nothing to read.
        if !fs::symlink_metadata(&full).is_ok_and(|m| m.is_file()) {
            continue;
        }
        let bytes = fs::read(&full)
            .map_err(|source| ReadTreeError::Read { path: path.to_owned(), source })?;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let rust = path.ends_with(".rs").then(|| Source::new(&text));
        files.push(File { path: path.to_owned(), text, rust });
    }
    Ok(files)
}

/// Files that are compiled only for tests because their parent says
/// `#[cfg(test)] mod name;`.
#[must_use]
pub fn test_modules(files: &[File]) -> Vec<String> {
    let mut modules = Vec::new();
    for file in files {
        let Some(rust) = &file.rust else { continue };
        let folder = module_folder(&file.path);
        for (at, attribute) in rust.code.match_indices("#[cfg(test)]") {
            let after = rust.code.get(at + attribute.len()..).unwrap_or_default().trim_start();
            let after = after.strip_prefix("pub ").unwrap_or(after);
            let after = after.strip_prefix("pub(crate) ").unwrap_or(after);
            let Some(name) = after.strip_prefix("mod ").and_then(|a| a.split(['{', '\n']).next())
            else {
                continue;
            };
            if let Some(name) = name.strip_suffix(';') {
                modules.push(format!("{folder}/{}.rs", name.trim()));
                modules.push(format!("{folder}/{}/mod.rs", name.trim()));
            }
        }
    }
    modules
}

/// Where the sub-modules of the module in `path` live.
fn module_folder(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned(), rust: Some(Source::new(text)) }
    }

    #[test]
    fn modules_for_tests_are_known() {
        let files = [
            file("a/src/lib.rs", "#[cfg(test)]\nmod check;\nmod other;"),
            file("a/src/b.rs", "#[cfg(test)]\npub(crate) mod fake;"),
            file("a/src/check.rs", ""),
            file("a/src/b/fake.rs", ""),
            file("a/src/other.rs", ""),
            file("a/tests/x.rs", ""),
        ];
        let modules = test_modules(&files);
        let tests: Vec<bool> = files.iter().map(|f| f.is_test(&modules)).collect();
        assert_eq!(tests, [false, false, true, true, false, true]);
    }
}
