//! Where a container's cgroup lies: `linux.cgroupsPath` (config-linux.md,
//! Cgroups Path) read the way runc reads it.

use crate::systemd::slice::{SliceError, expand_slice};

/// Who makes and owns the cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Driver {
    /// The runtime itself, through the file system.
    #[default]
    Cgroupfs,
    /// systemd, as a transient scope (or slice) asked for over D-Bus.
    Systemd,
}

/// What decides about a container's cgroup path.
#[derive(Debug, Clone, Copy)]
pub struct CgroupConfig<'a> {
    /// Container id; the cgroup's name where `cgroups_path` gives none.
    pub id: &'a str,
    /// `linux.cgroupsPath`; empty counts as absent. For [`Driver::Systemd`] of
    /// the form `slice:prefix:name`.
    pub cgroups_path: Option<&'a str>,
    /// Who makes the cgroup.
    pub driver: Driver,
    /// Whether lack of permission is tolerated where neither a path nor limits
    /// were asked for.
    pub rootless: bool,
    /// Prefix of the default scope name, the runtime's name (runc: `runc`).
    pub scope_prefix: &'a str,
}

/// A malformed `linux.cgroupsPath`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not `slice:prefix:name`.
    #[error(
        "linux.cgroupsPath: expected the form \"slice:prefix:name\" for the systemd driver, got {0:?}"
    )]
    NotATriple(String),
    /// The slice's name is malformed.
    #[error("linux.cgroupsPath: {0}")]
    Slice(#[from] SliceError),
    /// Nothing is left after cleaning, or a character that no cgroup name can have.
    #[error("linux.cgroupsPath: {0:?} does not name a cgroup")]
    NoName(String),
}

/// A cgroupfs path, cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InnerPath {
    /// Without leading or trailing slash, `.` or `..`; never empty.
    pub(crate) path: String,
    /// Below the mount point, rather than below the runtime's own cgroup.
    pub(crate) absolute: bool,
}

/// Path for the cgroupfs driver.
pub(crate) fn inner_path(config: &CgroupConfig<'_>) -> Result<InnerPath, PathError> {
    let given = config.cgroups_path.filter(|path| !path.is_empty());
    let (raw, absolute) = match given {
        Some(path) => (path, path.starts_with('/')),
        None => (config.id, false),
    };
    let path = clean(raw);
    if path.is_empty() || path.contains(['\0', '\n']) {
        return Err(PathError::NoName(raw.to_owned()));
    }
    Ok(InnerPath { path, absolute })
}

/// Resolves `.` and `..` lexically, as if the path started at a root that `..`
/// can't leave.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// A unit and the slice that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitPath {
    /// `prefix-name.scope`, or `name` if it ends in `.slice`.
    pub(crate) unit: String,
    /// Slice as systemd wants it named: `a-b.slice`.
    pub(crate) slice: String,
    /// Expanded: `a.slice/a-b.slice`; empty for the root slice `-.slice`.
    pub(crate) slice_path: String,
}

/// Path for the systemd driver.
pub(crate) fn unit_path(config: &CgroupConfig<'_>) -> Result<UnitPath, PathError> {
    let default_slice = if config.rootless { "user.slice" } else { "system.slice" };
    let given = config.cgroups_path.filter(|path| !path.is_empty());
    let (slice, prefix, name) = match given {
        None => ("", config.scope_prefix, config.id),
        Some(text) => {
            let mut parts = text.split(':');
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(slice), Some(prefix), Some(name), None) => (slice, prefix, name),
                _ => return Err(PathError::NotATriple(text.to_owned())),
            }
        }
    };
    let slice = if slice.is_empty() { default_slice } else { slice };
    if name.is_empty() || name.contains(['/', '\0', '\n']) || prefix.contains(['/', '\0', '\n']) {
        return Err(PathError::NoName(given.unwrap_or(config.id).to_owned()));
    }
    let unit = if std::path::Path::new(name).extension().is_some_and(|e| e == "slice") {
        name.to_owned()
    } else {
        format!("{prefix}-{name}.scope")
    };
    Ok(UnitPath { unit, slice: slice.to_owned(), slice_path: expand_slice(slice)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config<'a>(path: Option<&'a str>, driver: Driver) -> CgroupConfig<'a> {
        CgroupConfig {
            id: "c1",
            cgroups_path: path,
            driver,
            rootless: false,
            scope_prefix: "caisson",
        }
    }

    #[test]
    fn cgroupfs_paths() {
        let inner = |path| inner_path(&config(path, Driver::Cgroupfs));
        let is = |path: &str, absolute| Ok(InnerPath { path: path.to_owned(), absolute });
        assert_eq!(inner(None), is("c1", false));
        assert_eq!(inner(Some("")), is("c1", false));
        assert_eq!(inner(Some("/docker/abc/")), is("docker/abc", true));
        assert_eq!(inner(Some("a//b/./c")), is("a/b/c", false));
        assert_eq!(inner(Some("/../../../etc")), is("etc", true));
        assert_eq!(inner(Some("../../x")), is("x", false));
        assert_eq!(inner(Some("/")), Err(PathError::NoName("/".into())));
        assert_eq!(inner(Some("a\0b")), Err(PathError::NoName("a\0b".into())));
    }

    #[test]
    fn systemd_paths() {
        let unit = |path| unit_path(&config(path, Driver::Systemd));
        let is = |unit: &str, slice: &str, slice_path: &str| {
            Ok(UnitPath { unit: unit.into(), slice: slice.into(), slice_path: slice_path.into() })
        };
        assert_eq!(unit(None), is("caisson-c1.scope", "system.slice", "system.slice"));
        assert_eq!(
            unit(Some("a-b.slice:crio:x")),
            is("crio-x.scope", "a-b.slice", "a.slice/a-b.slice")
        );
        assert_eq!(unit(Some(":p:n")), is("p-n.scope", "system.slice", "system.slice"));
        assert_eq!(unit(Some("-.slice:p:n")), is("p-n.scope", "-.slice", ""));
        assert_eq!(unit(Some("a.slice:x:a-b.slice")), is("a-b.slice", "a.slice", "a.slice"));
        assert_eq!(unit(Some("/docker/x")), Err(PathError::NotATriple("/docker/x".into())));
        assert_eq!(unit(Some("a:b:c:d")), Err(PathError::NotATriple("a:b:c:d".into())));
        assert!(matches!(unit(Some("foo:p:n")), Err(PathError::Slice(_))));
        assert!(matches!(unit(Some("a.slice:p:")), Err(PathError::NoName(_))));
        assert!(matches!(unit(Some("a.slice:p:../x")), Err(PathError::NoName(_))));
    }
}
