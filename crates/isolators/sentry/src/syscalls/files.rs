//! Files: open, close, positions, sizes, listings.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::vfs::{End, Kind, Limits, Listed, open, status};

use super::paths::start_of;
use super::{Call, Outcome};

/// Bytes of names that one getdents64(2) gives at most.
const LISTING: usize = 64 << 10;

pub(super) fn offset(call: &Call<'_>, index: usize) -> Result<u64, Errno> {
    let offset = call.arg(index);
    if offset.cast_signed() < 0 { Err(Errno::INVAL) } else { Ok(offset) }
}

pub(super) fn open_at(call: &Call<'_>) -> Outcome {
    let path = call.path(1)?;
    do_open(call, Some(0), &path, (call.uint(2), call.uint(3)), Limits::empty())
}

pub(super) fn open_plain(call: &Call<'_>) -> Outcome {
    let path = call.path(0)?;
    do_open(call, None, &path, (call.uint(1), call.uint(2)), Limits::empty())
}

pub(super) fn creat(call: &Call<'_>) -> Outcome {
    let path = call.path(0)?;
    let flags = status::CREATE | status::WRITE_ONLY | status::TRUNCATE;
    do_open(call, None, &path, (flags, call.uint(1)), Limits::empty())
}

/// `struct open_how`: flags, mode, limits.
pub(super) fn openat2(call: &Call<'_>) -> Outcome {
    const SIZE: u64 = 24;
    const MOST: u64 = 4096;
    const KNOWN: u64 = 0o3777_7703;
    const CACHED: u64 = 0x20;
    let length = call.arg(3);
    if length < SIZE {
        return Err(Errno::INVAL.into());
    }
    if length > MOST {
        return Err(Errno::TOOBIG.into());
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    call.memory().read(call.arg(2), &mut bytes)?;
    let (how, rest) = bytes.split_at_checked(24).ok_or(Errno::INVAL)?;
    // Fields of newer kernels, which must not be used.
    if rest.iter().any(|b| *b != 0) {
        return Err(Errno::TOOBIG.into());
    }
    let word = |at: usize| {
        how.get(at..at + 8).and_then(|w| w.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    let (flags, mode) = (word(0), word(8));
    let limits = Limits::from_bits(word(16) & !CACHED).ok_or(Errno::INVAL)?;
    let creates = flags & 0o2000_0100 != 0;
    if flags & !KNOWN != 0
        || mode & !0o7777 != 0
        || (mode != 0 && !creates)
        || limits.contains(Limits::BENEATH | Limits::IN_ROOT)
    {
        return Err(Errno::INVAL.into());
    }
    if word(16) & CACHED != 0 {
        return Err(Errno::AGAIN.into());
    }
    let path = call.path(1)?;
    let low = |word: u64| u32::try_from(word & 0xffff_ffff).unwrap_or(0);
    do_open(call, Some(0), &path, (low(flags), low(mode)), limits)
}

fn do_open(
    call: &Call<'_>,
    directory: Option<usize>,
    path: &[u8],
    (flags, mode): (u32, u32),
    limits: Limits,
) -> Outcome {
    // What can't be opened must not be made, nor emptied.
    call.files().check_room()?;
    // With it, an absolute path starts at the directory too.
    let from = if limits.contains(Limits::IN_ROOT) { &b"."[..] } else { path };
    let start = start_of(call, directory, from)?;
    let close_on_exec = flags & status::CLOSE_ON_EXEC != 0;
    let umask = call.thread.fs().umask.load(Ordering::SeqCst);
    let mode = mode & 0o7777 & !umask;
    if flags & status::TEMPORARY == status::TEMPORARY {
        let walker = call.walker();
        let folder = walker.walk_within(&start, path, true, limits)?.existing()?;
        let file = open::open_unnamed(&walker, &folder, flags, mode)?;
        return Ok(call.files().add(file, 0, close_on_exec)?.into());
    }
    let walker = call.walker();
    let exclusive =
        flags & (status::CREATE | status::EXCLUSIVE) == status::CREATE | status::EXCLUSIVE;
    let follow = flags & status::NO_FOLLOW == 0 && !exclusive;
    let writes = flags & (status::ACCESS | status::CREATE | status::TRUNCATE) != 0;
    let reads = !writes && flags & status::PATH == 0;
    let end = if reads { End::Read } else { End::File };
    let mut tries = 10;
    let file = loop {
        let found = walker.walk_to(&start, path, follow, limits, end)?;
        match open::open(&walker, call, found, flags, mode) {
            // Somebody has made it since it was looked for.
            Err(failure) if failure == Errno::EXIST.into() && !exclusive && tries > 0 => tries -= 1,
            other => break other?,
        }
    };
    Ok(call.files().add(file, 0, close_on_exec)?.into())
}

pub(super) fn close(call: &Call<'_>) -> Outcome {
    drop(call.files().remove(call.uint(0))?);
    Ok(0)
}

pub(super) fn close_range(call: &Call<'_>) -> Outcome {
    const UNSHARE: u32 = 2;
    const CLOSE_ON_EXEC: u32 = 4;
    let (first, last, flags) = (call.uint(0), call.uint(1), call.uint(2));
    if first > last || flags & !(UNSHARE | CLOSE_ON_EXEC) != 0 {
        return Err(Errno::INVAL.into());
    }
    if flags & UNSHARE != 0 {
        call.thread.process.own_files(call.kernel);
    }
    call.files().close_range(first..=last, flags & CLOSE_ON_EXEC != 0);
    Ok(0)
}

pub(super) fn lseek(call: &Call<'_>) -> Outcome {
    const DATA: u32 = 3;
    const HOLE: u32 = 4;
    let file = call.open_file(0)?;
    if file.is_everywhere() {
        // It is at its beginning wherever it is sent.
        return Ok(0);
    }
    if !file.seekable {
        return Err(Errno::SPIPE.into());
    }
    let by = call.arg(1).cast_signed();
    let mut position = file.position.lock();
    let base = match call.uint(2) {
        0 => 0,
        1 => position.cast_signed(),
        2 => file.file.attributes()?.size.cast_signed(),
        whence @ (DATA | HOLE) => {
            let found = file.file.seek_content(offset(call, 1)?, whence == HOLE)?;
            *position = found;
            return Ok(found.cast_signed());
        }
        _ => return Err(Errno::INVAL.into()),
    };
    let target = base.checked_add(by).filter(|t| *t >= 0).ok_or(Errno::INVAL)?;
    *position = target.cast_unsigned();
    Ok(target)
}

/// Lists a directory; `record` writes a name as the caller's structure has it.
fn list(call: &Call<'_>, record: fn(&Listed, usize, &mut Vec<u8>)) -> Outcome {
    /// Inode number, position, length of the record.
    const HEAD: usize = 18;
    let file = call.open_file(0)?;
    let directory = file.directory.as_ref().ok_or(Errno::NOTDIR)?;
    let room = usize::try_from(call.uint(2)).unwrap_or(usize::MAX).min(LISTING);
    let mut position = file.position.lock();
    let names = directory.list(*position)?;
    let mut bytes = Vec::new();
    let mut next = *position;
    for name in &names {
        // The name's zero, and the type.
        let length = (HEAD + name.name.len() + 2).next_multiple_of(8);
        if bytes.len() + length > room {
            break;
        }
        let start = bytes.len();
        bytes.extend_from_slice(&name.inode.to_le_bytes());
        bytes.extend_from_slice(&name.next.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_le_bytes());
        record(name, start + length, &mut bytes);
        next = name.next;
    }
    if bytes.is_empty() && !names.is_empty() {
        return Err(Errno::INVAL.into());
    }
    call.memory().write(call.arg(1), &bytes)?;
    *position = next;
    Ok(i64::try_from(bytes.len()).unwrap_or(0))
}

pub(super) fn getdents64(call: &Call<'_>) -> Outcome {
    list(call, |name, end, bytes| {
        bytes.push(name.kind);
        bytes.extend_from_slice(&name.name);
        bytes.resize(end, 0);
    })
}

/// The old structure has the type at its end.
pub(super) fn getdents(call: &Call<'_>) -> Outcome {
    list(call, |name, end, bytes| {
        bytes.extend_from_slice(&name.name);
        bytes.resize(end - 1, 0);
        bytes.push(name.kind);
    })
}

pub(super) fn ftruncate(call: &Call<'_>) -> Outcome {
    let file = call.open_file(0)?;
    let size = offset(call, 1)?;
    if !file.writable() {
        return Err(Errno::INVAL.into());
    }
    let now = file.file.attributes()?;
    if now.kind() == Kind::Regular {
        super::allow_growth(call, now.size, size)?;
    }
    file.disarm(call);
    file.file.truncate(size)?;
    file.changed();
    Ok(0)
}

pub(super) fn fsync(call: &Call<'_>) -> Outcome {
    let file = call.open_file(0)?;
    let is_stored = match &file.entry {
        None => file.file.descriptor().is_some(),
        Some(entry) => {
            matches!(entry.kind(), Kind::Regular | Kind::Directory) && entry.mount.kind != "proc"
        }
    };
    if !is_stored {
        return Err(Errno::INVAL.into());
    }
    file.sync()?;
    Ok(0)
}

pub(super) fn sync_file_range(call: &Call<'_>) -> Outcome {
    const KNOWN: u32 = 7;
    let file = call.open_file(0)?;
    let (flags, start, length) = (call.uint(3), offset(call, 1)?, offset(call, 2)?);
    let end = start.checked_add(length).filter(|end| end.cast_signed() >= 0);
    if flags & !KNOWN != 0 || end.is_none() {
        return Err(Errno::INVAL.into());
    }
    let kind = file.file.attributes()?.kind();
    if !matches!(kind, Kind::Regular | Kind::Block | Kind::Directory | Kind::Link) {
        return Err(Errno::SPIPE.into());
    }
    file.file.sync_range(start, length, flags)?;
    Ok(0)
}

pub(super) fn syncfs(call: &Call<'_>) -> Outcome {
    call.kernel.files.sync_around(&*call.open_file(0)?)?;
    Ok(0)
}

pub(super) fn readahead(call: &Call<'_>) -> Outcome {
    let file = call.open_file(0)?;
    if !file.readable() {
        return Err(Errno::BADF.into());
    }
    // Advice: nothing needs to come of it.
    let attributes = file.file.attributes()?;
    let is_stored =
        attributes.has_kind() && matches!(attributes.kind(), Kind::Regular | Kind::Block);
    if is_stored { Ok(0) } else { Err(Errno::INVAL.into()) }
}

pub(super) fn fallocate(call: &Call<'_>) -> Outcome {
    let file = call.open_file(0)?;
    if !file.writable() {
        return Err(Errno::BADF.into());
    }
    let (start, length) = (offset(call, 2)?, offset(call, 3)?);
    if length == 0 {
        return Err(Errno::INVAL.into());
    }
    let now = file.file.attributes()?;
    match now.kind() {
        Kind::Regular => {}
        Kind::Fifo => return Err(Errno::SPIPE.into()),
        Kind::Directory => return Err(Errno::ISDIR.into()),
        _ => return Err(Errno::NODEV.into()),
    }
    let mode = rustix::fs::FallocateFlags::from_bits(call.uint(1)).ok_or(Errno::OPNOTSUPP)?;
    if !mode.contains(rustix::fs::FallocateFlags::KEEP_SIZE) {
        super::allow_growth(call, now.size, start.saturating_add(length))?;
    }
    file.file.allocate(mode, start, length)?;
    file.changed();
    Ok(0)
}

pub(super) fn fadvise64(call: &Call<'_>) -> Outcome {
    /// `POSIX_FADV_NOREUSE`
    const LAST: u32 = 5;
    let file = call.open_file(0)?;
    if file.file.attributes()?.kind() == Kind::Fifo {
        return Err(Errno::SPIPE.into());
    }
    if call.arg(2).cast_signed() < 0 || call.uint(3) > LAST {
        return Err(Errno::INVAL.into());
    }
    // Nothing needs to come of it.
    Ok(0)
}
