//! `remap_file_pages(2)`: another part of a file in place of the one that is mapped, as mmap(2)
//! would do it.

use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::Frame;
use crate::mm::{Area, Areas, Backing, Marks, PAGE, Protection, Space};
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

/// Of which file a mapping is, and what else of it stays.
type Mapped = ((u64, u64), Protection, Marks);

/// How all of a range is mapped: by one area, or several of one file with the same rights.
fn mapped(areas: &Areas, at: &Range<u64>) -> Result<Mapped, Errno> {
    let shared = |area: &Area| match area.backing {
        Backing::File { id, shared: true, .. } => Some((id, area.protection, area.marks)),
        _ => None,
    };
    let (_, first) = areas.at(at.start).ok_or(Errno::INVAL)?;
    let first = shared(first).ok_or(Errno::INVAL)?;
    let all = areas.is_mapped(at) && areas.within(at).all(|area| shared(area) == Some(first));
    all.then_some(first).ok_or(Errno::INVAL)
}

/// The file, as the process has it open: with the most rights.
fn open_file(call: &Call<'_>, id: (u64, u64)) -> Result<Arc<OpenFile>, Errno> {
    let files = call.files();
    let is_it = |file: &Arc<OpenFile>| {
        file.readable() && file.file.descriptor().is_some() && file.device_and_inode() == Ok(id)
    };
    let all = files.numbers().into_iter().filter_map(|number| files.get(number).ok());
    let all: Vec<Arc<OpenFile>> = all.filter(is_it).collect();
    let best = all.iter().find(|file| file.writable()).or(all.first());
    best.cloned().ok_or(Errno::INVAL)
}

pub(super) fn remap_file_pages(call: &Call<'_>, frame: &Frame) -> Framed {
    let (at, offset) = asked(call)?;
    let before = mapped(&lock(&call.thread.space().areas), &at)?;
    let (id, protection, marks) = before;
    let file = open_file(call, id)?;
    let want = wanted(call, Some(&file), (map::SHARED, protection.0 & 7, offset))?;
    // Nothing else came there meanwhile.
    let decide = |space: &Arc<Space>| {
        let same = mapped(&lock(&space.areas), &at)? == before;
        if same { Ok(()) } else { Err(Errno::INVAL.into()) }
    };
    let (space, ()) = in_turn(call, decide)?;
    let area = Area {
        end: at.end,
        protection,
        backing: want.backing,
        name: "",
        label: None,
        marks: marks & !Marks::GROWS,
    };
    let present = if call.arg(4) & NONBLOCK == 0 { map::POPULATE } else { 0 };
    let (descriptor, host_flags) = (want.descriptor, want.host_flags | present);
    let (start, answer) = (at.start, Some(0));
    // It counts as a use, which the guest may not find any more once it goes on.
    drop(file);
    make(call, frame, space, Mapping { start, area, descriptor, host_flags, offset, answer })
}
