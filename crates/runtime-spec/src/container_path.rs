//! Paths inside the container, as the configuration writes them.

use std::path::{Component, Path, PathBuf};

/// The path without `.`, `..` and doubled slashes, below `/`. Links are not looked at.
#[must_use]
pub fn clean_path(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::clean_path;
    use std::path::Path;

    #[test]
    fn destinations_stay_below_the_root() {
        for (given, clean) in [("/a/../../b", "/b"), ("c//d/.", "/c/d"), ("/", "/"), ("../..", "/")]
        {
            assert_eq!(clean_path(given), Path::new(clean));
        }
    }
}
