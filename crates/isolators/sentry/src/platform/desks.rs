//! The pages in which a stub's threads post calls (`post.rs`): a desk for each, and a room
//! for what calls read and write.
//!
//! The guest can write all of it at any time. So a state says nothing but that somebody
//! wants something; what is in a desk is read once, and what it asks for is judged as any
//! call is.

use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;

use super::HostCall;
use super::process::last_errno;
use super::stub::{DESKS, Slot};

/// Bytes of all of them.
pub const SIZE: u64 = LENGTH as u64;
const LENGTH: usize = ROOMS + COUNT * 2 * ROOM;
/// Bytes of a desk: two lines of the processor's cache.
const DESK_SIZE: usize = 128;
/// Desks of an address space: one for each of its first threads.
const COUNT: usize = 64;
/// Where the rooms begin.
const ROOMS: usize = COUNT * DESK_SIZE;
/// Bytes of each half of a room: what a call reads, and behind it what it writes.
pub const ROOM: usize = 4096;

/// Offsets in a desk: its state; whether somebody looks at it; the call's number, and then
/// its answer; six arguments.
pub(super) const STATE: usize = 0;
pub(super) const PRESENT: usize = 4;
pub(super) const NUMBER: usize = 8;
pub(super) const FIRST_ARGUMENT: usize = 16;
/// Where what is in the room's first half was, and how much; where what it is given goes, and how
/// much.
pub(super) const IN_ADDRESS: usize = 64;
pub(super) const IN_LENGTH: usize = 72;
pub(super) const OUT_ADDRESS: usize = 80;
pub(super) const OUT_LENGTH: usize = 88;
/// Where that is, as the thread has it.
pub(super) const OUT_FROM: usize = 96;

/// A call is there.
pub(super) const POSTED: u32 = 1;
/// It is being served.
pub(super) const TAKEN: u32 = 2;
/// Its answer is there.
pub(super) const ANSWERED: u32 = 4;
/// The thread is to make it.
const REFUSED: u32 = 8;
/// Its answer is there, and something to be copied: from the room's second half, or from a file
/// that the thread has in view.
pub(super) const WROTE: u32 = 16;
/// The thread is to make it, as it is, or with another address, where the room's part goes.
pub(super) const APPROVED: u32 = 32;

/// A piece of the guest's memory: where, and how many bytes.
pub type Piece = (u64, usize);

/// What a thread is to copy to where it wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gift {
    /// To where.
    pub to: Piece,
    /// From where in its own memory; from its room, if it is not told.
    pub from: Option<u64>,
}

/// The pages as the sentry has them.
#[derive(Debug)]
pub struct Desks {
    page: NonNull<u8>,
}

// SAFETY: all access is by atomics, or by `copy`, in a mapping that lives as long as this.
unsafe impl Send for Desks {}
// SAFETY: the same.
unsafe impl Sync for Desks {}

impl Desks {
    /// New pages, and the descriptor by which a stub maps them.
    ///
    /// # Errors
    /// What the host says.
    pub fn new() -> Result<(Self, OwnedFd), Errno> {
        let fd = rustix::fs::memfd_create("calls", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&fd, SIZE)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let (at, raw) = (std::ptr::null_mut(), fd.as_raw_fd());
        let flags = libc::MAP_SHARED;
        // SAFETY: a new mapping, wherever the kernel likes.
        let at = unsafe { libc::mmap(at, LENGTH, protection, flags, raw, 0) };
        if at == libc::MAP_FAILED {
            return Err(last_errno());
        }
        let page = NonNull::new(at.cast::<u8>()).ok_or(Errno::NOMEM)?;
        Ok((Desks { page }, fd))
    }

    /// Where stubs map it.
    #[must_use]
    pub fn start() -> u64 {
        DESKS
    }

    /// Where a thread has its desk; `None` if there are too many.
    #[must_use]
    pub fn place(slot: Slot) -> Option<u64> {
        Some(DESKS + desk_of(slot)? as u64)
    }

