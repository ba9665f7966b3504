//! Where state is kept: the two folders, for root and for everybody else.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

/// The folders of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    /// What outlives a reboot: images, layers, containers, metadata.
    pub(crate) state: PathBuf,
    /// What does not: sockets, locks, what runs.
    pub(crate) run: PathBuf,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootsError {
    /// Without root there has to be a home.
    #[error("cannot tell where images are kept: neither HOME nor XDG_DATA_HOME is set; use --root")]
    NoHome,
    /// A folder can't be made or read.
    #[error("cannot make {path}: {source}")]
    Make {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Somebody else could have put something there.
    #[error("{path} is not a folder of user {uid} alone: remove it or use --run-root")]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// Who runs this command.
        uid: u32,
    },
}

impl Roots {
    /// Takes what the options say, then what `variable` holds, then the
    /// default of user `uid`.
    pub(crate) fn find(
        root: Option<&Path>,
        run_root: Option<&Path>,
        uid: u32,
        variable: &dyn Fn(&str) -> Option<PathBuf>,
    ) -> Result<Self, RootsError> {
        let state = match root.map(Path::to_owned).or_else(|| variable("CAISSON_ROOT")) {
            Some(path) => path,
            None if uid == 0 => PathBuf::from("/var/lib/caisson"),
            None => variable("XDG_DATA_HOME")
                .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
                .ok_or(RootsError::NoHome)?
                .join("caisson"),
        };
        let run = match run_root.map(Path::to_owned).or_else(|| variable("CAISSON_RUN_ROOT")) {
            Some(path) => path,
            None if uid == 0 => PathBuf::from("/run/caisson"),
            None => match variable("XDG_RUNTIME_DIR") {
                Some(base) => base.join("caisson"),
                None => PathBuf::from(format!("/tmp/caisson-{uid}")),
            },
        };
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Ok(Self { state: absolute(state), run: absolute(run) })
    }

    /// Makes both folders, mode 0700, where they do not exist. Refuses a run
    /// folder that others own or may write to: in /tmp anybody can make one.
    pub(crate) fn prepare(&self) -> Result<(), RootsError> {
        make_private(&self.state)?;
        make_private(&self.run)?;
        let uid = rustix::process::geteuid().as_raw();
        let stat = rustix::fs::lstat(&self.run)
            .map_err(|e| RootsError::Make { path: self.run.clone(), source: e.into() })?;
        let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let open_to_others = Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH);
        if folder && stat.st_uid == uid && !open_to_others {
            Ok(())
        } else {
            Err(RootsError::NotOurs { path: self.run.clone(), uid })
        }
    }
}

fn make_private(path: &Path) -> Result<(), RootsError> {
    let fail = |source| RootsError::Make { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fail)?;
    }
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(fail(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(uid: u32, root: Option<&str>, variables: &[(&str, &str)]) -> Roots {
        let variable = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        };
        Roots::find(root.map(Path::new), None, uid, &variable).unwrap()
    }

    #[test]
    fn option_beats_variable_beats_default() {
        let variables = [("CAISSON_ROOT", "/v"), ("CAISSON_RUN_ROOT", "/w")];
        let roots = find(0, Some("/o"), &variables);
        assert_eq!((roots.state, roots.run), ("/o".into(), "/w".into()));
        let roots = find(0, None, &[]);
        assert_eq!(roots.state, Path::new("/var/lib/caisson"));
        assert_eq!(roots.run, Path::new("/run/caisson"));
    }

    #[test]
    fn without_root_everything_is_the_users() {
        let roots = find(7, None, &[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]);
        assert_eq!(roots.state, Path::new("/h/.local/share/caisson"));
        assert_eq!(roots.run, Path::new("/r/caisson"));
        assert_eq!(find(7, None, &[("HOME", "/h")]).run, Path::new("/tmp/caisson-7"));
        let none = |_: &str| None;
        assert!(matches!(Roots::find(None, None, 7, &none), Err(RootsError::NoHome)));
    }

    #[test]
    fn a_run_folder_that_others_may_write_is_refused() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| Roots { state: dir.path().join("s"), run: dir.path().join(name) };
        at("new").prepare().unwrap();
        let mode = std::fs::metadata(dir.path().join("new")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::create_dir(dir.path().join("open")).unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(dir.path().join("open"), open).unwrap();
        assert!(matches!(at("open").prepare(), Err(RootsError::NotOurs { .. })));
        symlink(dir.path().join("new"), dir.path().join("link")).unwrap();
        assert!(matches!(at("link").prepare(), Err(RootsError::NotOurs { .. })));
    }
}
