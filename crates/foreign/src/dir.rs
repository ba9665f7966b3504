//! A directory of what is written down about a container.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use caisson_isolator::{ContainerId, SandboxError};
use rustix::fs::{
    Access, AtFlags, CWD, Mode, OFlags, accessat, mkdirat, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::process::own_pid;
use crate::step::Context;

/// Longest file of a call that is read.
const LONGEST: u64 = 1 << 20;

/// The directory of all containers of a handler.
#[derive(Clone, Debug)]
pub struct DirRoot(pub PathBuf);

impl DirRoot {
    /// The names in it, sorted.
    pub fn ids(&self) -> Result<Vec<ContainerId>, SandboxError> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).context(|| format!("read state directory {:?}", self.0));
            }
        };
        let mut ids: Vec<ContainerId> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        ids.sort();
        Ok(ids)
    }

    /// Claims a new name.
    pub fn create(&self, id: &ContainerId) -> Result<Dir, SandboxError> {
        let path = self.0.join(id.as_str());
        let mut made = mkdirat(CWD, &path, Mode::RWXU);
        if made == Err(Errno::NOENT) {
            make_all(&self.0)?;
            made = mkdirat(CWD, &path, Mode::RWXU);
        }
        match made {
            Ok(()) => self.open(id),
            Err(Errno::EXIST) => Err(SandboxError::Exists(id.to_string())),
            Err(error) => Err(error).context(|| format!("create state directory {path:?}")),
        }
    }

    /// Opens the directory of a container that exists.
    pub fn open(&self, id: &ContainerId) -> Result<Dir, SandboxError> {
        let path = self.0.join(id.as_str());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(CWD, &path, flags, Mode::empty()) {
            Ok(fd) => Ok(Dir { path, fd }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(SandboxError::NotFound(id.to_string())),
            Err(error) => Err(error).context(|| format!("open state directory {path:?}")),
        }
    }
}

fn make_all(path: &Path) -> Result<(), SandboxError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(path)
        .context(|| format!("create state directory {path:?}"))
}

/// One container's directory.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    fd: OwnedFd,
}

impl Dir {
    /// A directory that need not exist, nor those above it.
    ///
    /// # Errors
    /// Names it.
    pub fn make(path: &Path) -> Result<Self, SandboxError> {
        make_all(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty())
            .context(|| format!("open state directory {path:?}"))?;
        Ok(Self { path: path.to_owned(), fd })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A short name for the directory that another process can use for as long
    /// as the caller lives: names of sockets hold 107 bytes only (unix(7)).
    pub fn short_path(&self) -> PathBuf {
        use std::os::fd::AsRawFd as _;
        PathBuf::from(format!("/proc/{}/fd/{}", own_pid(), self.fd.as_raw_fd()))
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// Names the file.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), SandboxError> {
        let step = || format!("write {:?}", self.path.join(name));
        let new = format!("{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat(&self.fd, &new, flags, Mode::from_raw_mode(0o600)).context(step)?;
        std::fs::File::from(file).write_all(content).context(step)?;
        renameat(&self.fd, &new, &self.fd, name).context(step)
    }

    /// A file's beginning; `None` if there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, SandboxError> {
        let step = || format!("read {:?}", self.path.join(name));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).context(step),
        };
        let mut content = Vec::new();
        std::fs::File::from(file).take(LONGEST).read_to_end(&mut content).context(step)?;
        Ok(Some(content))
    }

    /// A value that [`Dir::save`] has written; `None` if there is none.
    ///
    /// # Errors
    /// If it can't be read, or is none.
    pub fn parse<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SandboxError> {
        let Some(content) = self.read(name)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&content);
        parsed.map(Some).context(|| format!("read {:?}", self.path.join(name)))
    }

    /// Writes a value, whole or not at all.
    pub fn save<T: Serialize>(&self, name: &str, value: &T) -> Result<(), SandboxError> {
        let content = serde_json::to_vec(value);
        let content = content.context(|| format!("write {:?}", self.path.join(name)))?;
        self.write(name, &content)
    }

    /// Whether there is such a file.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        accessat(&self.fd, name, Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Removes a file of a call.
    pub fn forget(&self, name: &str) {
        let _ = unlinkat(&self.fd, name, AtFlags::empty());
    }

    /// Removes the directory and all that is in it.
    pub fn remove(&self) -> Result<(), SandboxError> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(|| format!("remove {:?}", self.path))
            }
            _ => Ok(()),
        }
    }
}