    /// Where it has its room.
    pub(super) fn place_of_room(slot: Slot) -> Option<u64> {
        Some(DESKS + room_of(slot)? as u64)
    }

    /// The halves of a room.
    pub(super) fn room(&self, slot: Slot) -> Option<[SharedRoom; 2]> {
        let start = room_of(slot)?;
        // SAFETY: both are within the mapping.
        Some([start, start + ROOM].map(|half| SharedRoom(unsafe { self.page.add(half) })))
    }

    fn at(&self, slot: Slot, offset: usize) -> Option<NonNull<u8>> {
        // SAFETY: index and offset are within the mapping.
        Some(unsafe { self.page.add(desk_of(slot)? + offset) })
    }

    fn word(&self, slot: Slot, offset: usize) -> Option<&AtomicU32> {
        let word = self.at(slot, offset)?.cast::<AtomicU32>();
        // SAFETY: aligned, mapped as long as `self`, and only ever used as an atomic here; the
        // guest's writes are those of another process.
        Some(unsafe { word.as_ref() })
    }

    fn long(&self, slot: Slot, offset: usize) -> Option<&AtomicU64> {
        let word = self.at(slot, offset)?.cast::<AtomicU64>();
        // SAFETY: as in `word`.
        Some(unsafe { word.as_ref() })
    }

    /// Whether a call seems to be there.
    #[must_use]
    pub fn is_posted(&self, slot: Slot) -> bool {
        self.word(slot, STATE).is_some_and(|state| state.load(Ordering::Acquire) == POSTED)
    }

    /// Tells a thread whether somebody looks at its desk from now on; true if it was told the
    /// same before, and has not found anybody in vain since.
    pub fn announce(&self, slot: Slot, present: bool) -> bool {
        let Some(word) = self.word(slot, PRESENT) else { return true };
        let wanted = u32::from(present);
        // Not written without need: the line is the other processor's.
        let same = word.load(Ordering::Relaxed) == wanted;
        if !same {
            word.store(wanted, Ordering::Release);
        }
        same
    }

