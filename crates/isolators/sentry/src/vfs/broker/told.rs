//! What the host says of the files that the broker is asked for.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::super::{Attributes, Kind};

/// What the host says of a file.
pub(super) struct Told {
    /// The number of the mount that it is on.
    pub(super) mount: u64,
    pub(super) attributes: Attributes,
}

/// The number of the mount that a file is on.
pub(super) fn mount_of(file: &OwnedFd) -> Result<u64, Errno> {
    told(file).map(|told| told.mount)
}

pub(super) fn told(handle: &OwnedFd) -> Result<Told, Errno> {
    told_of(handle, b"", AtFlags::EMPTY_PATH)
}

pub(super) fn told_of(directory: &OwnedFd, name: &[u8], how: AtFlags) -> Result<Told, Errno> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let found = rustix::fs::statx(directory, name, how, wanted)?;
    if !StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID) {
        return Err(Errno::NOSYS);
    }
    Ok(Told { mount: found.stx_mnt_id, attributes: Attributes::from_statx(&found) })
}

/// Whether it is in a file system by which the host's kernel is asked and told things.
pub(super) fn is_interface(handle: &OwnedFd) -> Result<bool, Errno> {
    // proc, sysfs, debugfs, tracefs, securityfs, configfs, cgroup, cgroup2, bpf, efivarfs,
    // selinux, smack, fusectl, binfmt_misc, pstore, devpts.
    const INTERFACES: [i64; 16] = [
        0x9fa0,
        0x6265_6572,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0x6265_6570,
        0x0027_e0eb,
        0x6367_7270,
        0xcafe_4a11,
        0xde5e_81e4,
        0xf97c_ff8c,
        0x4341_5d53,
        0x6573_5543,
        0x4249_4e4d,
        0x6165_676c,
        0x1cd1,
    ];
    let kind = rustix::fs::fstatfs(handle)?.f_type;
    Ok(INTERFACES.contains(&kind))
}

/// Whether a file system holds its content.
pub(super) fn is_stored(kind: Kind) -> bool {
    matches!(kind, Kind::Regular | Kind::Directory)
}
