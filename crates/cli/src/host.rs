//! What kind of machine this is, read from /proc and /sys.

use std::path::{Path, PathBuf};

/// Release of the running kernel, such as `6.1.0-18-amd64`.
pub(crate) fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Major and minor number of a kernel's release.
pub(crate) fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// A small file of /proc or /sys without its last newline; `None` where it
/// can't be read.
pub(crate) fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
}

/// How cgroups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// One tree, with all controllers.
    V2,
    /// A tree per controller.
    V1,
    /// Both; the controllers are with v1.
    Hybrid,
    /// Not below /sys/fs/cgroup.
    None,
}

impl Cgroups {
    /// As this process sees them.
    pub(crate) fn here() -> Self {
        read("/proc/self/mounts").map_or(Self::None, |mounts| Self::from_mounts(&mounts))
    }

    fn from_mounts(mounts: &str) -> Self {
        let (mut v1, mut v2, mut root_is_v2) = (false, false, false);
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            match (fields.next(), fields.next()) {
                (Some("/sys/fs/cgroup"), Some("cgroup2")) => root_is_v2 = true,
                (Some(path), Some("cgroup2")) if path.starts_with("/sys/fs/cgroup/") => v2 = true,
                (Some(path), Some("cgroup")) if path.starts_with("/sys/fs/cgroup/") => v1 = true,
                _ => {}
            }
        }
        match (root_is_v2, v1, v2) {
            (true, _, _) => Self::V2,
            (false, true, true) => Self::Hybrid,
            (false, true, false) => Self::V1,
            (false, false, _) => Self::None,
        }
    }

    /// The name that users know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V1 => "v1",
            Self::Hybrid => "hybrid (v1 and v2)",
            Self::None => "none",
        }
    }
}

/// Controllers that limits can be set with.
pub(crate) fn controllers(cgroups: Cgroups) -> Vec<String> {
    match cgroups {
        Cgroups::V2 => read("/sys/fs/cgroup/cgroup.controllers")
            .map(|text| text.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        Cgroups::V1 | Cgroups::Hybrid => read("/proc/cgroups")
            .map(|text| {
                let lines = text.lines().filter(|line| !line.starts_with('#'));
                let names = lines.filter_map(|line| {
                    let fields: Vec<_> = line.split_whitespace().collect();
                    match fields.as_slice() {
                        // Hierarchy 0 is not mounted as v1.
                        [name, hierarchy, _, "1"] if *hierarchy != "0" => Some((*name).to_owned()),
                        _ => None,
                    }
                });
                names.collect()
            })
            .unwrap_or_default(),
        Cgroups::None => Vec::new(),
    }
}

/// The program `name`, looked for as the engine does: in PATH and where
/// administrators' programs lie.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrators)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

/// Whether `path` is a file that may be executed.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// The user's name, from /etc/passwd.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    let passwd = read("/etc/passwd")?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_two_numbers() {
        assert_eq!(kernel_version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(kernel_version("5.15"), Some((5, 15)));
        assert_eq!(kernel_version("x"), None);
    }

    #[test]
    fn cgroups_are_told_by_their_mounts() {
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        let v1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n";
        let unified = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(Cgroups::from_mounts(v2), Cgroups::V2);
        assert_eq!(Cgroups::from_mounts(v1), Cgroups::V1);
        assert_eq!(Cgroups::from_mounts(&format!("{v1}{unified}")), Cgroups::Hybrid);
        assert_eq!(Cgroups::from_mounts("proc /proc proc rw 0 0\n"), Cgroups::None);
    }
}
