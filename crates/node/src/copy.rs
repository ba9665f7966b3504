//! Copying files into and out of containers, running or not.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use caisson_rootpath::{Root, RootPathError};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use crate::container_lock::ContainerLock;
use crate::engine::Engine;
use crate::exec::ExecError;
use crate::lifecycle::{ContainerError, StartError};
use crate::rootfs::RootfsError;
use crate::tree_copy::{CopyTreeError, Owner, copy_entry, copy_tree};

/// How files are copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    /// Owners stay what they were; else what goes in is root's, and what comes
    /// out is the caller's.
    pub keep_owner: bool,
    /// A link at the source's end is followed.
    pub follow_link: bool,
}

/// Why files could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A path of the container.
    #[error(transparent)]
    Inside(#[from] RootPathError),
    /// A path of the host.
    #[error("cannot open {path}: {source}")]
    Outside {
        /// The path.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// A directory can't become a file.
    #[error("{0} is a file: a directory can't be copied onto it")]
    OntoFile(PathBuf),
    /// The target ends in a slash, but there is no directory.
    #[error("there is no directory {0}")]
    NoDirectory(PathBuf),
    /// The copying itself.
    #[error(transparent)]
    Copy(#[from] CopyTreeError),
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Its image.
    #[error(transparent)]
    Image(#[from] StartError),
    /// Its root file system.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// Its first process.
    #[error(transparent)]
    Live(#[from] ExecError),
}

/// A side of a copy.
enum Tree<'r> {
    Host,
    Container(&'r Root),
}

/// A container's root file system, kept from changing hands meanwhile.
struct Opened {
    root: Root,
    _lock: Option<ContainerLock>,
}

impl Engine {
    /// Copies `from`, a path of the container, to `to`, a path of the host, by
    /// docker's rules: into `to` if that is a directory, else as `to`. A source
    /// that ends in `/.` is what is in that directory.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn copy_out(
        &self,
        name: &str,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> Result<(), CopyError> {
        let opened = self.open_root(name)?;
        let owner = Owner::Fixed(geteuid(), getegid());
        copy((&Tree::Container(&opened.root), from), (&Tree::Host, to), owner, options)
    }

    /// Copies `from`, a path of the host, to `to`, a path of the container, by
    /// the same rules.
    ///
    /// # Errors
    /// [`CopyError`].
    pub fn copy_in(
        &self,
        from: &Path,
        name: &str,
        to: &Path,
        options: CopyOptions,
    ) -> Result<(), CopyError> {
        let opened = self.open_root(name)?;
        let owner = Owner::Fixed(Uid::ROOT, Gid::ROOT);
        copy((&Tree::Host, from), (&Tree::Container(&opened.root), to), owner, options)
    }

    fn open_root(&self, name: &str) -> Result<Opened, CopyError> {
        let view = self.container(name)?;
        if view.live.is_some() {
            return Ok(Opened { root: self.live_root(&view)?, _lock: None });
        }
        // Nobody starts or removes it while we have it mounted.
        let dir = self.paths.container(&view.record.id);
        let lock = ContainerLock::wait(&dir).map_err(ContainerError::from)?;
        let view = self.container(name)?;
        if view.live.is_some() {
            return Ok(Opened { root: self.live_root(&view)?, _lock: None });
        }
        let root = self.layers_of(&view.record)?.view_container()?;
        Ok(Opened { root, _lock: Some(lock) })
    }
}

impl Tree<'_> {
    fn open(&self, path: &Path, follow: bool) -> Result<Option<OwnedFd>, CopyError> {
        let found = match self {
            Self::Host => {
                let mut flags = OFlags::PATH | OFlags::CLOEXEC;
                if !follow {
                    flags |= OFlags::NOFOLLOW;
                }
                openat(CWD, path, flags, Mode::empty())
                    .map_err(|source| CopyError::Outside { path: path.to_owned(), source })
            }
            Self::Container(root) if follow => root.resolve(path).map_err(Into::into),
            Self::Container(root) => root.resolve_no_follow_last(path).map_err(Into::into),
        };
        match found {
            Ok(fd) => Ok(Some(fd)),
            Err(CopyError::Outside { source: Errno::NOENT, .. }) => Ok(None),
            Err(CopyError::Inside(error)) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parent_and_name(&self, path: &Path) -> Result<(OwnedFd, OsString), CopyError> {
        match self {
            Self::Container(root) => Ok(root.parent_and_name(path)?),
            Self::Host => {
                let fail = |source| CopyError::Outside { path: path.to_owned(), source };
                let name = path.file_name().ok_or_else(|| fail(Errno::INVAL))?.to_owned();
                let parent = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                Ok((openat(CWD, parent, flags, Mode::empty()).map_err(fail)?, name))
            }
        }
    }
}

/// What is at the end of a path.
fn kind(fd: &OwnedFd) -> FileType {
    fstat(fd).map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
}

/// Something readable and not only a place, of a directory that is held.
fn readable(dir: &OwnedFd, path: &Path) -> Result<OwnedFd, CopyError> {
    openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|source| CopyError::Outside { path: path.to_owned(), source })
}

fn copy(
    (from_tree, from): (&Tree<'_>, &Path),
    (to_tree, to): (&Tree<'_>, &Path),
    fixed: Owner,
    options: CopyOptions,
) -> Result<(), CopyError> {
    let owner = if options.keep_owner { Owner::Keep } else { fixed };
    let text = from.to_string_lossy();
    let contents = text.ends_with("/.") || text == "." || text == "/";
    let missing = || CopyError::Outside { path: from.to_owned(), source: Errno::NOENT };
    let follow = options.follow_link || contents || text.ends_with('/');
    let source = from_tree.open(from, follow)?.ok_or_else(missing)?;
    let target = to_tree.open(to, true)?;
    let into = target.as_ref().filter(|target| kind(target) == FileType::Directory);
    if kind(&source) == FileType::Directory {
        let source = readable(&source, from)?;
        let target = match (into, &target) {
            (Some(dir), _) if contents => readable(dir, to)?,
            (Some(dir), _) => {
                let name = from_tree.parent_and_name(from)?.1;
                make_dir(dir, &name, to)?
            }
            (None, Some(_)) => return Err(CopyError::OntoFile(to.to_owned())),
            (None, None) => {
                let (parent, name) = to_tree.parent_and_name(to)?;
                make_dir(&parent, &name, to)?
            }
        };
        return Ok(copy_tree(source.as_fd(), target.as_fd(), owner)?);
    }
    let (from_dir, from_name) = if options.follow_link {
        // Where the link leads, and what it is called there.
        let real = followed(from_tree, from)?;
        from_tree.parent_and_name(&real)?
    } else {
        from_tree.parent_and_name(from)?
    };
    let (to_dir, to_name) = match into {
        Some(dir) => (readable(dir, to)?, from.file_name().unwrap_or(&from_name).to_owned()),
        None if to.to_string_lossy().ends_with('/') => {
            return Err(CopyError::NoDirectory(to.to_owned()));
        }
        None => to_tree.parent_and_name(to)?,
    };
    Ok(copy_entry((from_dir.as_fd(), &from_name), (to_dir.as_fd(), &to_name), owner)?)
}

fn make_dir(parent: &OwnedFd, name: &OsString, path: &Path) -> Result<OwnedFd, CopyError> {
    let fail = |source| CopyError::Outside { path: path.to_owned(), source };
    match mkdirat(parent, name.as_os_str(), Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(fail(error)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name.as_os_str(), flags, Mode::empty()).map_err(fail)
}

/// The path that a chain of links at the end of `path` leads to, as text; each
/// step is resolved in its tree again.
fn followed(tree: &Tree<'_>, path: &Path) -> Result<PathBuf, CopyError> {
    let mut path = path.to_owned();
    for _ in 0..40 {
        let missing = || CopyError::Outside { path: path.clone(), source: Errno::NOENT };
        let end = tree.open(&path, false)?.ok_or_else(missing)?;
        if kind(&end) != FileType::Symlink {
            return Ok(path);
        }
        let text = rustix::fs::readlinkat(&end, "", Vec::new())
            .map_err(|source| CopyError::Outside { path: path.clone(), source })?;
        let next = PathBuf::from(OsString::from_vec(text.into_bytes()));
        path = path.parent().unwrap_or(Path::new("/")).join(next);
    }
    Err(CopyError::Outside { path, source: Errno::LOOP })
}
