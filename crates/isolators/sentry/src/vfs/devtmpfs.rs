//! devtmpfs: the devices that every container has, and those of the kernel's own that its
//! configuration names.

use std::sync::Arc;

use caisson_runtime_spec::{DEFAULT_DEVICES, DEVICE_LINKS, Device as Wanted, DeviceKind};
use rustix::io::Errno;

use super::setup::place;
use super::tmpfs::{New, TmpFs};
use super::{Kind, Node, TmpNode, Walker};

/// Devices of terminals, beside what every container has.
const TERMINALS: [(&str, u32, u32); 2] = [("console", 5, 1), ("ptmx", 5, 2)];

/// A devtmpfs; returns its root.
///
/// # Errors
/// If there is no memory.
pub(super) fn new(device: u64, mode: Option<u32>) -> Result<Arc<TmpNode>, Errno> {
    let permissions = mode.unwrap_or(0o755);
    let directory = |permissions: u32| New {
        kind: Kind::Directory,
        permissions,
        owner: (0, 0),
        number: 0,
        text: b"",
    };
    let root = TmpFs::with_root(device, 64 << 20, 65_536, directory(permissions));
    for (name, major, minor) in DEFAULT_DEVICES.into_iter().chain(TERMINALS) {
        let number = rustix::fs::makedev(major, minor);
        let permissions = if name == "console" { 0o600 } else { 0o666 };
        let new = New { kind: Kind::Character, number, ..directory(permissions) };
        root.make(name.as_bytes(), new)?;
    }
    for (name, target) in DEVICE_LINKS.into_iter().chain([("core", "/proc/kcore")]) {
        let new = New { kind: Kind::Link, text: target.as_bytes(), ..directory(0o777) };
        root.make(name.as_bytes(), new)?;
    }
    for name in ["shm", "pts", "mqueue"] {
        root.make(name.as_bytes(), directory(if name == "shm" { 0o1777 } else { 0o755 }))?;
    }
    Ok(root)
}

/// Adds devices by their numbers. What this kernel does not have is not there, and said in
/// its log: a container that asks for all of the host's devices runs without them.
pub(super) fn add(walker: &Walker<'_>, wanted: &[Wanted]) {
    for device in wanted {
        let done = make(walker, device).unwrap_or(false);
        if !done {
            let Wanted { path, major, minor, .. } = device;
            walker.kernel.log.write(&format!("device {path} ({major}:{minor}) is not there"));
        }
    }
}

fn make(walker: &Walker<'_>, wanted: &Wanted) -> Result<bool, Errno> {
    let numbers = (u32::try_from(wanted.major), u32::try_from(wanted.minor));
    let (DeviceKind::Char | DeviceKind::UnbufferedChar, (Ok(major), Ok(minor))) =
        (wanted.kind, numbers)
    else {
        return Ok(false);
    };
    let number = rustix::fs::makedev(major, minor);
    let Some((above, name)) = wanted.path.rsplit_once('/') else { return Ok(false) };
    let mut own = DEFAULT_DEVICES.into_iter().chain(TERMINALS);
    if !own.any(|(_, a, b)| (a, b) == (major, minor)) {
        return Ok(false);
    }
    let folder = place(walker, above.as_bytes(), Kind::Directory)?;
    let Node::Tmp(folder) = &folder.node else { return Ok(false) };
    let new = New {
        kind: Kind::Character,
        permissions: wanted.file_mode.unwrap_or(0o666) & 0o7777,
        owner: (wanted.uid.unwrap_or(0), wanted.gid.unwrap_or(0)),
        number,
        text: b"",
    };
    match folder.make(name.as_bytes(), new) {
        Ok(_) | Err(Errno::EXIST) => Ok(true),
        Err(errno) => Err(errno),
    }
}
