//! inotify: being told of what happens to files.

use rustix::io::Errno;

use crate::task::waiter::lock;
use crate::vfs::inotify::{InotifyFile, event};
use crate::vfs::{Kind, OpenFile, access, permit, status};

use super::paths::walk;
use super::{Call, Outcome};

fn init(call: &Call<'_>, flags: u32) -> Outcome {
    if flags & !(status::CLOSE_ON_EXEC | status::NONBLOCK) != 0 {
        return Err(Errno::INVAL.into());
    }
    let file = Box::new(InotifyFile::new()?);
    let file = OpenFile::stream(file, flags & status::NONBLOCK);
    Ok(call.files().add(file, 0, flags & status::CLOSE_ON_EXEC != 0)?.into())
}

pub(super) fn inotify_init(call: &Call<'_>) -> Outcome {
    init(call, 0)
}

pub(super) fn inotify_init1(call: &Call<'_>) -> Outcome {
    init(call, call.uint(0))
}

pub(super) fn inotify_add_watch(call: &Call<'_>) -> Outcome {
    const ONLY_DIRECTORY: u32 = 0x0100_0000;
    const DONT_FOLLOW: u32 = 0x0200_0000;
    const MASK_CREATE: u32 = 0x1000_0000;
    const MASK_ADD: u32 = 0x2000_0000;
    const HOW: u32 = ONLY_DIRECTORY | DONT_FOLLOW | MASK_CREATE | MASK_ADD;
    const KEPT: u32 = event::ALL | event::ONE_SHOT | event::NAMED_ONLY;
    let file = call.file(0)?;
    let mask = call.uint(2);
    let (add, new) = (mask & MASK_ADD != 0, mask & MASK_CREATE != 0);
    if mask & (HOW | KEPT) == 0 || (add && new) {
        return Err(Errno::INVAL.into());
    }
    let set = file.file.inotify().ok_or(Errno::INVAL)?;
    let entry = walk(call, None, 1, mask & DONT_FOLLOW == 0)?.existing()?;
    if mask & ONLY_DIRECTORY != 0 && entry.kind() != Kind::Directory {
        return Err(Errno::NOTDIR.into());
    }
    let who = lock(&call.thread.credentials).clone();
    permit(&who, &entry.attributes(call.kernel)?, access::READ)?;
    Ok(set.add(&entry, mask & KEPT, (add, new))?.into())
}

pub(super) fn inotify_rm_watch(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    file.file.inotify().ok_or(Errno::INVAL)?.remove(call.int(1))?;
    Ok(0)
}
