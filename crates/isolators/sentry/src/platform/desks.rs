//! The page in which a stub's threads post calls (`post.rs`).
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

/// Bytes of the page.
pub const SIZE: u64 = LENGTH as u64;
const LENGTH: usize = 4096;
/// Bytes of a desk: a line of the processor's cache.
const DESK_SIZE: usize = 64;
/// Desks of an address space: one for each of its first threads.
const COUNT: usize = LENGTH / DESK_SIZE;

/// Offsets in a desk: its state; whether somebody looks at it; the call's number, and then
/// its answer; six arguments.
pub(super) const STATE: usize = 0;
pub(super) const PRESENT: usize = 4;
pub(super) const NUMBER: usize = 8;
pub(super) const FIRST_ARGUMENT: usize = 16;

/// A call is there.
pub(super) const POSTED: u32 = 1;
/// It is being served.
pub(super) const TAKEN: u32 = 2;
/// Its answer is there.
pub(super) const ANSWERED: u32 = 4;
/// The thread is to make it.
const REFUSED: u32 = 8;

/// The page as the sentry has it.
#[derive(Debug)]
pub struct Desks {
    page: NonNull<u8>,
}

// SAFETY: all access is by atomics, in a mapping that lives as long as this.
unsafe impl Send for Desks {}
// SAFETY: the same.
unsafe impl Sync for Desks {}

impl Desks {
    /// A new page, and the descriptor by which a stub maps it.
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
        let index = usize::try_from(slot.0).ok().filter(|index| *index < COUNT)?;
        Some(DESKS + (index * DESK_SIZE) as u64)
    }

    fn at(&self, slot: Slot, offset: usize) -> Option<NonNull<u8>> {
        let index = usize::try_from(slot.0).ok().filter(|index| *index < COUNT)?;
        // SAFETY: index and offset are within the page.
        Some(unsafe { self.page.add(index * DESK_SIZE + offset) })
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
        let args = std::array::from_fn(|index| read(FIRST_ARGUMENT + index * 8));
        Some(HostCall { number: read(NUMBER), args })
    }

    /// What a taken call returns.
    pub fn answer(&self, slot: Slot, value: i64) {
        if let (Some(word), Some(state)) = (self.long(slot, NUMBER), self.word(slot, STATE)) {
            word.store(value.cast_unsigned(), Ordering::Relaxed);
            state.store(ANSWERED, Ordering::Release);
        }
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

    /// The desk's thread was interrupted while it spun: the answer, if there is one. Else its
    /// call is not there any more.
    pub(super) fn settle(&self, slot: Slot) -> Option<u64> {
        let answered = self.change(slot, ANSWERED, 0);
        if !answered {
            self.change(slot, POSTED, 0);
        }
        answered.then(|| self.long(slot, NUMBER).map_or(0, |word| word.load(Ordering::Relaxed)))
    }
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
        desks.answer(slot, -9);
        assert_eq!(desks.settle(slot), Some((-9_i64).cast_unsigned()));
        assert_eq!(desks.settle(slot), None);
        set(POSTED);
        assert_eq!(desks.settle(slot), None);
        assert!(!desks.is_posted(slot));
        set(77);
        assert!(desks.take(slot).is_none());
        assert_eq!(desks.settle(slot), None);
    }

    #[test]
    fn threads_beyond_the_page_have_no_desk() {
        let (desks, _fd) = Desks::new().unwrap();
        assert_eq!(Desks::place(Slot(0)), Some(DESKS));
        assert_eq!(Desks::place(Slot(63)), Some(DESKS + 63 * 64));
        for slot in [Slot(64), Slot(8191), Slot(u32::MAX)] {
            assert_eq!(Desks::place(slot), None);
            assert!(!desks.is_posted(slot) && desks.take(slot).is_none());
            desks.answer(slot, 1);
            desks.refuse(slot);
        }
        assert!(!desks.announce(Slot(1), true) && desks.announce(Slot(1), true));
    }
}
