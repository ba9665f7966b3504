//! A target directory with something beside it that must never change.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use caisson_image::unpack::{Finished, UnpackError, UnpackOptions, Unpacked, finish, unpack_layer};

use crate::tree::{Tree, scan};

pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
    before: Tree,
}

/// Tests of owners and devices need root; the others do as well as they can.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `true`, and says so, where a test has to be left out.
pub(crate) fn needs_root(test: &str) -> bool {
    if !is_root() {
        eprintln!("{test}: left out: it needs root");
    }
    !is_root()
}

pub(crate) fn options() -> UnpackOptions {
    if is_root() {
        UnpackOptions::privileged()
    } else {
        UnpackOptions::rootless(caisson_image::unpack::Ownership::Flatten)
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        fs::write(dir.path().join("beside"), "beside").unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        let mut sandbox = Self { dir, before: Tree::new() };
        sandbox.before = sandbox.outside();
        sandbox
    }

    /// Everything but the target.
    fn outside(&self) -> Tree {
        let mut tree = scan(self.dir.path());
        tree.retain(|path, _| !path.starts_with("target") && path != Path::new(""));
        tree
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    pub(crate) fn tree(&self) -> Tree {
        scan(&self.target())
    }

    pub(crate) fn unpack(&self, archive: impl Read) -> Result<Unpacked, UnpackError> {
        self.unpack_with(archive, &options())
    }

    pub(crate) fn unpack_with(
        &self,
        archive: impl Read,
        options: &UnpackOptions,
    ) -> Result<Unpacked, UnpackError> {
        let target = File::open(self.target()).unwrap();
        let result = unpack_layer(archive, target.as_fd(), options);
        assert_eq!(self.before, self.outside(), "something outside the target changed");
        result
    }

    /// Unpacks and completes over `lowers`, the topmost first.
    pub(crate) fn layer(
        &self,
        archive: impl Read,
        lowers: &[&Self],
    ) -> Result<Finished, UnpackError> {
        let unpacked = self.unpack(archive)?;
        let target = File::open(self.target()).unwrap();
        let lowers: Vec<_> = lowers.iter().map(|l| File::open(l.target()).unwrap()).collect();
        let lowers: Vec<_> = lowers.iter().map(|l| l.as_fd()).collect();
        let result = finish(target.as_fd(), unpacked.deferred, &lowers, &options());
        assert_eq!(self.before, self.outside(), "something outside the target changed");
        result
    }
}
