//! What the broker does with single names, and with what is made under them.

use std::os::fd::OwnedFd;

use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use super::super::Kind;
use super::told::is_stored;

/// What is opened for reading, if the host lets it, as it is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opens {
    /// Nothing: there is a handle that names it.
    Nothing,
    /// A regular file: who has looked at one mostly reads it next, and it is no descriptor more.
    File,
    /// A regular file or a directory.
    Any,
}

impl Opens {
    /// By the number in a request.
    pub(super) fn of(number: u64) -> Self {
        match number {
            0 => Opens::Nothing,
            1 => Opens::File,
            _ => Opens::Any,
        }
    }

    /// Whether one of this type is.
    pub(super) fn has(self, kind: Kind) -> bool {
        match self {
            Opens::Nothing => false,
            Opens::File => kind == Kind::Regular,
            Opens::Any => is_stored(kind),
        }
    }
}

/// A single name, neither empty nor going up.
pub(super) fn component(name: &[u8]) -> Result<&[u8], Errno> {
    let bad = name.is_empty()
        || name == b"."
        || name == b".."
        || name.iter().any(|b| matches!(b, b'/' | 0));
    if bad { Err(Errno::INVAL) } else { Ok(name) }
}

/// Opens a name in a directory, which leads nowhere else.
pub(super) fn beneath(
    directory: &OwnedFd,
    name: &[u8],
    flags: OFlags,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    rustix::fs::openat2(directory, name, flags, Mode::from_raw_mode(mode), resolve)
}

/// Gives a new file its owner.
pub(super) fn hand_over(file: &OwnedFd, mode: u32, owner: (u32, u32)) -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    rustix::fs::fchown(file, Some(user), Some(group))?;
    // A change of owner clears these bits.
    if mode & 0o6000 != 0 {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode & 0o7777))?;
    }
    Ok(())
}

/// A name of an extended attribute that may be read: also what a file gives to who
/// executes it, which is the guest kernel's to judge.
pub(super) fn readable_attribute(name: &[u8]) -> Result<&[u8], Errno> {
    if name == b"security.capability" { Ok(name) } else { own_attribute(name) }
}

/// A name of an extended attribute that programs set for themselves.
pub(super) fn own_attribute(name: &[u8]) -> Result<&[u8], Errno> {
    if name.starts_with(b"user.") { Ok(name) } else { Err(Errno::OPNOTSUPP) }
}
