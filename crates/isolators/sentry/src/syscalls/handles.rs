//! Files by handles: name_to_handle_at(2), open_by_handle_at(2).

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::Caps;
use crate::task::waiter::lock;
use crate::vfs::{Entry, Resolve, handles, open, status};

use super::paths::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, walk_or_itself};
use super::{Call, Outcome};

/// `MAX_HANDLE_SZ`
const MOST: u32 = 128;
/// The type of our handles.
const KIND: i32 = 0xca;

pub(super) fn name_to_handle_at(call: &Call<'_>) -> Outcome {
    const MOUNT_UNIQUE: u32 = 1;
    const CONNECTABLE: u32 = 2;
    const ONLY_TOLD: u32 = 0x200;
    const KNOWN: u32 = AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | ONLY_TOLD | MOUNT_UNIQUE | CONNECTABLE;
    let (address, flags) = (call.arg(2), call.uint(4));
    let has = |flag: u32| flags & flag != 0;
    if flags & !KNOWN != 0 || has(CONNECTABLE) && has(ONLY_TOLD | AT_EMPTY_PATH) {
        return Err(Errno::INVAL.into());
    }
    let (empty, follow) = (has(AT_EMPTY_PATH), has(AT_SYMLINK_FOLLOW));
    let entry = walk_or_itself(call, (0, 1), empty, follow, Errno::OPNOTSUPP)?;
    // Of others there are handles to compare, by which nothing is found.
    if !handles::can_be_found(&entry) && !has(ONLY_TOLD) {
        return Err(Errno::OPNOTSUPP.into());
    }
    let memory = call.memory();
    let (room, _) = header(call, address)?;
    if room > MOST {
        return Err(Errno::INVAL.into());
    }
    let attributes = entry.attributes(call.kernel)?;
    let id = entry.node.id().unwrap_or((attributes.device, attributes.inode));
    let handle = call.kernel.files.handles.make(&entry, id);
    let fits = usize::try_from(room).is_ok_and(|room| room >= handle.len());
    let mount = entry.mount.id.to_le_bytes();
    let number = (entry.mount.number()).to_le_bytes();
    let mount = if has(MOUNT_UNIQUE) { &mount[..] } else { &number[..4] };
    memory.write(call.arg(3), mount)?;
    let length = u32::try_from(handle.len()).unwrap_or(MOST);
    let mut told = [length.to_le_bytes(), KIND.to_le_bytes()].concat();
    if fits {
        told.extend_from_slice(&handle);
    }
    memory.write(address, &told)?;
    if fits { Ok(0) } else { Err(Errno::OVERFLOW.into()) }
}

/// `handle_bytes` and `handle_type`.
fn header(call: &Call<'_>, address: u64) -> Result<(u32, i32), Errno> {
    let word = |at: u64| call.memory().read_u32(address.wrapping_add(at));
    Ok((word(0)?, word(4)?.cast_signed()))
}

/// Anything on the mount that is meant.
fn anchor(call: &Call<'_>) -> Result<Option<Arc<Entry>>, Errno> {
    if call.int(0) == AT_FDCWD {
        return Ok(Some(call.working_directory()));
    }
    Ok(call.open_file(0)?.entry.clone())
}

pub(super) fn open_by_handle_at(call: &Call<'_>) -> Outcome {
    const VALID_FLAGS: i32 = 0x3_ffff;
    let (address, flags) = (call.arg(1), call.uint(2));
    call.files().check_room()?;
    let (length, kind) = header(call, address)?;
    if length == 0 || length > MOST || !(0..=VALID_FLAGS).contains(&kind) {
        return Err(Errno::INVAL.into());
    }
    let anchor = anchor(call)?;
    if !lock(&call.thread.credentials).can(Caps::DAC_READ_SEARCH) {
        return Err(Errno::PERM.into());
    }
    let mut handle = vec![0; usize::try_from(length).unwrap_or(0)];
    call.memory().read(address.wrapping_add(8), &mut handle)?;
    let anchor = anchor.filter(|_| kind == KIND).ok_or(Errno::STALE)?;
    let kernel = call.kernel;
    let entry = kernel.files.handles.find(kernel, &anchor.mount, &handle)?;
    let parent = entry.parent().unwrap_or_else(|| Arc::clone(&entry));
    let found = Resolve { parent, name: entry.name(), entry: Some(entry), slash: false };
    let file = open::open(&call.walker(), call, found, flags, 0)?;
    Ok(call.files().add(file, 0, flags & status::CLOSE_ON_EXEC != 0)?.into())
}
