//! Files that memfd_create(2) made. They are in a mount of their own, which no tree has, so that
//! they are changed, executed and opened again as others are.

use std::sync::{Arc, LazyLock};

use rustix::fs::SealFlags;
use rustix::io::Errno;

use crate::task::waiter::lock;

use super::super::mount::{Description, Mount};
use super::super::{Entry, Kind, MountFlags, Node};
use super::{New, TmpFs, TmpNode};

/// Their file system, and the root of its mount.
static MEMORY: LazyLock<(Arc<TmpFs>, Arc<Entry>)> = LazyLock::new(|| {
    let fs = Arc::new(TmpFs::new(1, (u64::MAX, u64::MAX), None));
    let mount = Mount::hidden(Description {
        kind: "tmpfs".to_owned(),
        device: fs.device,
        flags: MountFlags::NO_SUID,
        ..Description::default()
    });
    (fs, Entry::mounted(&mount, Node::Point, Kind::Directory))
});

/// Makes one, which was asked to be called so.
///
/// # Errors
/// `ENOSPC` if the host has no descriptor for it.
pub fn memory_file(new: New<'_>, name: &[u8]) -> Result<Arc<Entry>, Errno> {
    let (fs, root) = &*MEMORY;
    let node = fs.unnamed(new)?;
    node.unname();
    // Seals are the host's to keep.
    node.memory()?;
    let name = [b"memfd:", name, b" (deleted)"].concat();
    Ok(Entry::new(root, &name, Node::Tmp(node), new.kind))
}

/// Whether it is one.
#[must_use]
pub fn is_memory(entry: &Entry) -> bool {
    Arc::ptr_eq(&entry.mount, &MEMORY.1.mount)
}

/// `F_SEAL_EXEC`: permissions to execute it stay as they are. Ours to keep, as permissions are.
pub const SEAL_EXECUTION: u32 = 0x20;

/// What of a regular file of a tmpfs is sealed, as fcntl(2) tells it.
///
/// # Errors
/// `EINVAL` if it is something else; what the host says.
pub fn seals(entry: &Entry) -> Result<u32, Errno> {
    let node = sealable(entry)?;
    if !is_memory(entry) {
        return Ok(SealFlags::SEAL.bits());
    }
    let host = rustix::fs::fcntl_get_seals(node.memory()?)?.bits();
    let own = lock(&node.changeable).execution_sealed;
    Ok(host | if own { SEAL_EXECUTION } else { 0 })
}

/// Seals more of it.
///
/// # Errors
/// As fcntl(2).
pub fn add_seals(entry: &Entry, seals: u32) -> Result<(), Errno> {
    const ALL: u32 = 0x3f;
    // Shrinking, growing, writing, writing in future.
    const CONTENT: u32 = 0x1e;
    let node = sealable(entry)?;
    if seals & !ALL != 0 {
        return Err(Errno::INVAL);
    }
    if !is_memory(entry) {
        return Err(Errno::PERM);
    }
    let execution = seals & SEAL_EXECUTION != 0;
    let memory = node.memory()?;
    // Its mode stays as it is until it is sealed.
    let mut now = lock(&node.changeable);
    let executable = now.permissions & 0o111 != 0;
    let implied = if execution && executable { CONTENT } else { 0 };
    let host = SealFlags::from_bits_retain(seals & !SEAL_EXECUTION | implied);
    rustix::fs::fcntl_add_seals(memory, host)?;
    now.execution_sealed |= execution;
    Ok(())
}

fn sealable(entry: &Entry) -> Result<&Arc<TmpNode>, Errno> {
    match &entry.node {
        Node::Tmp(node) if node.kind == Kind::Regular && node.queue().is_none() => Ok(node),
        _ => Err(Errno::INVAL),
    }
}