    fn change(&self, slot: Slot, from: u32, to: u32) -> bool {
        self.word(slot, STATE).is_some_and(|state| {
            state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    /// Takes a posted call. It is to be answered or refused.
    #[must_use]
    pub fn take(&self, slot: Slot) -> Option<HostCall> {
        if !self.change(slot, POSTED, TAKEN) {
            return None;
        }
        let read = |offset| self.long(slot, offset).map_or(0, |word| word.load(Ordering::Relaxed));
        let args = std::array::from_fn(|index| self.argument(slot, index).unwrap_or(0));
        Some(HostCall { number: read(NUMBER), args })
    }

    fn piece(&self, slot: Slot, address: usize, length: usize) -> Option<Piece> {
        let read = |offset| Some(self.long(slot, offset)?.load(Ordering::Relaxed));
        let length = usize::try_from(read(length)?).ok().filter(|length| *length <= ROOM)?;
        Some((read(address)?, length))
    }

    /// What a taken call has brought along.
    pub(super) fn brought(&self, slot: Slot) -> Option<Piece> {
        self.piece(slot, IN_ADDRESS, IN_LENGTH)
    }

    #[cfg(test)]
    pub(super) fn bring(&self, slot: Slot, (address, length): Piece) {
        self.long(slot, IN_ADDRESS).unwrap().store(address, Ordering::SeqCst);
        self.long(slot, IN_LENGTH).unwrap().store(length as u64, Ordering::SeqCst);
    }

    /// What a taken call returns, and what is there for its thread.
    pub fn answer(&self, slot: Slot, value: i64, gift: Option<Gift>) {
        let (Some(word), Some(state)) = (self.long(slot, NUMBER), self.word(slot, STATE)) else {
            return;
        };
        word.store(value.cast_unsigned(), Ordering::Relaxed);
        let Some(Gift { to: (address, length), from }) = gift else {
            state.store(ANSWERED, Ordering::Release);
            return;
        };
        let room = || Desks::place_of_room(slot).map_or(0, |room| room + ROOM as u64);
        let from = from.unwrap_or_else(room);
        for (offset, value) in
            [(OUT_ADDRESS, address), (OUT_LENGTH, length as u64), (OUT_FROM, from)]
        {
            if let Some(word) = self.long(slot, offset) {
                word.store(value, Ordering::Relaxed);
            }
        }
        state.store(WROTE, Ordering::Release);
    }

    /// The thread makes a taken call by the instruction that the filter has for it, with that
    /// first argument.
    pub fn approve(&self, slot: Slot, address: u64) {
        let (Some(word), Some(state)) = (self.long(slot, OUT_ADDRESS), self.word(slot, STATE))
        else {
            return;
        };
        word.store(address, Ordering::Relaxed);
        state.store(APPROVED, Ordering::Release);
    }

    /// The desk's thread was interrupted where it makes a call that was approved: whether there
    /// is one.
    pub(super) fn withdraw(&self, slot: Slot) -> bool {
        self.change(slot, APPROVED, 0)
    }

    /// An argument of the call that is, or was, in the desk.
    pub(super) fn argument(&self, slot: Slot, index: usize) -> Option<u64> {
        Some(self.long(slot, FIRST_ARGUMENT + index * 8)?.load(Ordering::Relaxed))
    }

    /// The thread is to make a taken call itself.
    pub fn refuse(&self, slot: Slot) {
        if let Some(state) = self.word(slot, STATE) {
            state.store(REFUSED, Ordering::Release);
        }
    }

    /// The same of one that is only posted.
    pub fn refuse_posted(&self, slot: Slot) {
        self.change(slot, POSTED, REFUSED);
    }

    /// The desk's thread was interrupted while it spun: the answer, if there is one, and
    /// what it is still to be given. Else its call is not there any more.
    pub(super) fn settle(&self, slot: Slot) -> Option<(u64, Option<(Piece, SharedRoom)>)> {
        let wrote = self.change(slot, WROTE, 0);
        if !wrote && !self.change(slot, ANSWERED, 0) {
            self.change(slot, POSTED, 0);
            return None;
        }
        let answer = self.long(slot, NUMBER)?.load(Ordering::Relaxed);
        let [_, room] = self.room(slot)?;
        let piece = wrote.then(|| self.piece(slot, OUT_ADDRESS, OUT_LENGTH)).flatten();
        Some((answer, piece.map(|piece| (piece, room))))
    }
}

/// Half a room. It is there as long as its [`Desks`], whose borrower alone has it; the guest
/// may write to it at any time.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedRoom(NonNull<u8>);

impl SharedRoom {
    /// Copies what begins at `from`.
    pub(super) fn read(self, from: usize, into: &mut [u8]) -> bool {
        let fits = from.checked_add(into.len()).is_some_and(|end| end <= ROOM);
        if fits {
            // SAFETY: within the half, which is mapped.
            unsafe { copy(self.0.as_ptr().add(from), into.as_mut_ptr(), into.len()) };
        }
        fits
    }

    /// Copies to what begins at `to`.
    pub(super) fn write(self, to: usize, from: &[u8]) -> bool {
        let fits = to.checked_add(from.len()).is_some_and(|end| end <= ROOM);
        if fits {
            // SAFETY: within the half, which is mapped.
            unsafe { copy(from.as_ptr(), self.0.as_ptr().add(to), from.len()) };
        }
        fits
    }
}

/// Copies bytes of which another process may change some meanwhile: by an instruction of which
/// the compiler assumes nothing.
///
/// # Safety
/// Both are mapped, and nothing but the guest or the caller has to do with them.
unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: the caller's promise; the direction flag is clear in Rust code.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") length => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Where a thread has its desk and its room in the mapping; `None` if there are too many.
fn desk_of(slot: Slot) -> Option<usize> {
    Some(index_of(slot)? * DESK_SIZE)
}

fn room_of(slot: Slot) -> Option<usize> {
    Some(ROOMS + index_of(slot)? * 2 * ROOM)
}

fn index_of(slot: Slot) -> Option<usize> {
    usize::try_from(slot.0).ok().filter(|index| *index < COUNT)
}

impl Drop for Desks {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; nothing refers to it any more.
        unsafe { libc::munmap(self.page.as_ptr().cast(), LENGTH) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_taken_once_and_answered() {
        let (desks, _fd) = Desks::new().unwrap();
        let slot = Slot(3);
        let set = |state| desks.word(slot, STATE).unwrap().store(state, Ordering::SeqCst);
        assert!(desks.take(slot).is_none() && !desks.is_posted(slot));
        desks.long(slot, NUMBER).unwrap().store(8, Ordering::SeqCst);
        desks.long(slot, FIRST_ARGUMENT + 40).unwrap().store(6, Ordering::SeqCst);
        set(POSTED);
        assert!(desks.is_posted(slot) && !desks.is_posted(Slot(2)));
        let call = desks.take(slot).unwrap();
        assert_eq!((call.number, call.args[5]), (8, 6));
        assert!(desks.take(slot).is_none());
        desks.answer(slot, -9, None);
        let settled = || desks.settle(slot).map(|(answer, piece)| (answer, piece.map(|p| p.0)));
        assert_eq!(settled(), Some(((-9_i64).cast_unsigned(), None)));
        assert_eq!(settled(), None);
        let from = || desks.long(slot, OUT_FROM).unwrap().load(Ordering::SeqCst);
        desks.answer(slot, 7, Some(Gift { to: (0x1234, 9), from: None }));
        assert_eq!(from(), DESKS + (ROOMS + 7 * ROOM) as u64);
        assert_eq!(settled(), Some((7, Some((0x1234, 9)))));
        desks.answer(slot, 9000, Some(Gift { to: (0x1234, 9000), from: Some(0x5000) }));
        assert_eq!(from(), 0x5000);
        // More than is in any room.
        assert_eq!(settled(), Some((9000, None)));
        assert_eq!(settled(), None);
        set(POSTED);
        assert_eq!(settled(), None);
        assert!(!desks.is_posted(slot));
        set(77);
        assert!(desks.take(slot).is_none());
        assert_eq!(settled(), None);
    }

    #[test]
    fn rooms_are_apart_and_bounded() {
        let (desks, _fd) = Desks::new().unwrap();
        let halves = [Slot(0), Slot(63)].map(|slot| desks.room(slot).unwrap());
        for (byte, half) in (1_u8..).zip(halves.iter().flatten()) {
            assert!(half.write(0, &[byte; ROOM]) && half.write(ROOM, &[]));
            assert!(!half.write(1, &[byte; ROOM]) && !half.write(usize::MAX, &[byte]));
        }
        for (byte, half) in (1_u8..).zip(halves.iter().flatten()) {
            let mut all = [0; ROOM];
            assert!(half.read(0, &mut all) && all == [byte; ROOM]);
            assert!(!half.read(1, &mut all) && !half.read(usize::MAX, &mut [0]));
        }
        assert!(desks.room(Slot(64)).is_none() && !desks.is_posted(Slot(0)));
        let slot = Slot(2);
        for (length, brought) in [(ROOM, true), (ROOM + 1, false), (usize::MAX, false)] {
            desks.bring(slot, (5, length));
            assert_eq!(desks.brought(slot), brought.then_some((5, length)));
        }
    }

    #[test]
    fn threads_beyond_the_page_have_no_desk() {
        let (desks, _fd) = Desks::new().unwrap();
        assert_eq!(Desks::place(Slot(0)), Some(DESKS));
        assert_eq!(Desks::place(Slot(63)), Some(DESKS + 63 * 128));
        for slot in [Slot(64), Slot(8191), Slot(u32::MAX)] {
            assert_eq!(Desks::place(slot), None);
            assert!(!desks.is_posted(slot) && desks.take(slot).is_none());
            desks.answer(slot, 1, None);
            desks.refuse(slot);
        }
        assert!(!desks.announce(Slot(1), true) && desks.announce(Slot(1), true));
    }
}
