//! `remap_file_pages(2)`: another part of a file in place of the one that is mapped, as mmap(2)
//! would do it.

use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::Frame;
use crate::mm::{Area, Areas, Backing, Marks, PAGE, Space};
use crate::task::waiter::lock;
use crate::vfs::OpenFile;

use super::mapping::wanted;
use super::memory::{Mapping, in_turn, make, map};
use super::{Call, Failure, Framed, Outcome};

const NONBLOCK: u64 = 0x1_0000;

/// What is asked for, as far as that can be told without the space: which pages, and where in the
/// file they are to be.
fn asked(call: &Call<'_>) -> Result<(Range<u64>, u64), Errno> {
    let [start, size, protection, page, ..] = call.args;
    let (start, size) = (start & !(PAGE - 1), size & !(PAGE - 1));
    let end = start.checked_add(size).filter(|end| *end > start).ok_or(Errno::INVAL)?;
    let last = page.checked_add(size / PAGE).ok_or(Errno::INVAL)?;
    if protection != 0 {
        return Err(Errno::INVAL);
    }
    // Beyond what a file can have.
    if last > u64::MAX / PAGE {
        return Err(Errno::OVERFLOW);
    }
    Ok((start..end, page * PAGE))
}

pub(super) fn check(call: &Call<'_>) -> Outcome {
    asked(call)?;
    Err(Failure::NeedsFrame)
}

/// The area that all of a range is in: one, or several of one file with the same rights.
fn mapped(areas: &Areas, at: &Range<u64>) -> Result<Area, Errno> {
    let (_, first) = areas.at(at.start).ok_or(Errno::INVAL)?;
    let Backing::File { id, shared: true, .. } = &first.backing else { return Err(Errno::INVAL) };
    let like = |area: &Area| {
        let same = matches!(&area.backing, Backing::File { id: of, shared: true, .. } if of == id);
        same && area.protection == first.protection && area.marks == first.marks
    };
    let all = areas.is_mapped(at) && areas.within(at).all(like);
    all.then(|| first.clone()).ok_or(Errno::INVAL)
}

/// The file, as the process has it open: with the most rights.
fn open_file(call: &Call<'_>, id: (u64, u64)) -> Result<Arc<OpenFile>, Errno> {
    let files = call.files();
    let is_it = |file: &Arc<OpenFile>| {
        file.readable()
            && file.file.descriptor().is_some()
            && file.file.attributes().is_ok_and(|told| (told.device, told.inode) == id)
    };
    let all = files.numbers().into_iter().filter_map(|number| files.get(number).ok());
    let all: Vec<Arc<OpenFile>> = all.filter(is_it).collect();
    let best = all.iter().find(|file| file.writable()).or(all.first());
    best.cloned().ok_or(Errno::INVAL)
}

pub(super) fn remap_file_pages(call: &Call<'_>, frame: &Frame) -> Framed {
    let (at, offset) = asked(call)?;
    let before = mapped(&lock(&call.thread.space().areas), &at)?;
    let Backing::File { id, .. } = before.backing else { return Err(Errno::INVAL.into()) };
    let file = open_file(call, id)?;
    let protection = before.protection.0 & 7;
    let want = wanted(call, Some(&file), (map::SHARED, protection, offset))?;
    // Nothing else came there meanwhile.
    let decide = |space: &Arc<Space>| {
        let now = mapped(&lock(&space.areas), &at)?;
        let same = now.protection == before.protection && now.marks == before.marks;
        let same = same && matches!(now.backing, Backing::File { id: now, .. } if now == id);
        if same { Ok(()) } else { Err(Errno::INVAL.into()) }
    };
    let (space, ()) = in_turn(call, decide)?;
    let area = Area {
        end: at.end,
        protection: before.protection,
        backing: want.backing,
        name: "",
        label: None,
        marks: before.marks & !Marks::GROWS,
    };
    let present = if call.arg(4) & NONBLOCK == 0 { map::POPULATE } else { 0 };
    let (descriptor, host_flags) = (want.descriptor, want.host_flags | present);
    let (start, answer) = (at.start, Some(0));
    // They count as uses of the file, which the guest may not find any more once it goes on.
    drop((file, before.backing));
    make(call, frame, space, Mapping { start, area, descriptor, host_flags, offset, answer })
}
