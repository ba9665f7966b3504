//! `caisson cp` with a tar archive on a standard stream.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use caisson_image::layer_writer::{LayerSource, LayerWriteOptions, write_layer};
use caisson_image::unpack::{UnpackOptions, unpack_layer};
use caisson_node::Engine;
use caisson_node::copy::CopyOptions;
use rustix::fs::{FlockOperation, flock};

use crate::context::Context;
use crate::failure::Failure;

/// What every staging directory is called, before the number of its process.
const PREFIX: &str = "tmp-cp-";

/// A directory that files pass through. Its lock dies with the process, so
/// that the next one removes what a killed one left.
struct Staging {
    path: PathBuf,
    lock: File,
}

impl Staging {
    fn make(root: &Path) -> Result<Self, Failure> {
        for entry in std::fs::read_dir(root)?.flatten() {
            let left = entry.file_name().to_string_lossy().starts_with(PREFIX);
            if left && lock(&entry.path()).is_ok() {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        let path = root.join(format!("{PREFIX}{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        let lock = lock(&path)?;
        Ok(Self { path, lock })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What can't be removed now, the next one removes.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn lock(path: &Path) -> io::Result<File> {
    let dir = File::open(path)?;
    flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
    Ok(dir)
}

/// Writes `from`, a path of the container, to standard output.
pub(super) fn out(
    context: &Context,
    engine: &Engine,
    name: &str,
    from: &Path,
    options: CopyOptions,
) -> Result<(), Failure> {
    let paths = context.paths.clone().prepare()?;
    let staging = Staging::make(paths.root())?;
    engine.copy_out(name, from, &staging.path, CopyOptions { keep_owner: true, ..options })?;
    let mut archive = BufWriter::with_capacity(256 << 10, io::stdout().lock());
    let form = LayerWriteOptions { source: LayerSource::Directory, nanoseconds: true, owner: None };
    write_layer(staging.lock.as_fd(), &mut archive, &form)?;
    Ok(archive.flush()?)
}

/// Brings what is in the archive on standard input to `to`, a directory of
/// the container. The archive is read as strictly as an image's layer.
pub(super) fn into(
    context: &Context,
    engine: &Engine,
    name: &str,
    to: &Path,
    options: CopyOptions,
) -> Result<(), Failure> {
    let paths = context.paths.clone().prepare()?;
    let staging = Staging::make(paths.root())?;
    let inner = staging.path.join("archive");
    std::fs::DirBuilder::new().mode(0o755).create(&inner)?;
    let target = File::open(&inner)?;
    unpack_layer(io::stdin().lock(), target.as_fd(), &UnpackOptions::privileged())?;
    engine.copy_in(&inner.join("."), name, to, options)?;
    Ok(())
}
