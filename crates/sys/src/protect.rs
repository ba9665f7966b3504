//! Running from an image of the program that no container can write.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{
    Access, AtFlags, CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, accessat,
    fcntl_add_seals, fcntl_get_seals, memfd_create, open, statat, statvfs,
};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::geteuid;

use crate::exec::{StringArray, fexecve};
use crate::mount_attr::{MountAttr, mount_setattr};

const SELF: &CStr = c"/proc/self/exe";
const MOUNT_ATTR_RDONLY: u64 = 1;
const MARK: &str = "_CAISSON_PROTECTED";

/// Makes sure that the file this program runs from can't be written through
/// `/proc/<pid>/exe`, even by a container's root (CVE-2019-5736), by executing
/// it again from a detached read-only mount of itself or, where mounts are not
/// allowed, from a sealed copy in memory.
///
/// Returns only when the program is safe already, or on failure. Needs a
/// single-threaded caller which has no state worth keeping yet.
///
/// # Errors
/// If neither way works; the caller must then refuse to go on.
pub fn protect() -> io::Result<()> {
    let marked = std::env::var_os(MARK).is_some();
    if is_safe()? {
        if marked {
            // SAFETY: the caller is single-threaded.
            unsafe { std::env::remove_var(MARK) };
        }
        return Ok(());
    }
    if marked {
        return Err(io::Error::other(
            "the program's own image is still writable after re-execution",
        ));
    }
    let image = match read_only_mount() {
        Ok(image) => image,
        Err(_) => sealed_copy()?,
    };
    let args =
        StringArray::new(std::env::args_os().map(c_string).collect::<io::Result<Vec<CString>>>()?);
    let mut env = Vec::new();
    for (mut key, value) in std::env::vars_os() {
        key.push("=");
        key.push(value);
        env.push(c_string(key)?);
    }
    env.push(c_string(format!("{MARK}=1").into())?);
    Err(fexecve(image.as_fd(), &args, &StringArray::new(env)))
}

fn c_string(text: OsString) -> io::Result<CString> {
    CString::new(text.into_vec()).map_err(io::Error::other)
}

/// A file on a read-only mount no container can write; nor can anybody write
/// a sealed file. One that this process, with all its rights, can't write for
/// another reason no container of ours can either, if it is another user's:
/// its owner may change its mode, and root of a user namespace that the owner
/// is mapped into needs no mode at all.
fn is_safe() -> io::Result<bool> {
    if statvfs(SELF)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    match accessat(CWD, SELF, Access::WRITE_OK, AtFlags::EACCESS) {
        Err(rustix::io::Errno::ACCESS) if !geteuid().is_root() => {
            let owner = statat(CWD, SELF, AtFlags::empty())?.st_uid;
            Ok(owner == 0 || is_sealed()?)
        }
        Ok(()) | Err(rustix::io::Errno::ACCESS) => is_sealed(),
        Err(error) => Err(error.into()),
    }
}

fn is_sealed() -> io::Result<bool> {
    let file = open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let wanted = SealFlags::WRITE | SealFlags::SEAL;
    Ok(fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(wanted)))
}

fn read_only_mount() -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, SELF, flags)?;
    let attr = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    mount_setattr(tree.as_fd(), &attr, false)?;
    Ok(tree)
}

fn sealed_copy() -> io::Result<OwnedFd> {
    let program = open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let copy = memfd_create("caisson", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    while rustix::fs::sendfile(&copy, &program, None, 1 << 30)? > 0 {}
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(0o555))?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&copy, seals)?;
    Ok(copy)
}
