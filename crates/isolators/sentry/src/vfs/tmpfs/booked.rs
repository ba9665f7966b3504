//! What a file in a memfd takes of the file system's room, and pages that are set aside for it.

use std::os::fd::OwnedFd;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::room::{PAGE, Room, pages};

/// Bytes that are set aside at once: what others may miss for a moment.
const PIECE: u64 = 1 << 20;

/// What a file takes of the file system's room.
#[derive(Debug, Default)]
pub(super) struct Booked {
    pub(super) bytes: u64,
    /// Something was allocated behind the end.
    pub(super) ahead: bool,
}

impl Booked {
    /// Books what a file has after a change for which `more` was taken.
    pub(super) fn settle(&mut self, fd: &OwnedFd, room: &Room, more: u64) {
        let taken = self.bytes + more;
        let now = held(fd).map_or(taken, |(_, bytes)| bytes);
        match now.checked_sub(taken) {
            // Programs that have it mapped filled its holes.
            Some(more) => room.exceed(more),
            None => room.give(taken - now),
        }
        self.bytes = now;
    }

    /// Bytes that are there and not booked.
    pub(super) fn grown(&self, fd: &OwnedFd) -> Result<u64, Errno> {
        Ok(held(fd)?.1.saturating_sub(self.bytes))
    }

    /// Sets all pages of a range aside, or none.
    ///
    /// # Errors
    /// `ENOSPC`, and what the host says.
    pub(super) fn reserve(
        &mut self,
        fd: &OwnedFd,
        room: &Room,
        (first, last): (u64, u64),
    ) -> Result<(), Errno> {
        let mut fresh = Vec::new();
        let mut at = first;
        let done = loop {
            match self.reserve_piece(fd, room, (at, last)) {
                Ok(None) => break Ok(()),
                Ok(Some((from, to, is_new))) => {
                    if is_new {
                        fresh.push((from, to));
                    }
                    at = to;
                }
                Err(errno) => break Err(errno),
            }
        };
        if done.is_err() {
            self.ahead = true;
            // What was there before is none of the file's holes: the host cleared pages that
            // had been set aside when it was asked for them again.
            for (from, to) in fresh {
                let _ = punch_holes(fd, from, to);
            }
        }
        self.settle(fd, room, 0);
        done
    }

    /// Sets aside the first of what is missing in a range; where that is, and whether anything
    /// of it is new.
    fn reserve_piece(
        &mut self,
        fd: &OwnedFd,
        room: &Room,
        (at, last): (u64, u64),
    ) -> Result<Option<(u64, u64, bool)>, Errno> {
        let Some((from, to)) = hole(fd, at, last)? else { return Ok(None) };
        let end = pages(held(fd)?.0);
        // Behind the end nothing tells what is there already.
        let most = if from >= end && self.ahead { PAGE } else { PIECE };
        let edge = if from < end { end } else { u64::MAX };
        let got = room.take_pages((to - from).min(most).min(edge - from));
        // Pages that were set aside already look like a hole, and need no room.
        let to = from + got.max(PAGE);
        let before = self.bytes;
        let done = rustix::fs::fallocate(fd, FallocateFlags::KEEP_SIZE, from, to - from);
        if got > 0 || done.is_err() {
            self.settle(fd, room, got);
        } else {
            let grown = self.grown(fd)?;
            if let Err(full) = room.take(grown) {
                punch_holes(fd, from, to)?;
                return Err(full);
            }
            self.bytes += grown;
        }
        done?;
        Ok(Some((from, to, self.bytes > before)))
    }
}

/// Size and memory of a memfd.
pub(super) fn held(fd: &OwnedFd) -> Result<(u64, u64), Errno> {
    let stat = rustix::fs::fstat(fd)?;
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok((number(stat.st_size), number(stat.st_blocks) * 512))
}

/// The first hole from `at` on, up to `end`.
pub(super) fn hole(fd: &OwnedFd, at: u64, end: u64) -> Result<Option<(u64, u64)>, Errno> {
    let find = |to| match rustix::fs::seek(fd, to) {
        Err(Errno::NXIO) => Ok(None),
        found => found.map(Some),
    };
    // Behind the end there is nothing else.
    // That of the end is not one until the next page.
    let from = pages(find(SeekFrom::Hole(at))?.unwrap_or(at));
    let to = find(SeekFrom::Data(from))?.unwrap_or(end).min(end);
    Ok((from < to).then_some((from, to)))
}

/// Bytes of all holes in a range.
pub(super) fn holes(fd: &OwnedFd, mut at: u64, end: u64) -> Result<u64, Errno> {
    let mut sum = 0;
    while let Some((from, to)) = hole(fd, at, end)? {
        sum += to - from;
        at = to;
    }
    Ok(sum)
}

fn punch_holes(fd: &OwnedFd, mut at: u64, end: u64) -> Result<(), Errno> {
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    while let Some((from, to)) = hole(fd, at, end)? {
        rustix::fs::fallocate(fd, punch, from, to - from)?;
        at = to;
    }
    Ok(())
}
