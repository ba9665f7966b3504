//! Owners, modes, times and extended attributes of what was unpacked.

use std::os::fd::AsFd;

use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown,
    fgetxattr, flistxattr, fsetxattr, futimens, utimensat,
};
use rustix::io::Errno;

use super::entry::{Time, Xattr};
use super::error::EntryFault;
use super::path::path_of;
use super::{Ownership, WhiteoutForm};

/// Longest value that the kernel gives (`XATTR_SIZE_MAX`).
const XATTR_BYTES: usize = 65536;

/// Owner and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Gives files their owners, if that is wanted and not so already.
#[derive(Clone, Copy)]
pub(crate) struct Owners {
    pub(crate) ownership: Ownership,
    /// What the kernel gives to new files.
    pub(crate) created: Ids,
}

impl Owners {
    fn change(self, to: Ids) -> Option<(Option<Uid>, Option<Gid>)> {
        let is_change = self.ownership == Ownership::AsIs && to != self.created;
        is_change.then(|| (Some(Uid::from_raw(to.uid)), Some(Gid::from_raw(to.gid))))
    }

    pub(crate) fn of_new_file(self, fd: impl AsFd, to: Ids) -> Result<(), EntryFault> {
        match self.change(to) {
            Some((uid, gid)) => fchown(fd, uid, gid).map_err(|errno| chown_fault(errno, to)),
            None => Ok(()),
        }
    }

    pub(crate) fn of_new_name(
        self,
        dir: impl AsFd,
        name: &[u8],
        to: Ids,
    ) -> Result<(), EntryFault> {
        match self.change(to) {
            Some((uid, gid)) => chownat(dir, path_of(name), uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| chown_fault(errno, to)),
            None => Ok(()),
        }
    }

    /// The mode that a file or directory gets. Without owners everything
    /// belongs to the user who unpacks: keep it readable and removable.
    pub(crate) fn mode(self, mode: u32, is_dir: bool) -> Mode {
        let extra = match (self.ownership, is_dir) {
            (Ownership::AsIs, _) => 0,
            (Ownership::Flatten, false) => 0o400,
            (Ownership::Flatten, true) => 0o700,
        };
        Mode::from_raw_mode(mode | extra)
    }
}

fn chown_fault(errno: Errno, to: Ids) -> EntryFault {
    match errno {
        Errno::INVAL => EntryFault::UnmappedOwner { uid: to.uid, gid: to.gid },
        other => EntryFault::os(
            "set its owner (which takes root, a user namespace, or unpacking without owners)",
        )(other),
    }
}

pub(crate) fn timespec(time: Time) -> Timespec {
    Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() }
}

fn timestamps(atime: Time, mtime: Time) -> Timestamps {
    Timestamps { last_access: timespec(atime), last_modification: timespec(mtime) }
}

pub(crate) fn set_times(fd: impl AsFd, atime: Time, mtime: Time) -> Result<(), EntryFault> {
    futimens(fd, &timestamps(atime, mtime)).map_err(EntryFault::os("set its times"))
}

pub(crate) fn set_times_of_name(
    dir: impl AsFd,
    name: &[u8],
    atime: Time,
    mtime: Time,
) -> Result<(), EntryFault> {
    utimensat(dir, path_of(name), &timestamps(atime, mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(EntryFault::os("set its times"))
}

/// Access and modification times as stat(2) gave them.
pub(crate) fn times_of(stat: &Stat) -> (Time, Time) {
    let nanos = |value: u64| u32::try_from(value).unwrap_or_default();
    (
        Time { seconds: stat.st_atime, nanos: nanos(stat.st_atime_nsec) },
        Time { seconds: stat.st_mtime, nanos: nanos(stat.st_mtime_nsec) },
    )
}

pub(crate) fn set_mode(fd: impl AsFd, mode: Mode) -> Result<(), EntryFault> {
    fchmod(fd, mode).map_err(EntryFault::os("set its mode"))
}

/// Only the user's own attributes and file capabilities come from an image:
/// the rest would forge overlay metadata (`trusted.overlay.*`,
/// `user.overlay.*`) or choose the host's policy (labels, IMA).
pub(crate) fn is_wanted_xattr(name: &[u8]) -> bool {
    name == b"security.capability"
        || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

/// Sets what is wanted; names that were left out go to `skipped`.
pub(crate) fn set_xattrs(
    fd: impl AsFd,
    xattrs: &[Xattr],
    mut skipped: impl FnMut(&[u8]),
) -> Result<(), EntryFault> {
    for (name, value) in xattrs {
        if !is_wanted_xattr(name) {
            skipped(name);
            continue;
        }
        match fsetxattr(&fd, path_of(name), value, XattrFlags::empty()) {
            Ok(()) => {}
            // The file system has none; or no capability may be given here,
            // or the value is none.
            Err(Errno::OPNOTSUPP | Errno::PERM) => skipped(name),
            Err(Errno::INVAL) if name == b"security.capability" => skipped(name),
            Err(errno) => return Err(EntryFault::os("set an extended attribute")(errno)),
        }
    }
    Ok(())
}

/// The attributes of a file that [`is_wanted_xattr`], sorted by name.
pub(crate) fn wanted_xattrs(fd: impl AsFd) -> Result<Vec<Xattr>, Errno> {
    let mut list = Vec::with_capacity(XATTR_BYTES);
    match flistxattr(&fd, rustix::buffer::spare_capacity(&mut list)) {
        Ok(_) => {}
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    }
    let mut found = Vec::new();
    for name in list.split(|byte| *byte == 0).filter(|name| is_wanted_xattr(name)) {
        let mut value = Vec::with_capacity(XATTR_BYTES);
        match fgetxattr(&fd, path_of(name), rustix::buffer::spare_capacity(&mut value)) {
            Ok(_) => found.push((name.to_vec(), value)),
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    found.sort();
    Ok(found)
}

const fn opaque_name(form: WhiteoutForm) -> &'static str {
    match form {
        WhiteoutForm::Trusted => "trusted.overlay.opaque",
        WhiteoutForm::User => "user.overlay.opaque",
    }
}

pub(crate) fn set_opaque(dir: impl AsFd, form: WhiteoutForm) -> Result<(), EntryFault> {
    fsetxattr(dir, opaque_name(form), b"y", XattrFlags::empty())
        .map_err(EntryFault::os("mark it as opaque for overlay file systems"))
}

/// Is the directory (opened, not `O_PATH`) marked opaque?
pub(crate) fn is_opaque(dir: impl AsFd, form: WhiteoutForm) -> Result<bool, Errno> {
    let mut value = [0_u8; 4];
    match fgetxattr(dir, opaque_name(form), &mut value) {
        Ok(len) => Ok(value.get(..len) == Some(b"y")),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}
