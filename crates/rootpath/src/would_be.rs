//! Where a path leads whose end does not exist (yet).
//!
//! openat2(2) can't say where a resolution stopped, and refuses dangling
//! links. Images are full of those (`/etc/resolv.conf -> ../run/…` with an
//! empty `/run`), and runc makes the mount point at the link's target. So
//! links are read here and followed as text, each step scoped to the root by
//! the kernel; whatever an attacker swaps meanwhile, the outcome is a place
//! below the root.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, OFlags, fstat, readlinkat};
use rustix::io::Errno;

use crate::root::Root;

/// Links that one path may cross; the kernel allows 40, runc's resolver 255.
const MAX_LINKS: u32 = 255;
/// Components that one resolution may walk, links expanded.
const MAX_STEPS: u32 = 4096;

/// The deepest directory that exists on the way, and the names still missing
/// below it, outermost first (plain names: no `.`, `..`, `/`).
pub(crate) struct WouldBe {
    pub(crate) deepest: OwnedFd,
    pub(crate) missing: Vec<OsString>,
}

/// Follows `path` as far as it exists. With everything there, `missing` is
/// empty. `..` behind a missing name takes that name away again.
pub(crate) fn would_be(root: &Root, path: &Path) -> Result<WouldBe, Errno> {
    let mut existing = PathBuf::new();
    let mut missing: Vec<OsString> = Vec::new();
    let mut pending: Vec<OsString> = Vec::new();
    push_components(&mut pending, path);
    let (mut links, mut steps) = (0, 0);

    while let Some(name) = pending.pop() {
        steps += 1;
        if steps > MAX_STEPS {
            return Err(Errno::LOOP);
        }
        if name == "/" {
            existing.clear();
            missing.clear();
        } else if name == ".." {
            if missing.pop().is_none() {
                existing.pop();
            }
        } else if !missing.is_empty() {
            missing.push(name);
        } else {
            match step(root, &existing, &name)? {
                Step::Missing => missing.push(name),
                Step::There => existing.push(name),
                Step::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    push_components(&mut pending, &target);
                }
            }
        }
    }
    let deepest = if existing.as_os_str().is_empty() { Path::new("/") } else { &existing };
    // Everything up to a missing name has to be a directory; a path that
    // exists to its end may lead to anything.
    let flags = if missing.is_empty() { OFlags::PATH } else { OFlags::PATH | OFlags::DIRECTORY };
    Ok(WouldBe { deepest: root.open_raw(deepest, flags)?, missing })
}

enum Step {
    Missing,
    There,
    Link(PathBuf),
}

fn step(root: &Root, existing: &Path, name: &OsStr) -> Result<Step, Errno> {
    let fd = match root.open_raw(&existing.join(name), OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(Step::Missing),
        Err(errno) => return Err(errno),
    };
    if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::Symlink {
        return Ok(Step::There);
    }
    let target = readlinkat(&fd, "", Vec::new())?;
    Ok(Step::Link(PathBuf::from(OsString::from_vec(target.into_bytes()))))
}

/// Pushes the components of `path` so that the first one is popped first.
fn push_components(pending: &mut Vec<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::CurDir | Component::Prefix(_) => {}
            Component::RootDir | Component::ParentDir | Component::Normal(_) => {
                pending.push(component.as_os_str().to_owned());
            }
        }
    }
}
