//! Pieces of files that a stub has mapped beyond what its guest can map or change, for the guest's
//! threads to copy from: what a process keeps reading it has *in view*.
//!
//! A view belongs to an open file, which it does not keep. No thread's answer names one that is
//! not in the list; one that is being copied from stays.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::platform::desks::Gift;
use crate::platform::{VIEW, view_place};
use crate::task::waiter::lock;
use crate::vfs::{Glance, OpenFile};

use super::Anchor;

/// Views of an address space.
const MOST: usize = 8;
/// Bytes that are read of a piece before it is worth a view, which costs as much as reading most
/// of that once.
const LEAST: u64 = 8 << 20;
/// The same where others of the file have been worth it.
const LEAST_MORE: u64 = 512 << 10;
/// Times that it is doubled at most where views were of no use.
const DOUBLED: u32 = 3;
/// Pieces whose reads are counted at once.
const COUNTED: usize = 8;

/// A piece of a file that is mapped.
#[derive(Debug)]
pub struct View {
    file: Weak<OpenFile>,
    /// The number of the host's descriptor that all of the file was read by: an overlay's file
    /// gets another one.
    descriptor: RawFd,
    offset: u64,
    /// Where it is mapped, by number.
    number: usize,
    glance: Mutex<Glance>,
    /// Held while it is mapped.
    anchor: Anchor,
    /// Bytes that were copied from it.
    served: AtomicU64,
    /// When it was used last, as reads are counted.
    used: AtomicU64,
    /// Its file is about to be closed by who has it in view, or shows something else by now.
    unwanted: AtomicBool,
    /// It could not be unmapped, and stays for good.
    stuck: AtomicBool,
}

impl View {
    /// How long its file is; `None` if that is to be read.
    #[must_use]
    pub fn size(&self, file: &OpenFile) -> Option<u64> {
        let mut glance = lock(&self.glance);
        let size = file.file.glance(&mut glance);
        let same = file.file.descriptor().is_some_and(|fd| fd.as_raw_fd() == self.descriptor);
        if !same || glance.is_spent() {
            self.unwanted.store(true, Ordering::SeqCst);
            // Who changes it goes on changing it; a copy is made once.
            let again = if same { OpenFile::READ } else { 0 };
            file.read_over.store(again, Ordering::Relaxed);
        }
        size.filter(|_| same)
    }

    /// Where a part of the file is mapped that is wholly in view.
    #[must_use]
    pub fn place(&self, offset: u64, length: u64) -> Option<u64> {
        let from = offset.checked_sub(self.offset)?;
        let fits = from.checked_add(length)? <= VIEW;
        if fits {
            self.served.fetch_add(length, Ordering::Relaxed);
        }
        fits.then_some(view_place(self.number) + from)
    }

    /// Where it is mapped.
    #[must_use]
    pub fn start(&self) -> u64 {
        view_place(self.number)
    }

    /// Of host memory that is shared, as files in memory are; else of a file of the host's.
    #[must_use]
    pub fn is_of_memory(&self) -> bool {
        self.anchor != Anchor::default()
    }

    fn is_of(&self, file: &OpenFile) -> bool {
        std::ptr::eq(self.file.as_ptr(), file)
    }
}

/// What a thread was told to copy, until it reports or posts a call again.
#[derive(Debug)]
pub struct Lent {
    /// From where, to where.
    pub gift: Gift,
    /// Keeps it there.
    pub view: Arc<View>,
    /// Positions that its file had before and has since, if it was read there.
    pub moved: Option<(u64, u64)>,
}

impl Lent {
    /// The call is to be made again, and read the same.
    pub fn take_back(self) {
        let Some(file) = self.view.file.upgrade() else { return };
        let Some((before, after)) = self.moved else { return };
        let mut position = file.position.lock();
        if *position == after {
            *position = before;
        }
    }
}

/// A piece that is to be in view.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Of which file.
    pub file: Weak<OpenFile>,
    /// Where it begins.
    pub offset: u64,
    /// How often files had been forsaken when it was taken.
    forsaken: u64,
}

#[derive(Debug)]
struct Counted {
    wanted: Wanted,
    bytes: u64,
    /// When it was read first and last.
    since: u64,
    used: u64,
}

/// Those of an address space.
#[derive(Debug, Default)]
pub struct Views {
    /// Something was read often enough to be looked at here.
    used: AtomicBool,
    /// There is something to be done once a thread reports.
    errand: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mapped: Vec<Arc<View>>,
    counted: Vec<Counted>,
    wanted: Option<Wanted>,
    /// How often files were.
    forsaken: u64,
    /// Counts reads.
    clock: u64,
    /// Times that [`LEAST`] was doubled.
    doubled: u32,
}

impl Views {
    /// Whether there may be any.
    #[must_use]
    pub fn are_used(&self) -> bool {
        self.used.load(Ordering::SeqCst)
    }

    /// Whether something is to be done once a thread reports.
    #[must_use]
    pub fn have_errand(&self) -> bool {
        self.errand.load(Ordering::SeqCst)
    }

    /// The view of what is at an offset.
    #[must_use]
    pub fn of(&self, file: &OpenFile, offset: u64) -> Option<Arc<View>> {
        let mut state = lock(&self.state);
        state.clock += 1;
        let here = |view: &&Arc<View>| {
            view.is_of(file)
                && offset.checked_sub(view.offset).is_some_and(|from| from < VIEW)
                && !view.unwanted.load(Ordering::SeqCst)
        };
        let view = state.mapped.iter().find(here)?;
        view.used.store(state.clock, Ordering::Relaxed);
        Some(Arc::clone(view))
    }

    /// Counts what was read at an offset that is not in view; whether it is wanted there, as it
    /// was not before.
    #[must_use]
    pub fn count(&self, file: &Arc<OpenFile>, offset: u64, length: u64) -> bool {
        self.used.store(true, Ordering::SeqCst);
        let mut state = lock(&self.state);
        let now = state.clock;
        let offset = offset / VIEW * VIEW;
        let same = |counted: &&mut Counted| {
            counted.wanted.offset == offset && counted.wanted.file.as_ptr() == Arc::as_ptr(file)
        };
        let worth =
            |view: &Arc<View>| view.is_of(file) && view.served.load(Ordering::Relaxed) >= LEAST;
        let least = if state.mapped.iter().any(worth) { LEAST_MORE } else { LEAST };
        let least = least << state.doubled;
        let Some(counted) = state.counted.iter_mut().find(same) else {
            if state.counted.len() >= COUNTED {
                let oldest = state.counted.iter().enumerate().min_by_key(|(_, c)| c.used);
                if let Some((at, _)) = oldest {
                    state.counted.swap_remove(at);
                }
            }
            let wanted = Wanted { file: Arc::downgrade(file), offset, forsaken: 0 };
            state.counted.push(Counted { wanted, bytes: length, since: now, used: now });
            return false;
        };
        (counted.bytes, counted.used) = (counted.bytes.saturating_add(length), now);
        if counted.bytes < least {
            return false;
        }
        counted.bytes = 0;
        let (since, wanted) = (std::mem::replace(&mut counted.since, now), counted.wanted.clone());
        // One that was used meanwhile is worth as much.
        let idle = |view: &Arc<View>| view.used.load(Ordering::Relaxed) < since;
        if state.wanted.is_some() || state.mapped.len() >= MOST && !state.mapped.iter().any(idle) {
            return false;
        }
        state.wanted = Some(wanted);
        self.errand.store(true, Ordering::SeqCst);
        true
    }

    /// A file is about to be closed by who has it in view; all files, if none is named.
    pub fn forsake(&self, file: Option<&OpenFile>) {
        let is_it = |its: &Weak<OpenFile>| file.is_none_or(|file| std::ptr::eq(its.as_ptr(), file));
        let mut state = lock(&self.state);
        state.forsaken += 1;
        state.counted.retain(|counted| !is_it(&counted.wanted.file));
        state.wanted.take_if(|wanted| is_it(&wanted.file));
        for view in state.mapped.iter().filter(|view| is_it(&view.file)) {
            if !view.unwanted.swap(true, Ordering::SeqCst) {
                self.errand.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Looks for views whose files were closed.
    pub fn look_around(&self) {
        let mut state = lock(&self.state);
        state.counted.retain(|counted| counted.wanted.file.strong_count() > 0);
        if state.mapped.iter().any(is_over) {
            self.errand.store(true, Ordering::SeqCst);
        }
    }

    /// The errand is being done: what is to be in view.
    #[must_use]
    pub fn take_wanted(&self) -> Option<Wanted> {
        self.errand.store(false, Ordering::SeqCst);
        let mut state = lock(&self.state);
        let forsaken = state.forsaken;
        state.wanted.take().map(|wanted| Wanted { forsaken, ..wanted })
    }

    /// Takes those that are not to be in view any longer. They are to be unmapped, in the
    /// space's turn.
    #[must_use]
    pub fn take_over(&self) -> Vec<Arc<View>> {
        lock(&self.state).mapped.extract_if(.., |view| is_over(view)).collect()
    }

    /// A place for another one, by number, and the one that is replaced there. The caller has the
    /// space's turn.
    #[must_use]
    pub fn room(&self) -> Option<(usize, Option<Arc<View>>)> {
        let mut state = lock(&self.state);
        let free = (0..MOST).find(|number| state.mapped.iter().all(|view| view.number != *number));
        if let Some(free) = free {
            return Some((free, None));
        }
        let idle =
            state.mapped.iter().enumerate().filter(|(_, view)| {
                Arc::strong_count(view) == 1 && !view.stuck.load(Ordering::SeqCst)
            });
        let (at, _) = idle.min_by_key(|(_, view)| view.used.load(Ordering::Relaxed))?;
        let old = state.mapped.swap_remove(at);
        // It has not paid, or it has.
        let paid = old.served.load(Ordering::Relaxed) >= LEAST;
        state.doubled = if paid { 0 } else { (state.doubled + 1).min(DOUBLED) };
        Some((old.number, Some(old)))
    }

    /// It could not be unmapped.
    pub fn put_back(&self, view: Arc<View>) {
        view.unwanted.store(true, Ordering::SeqCst);
        view.stuck.store(true, Ordering::SeqCst);
        lock(&self.state).mapped.push(view);
    }

    /// It is mapped there. What was closed meanwhile may have been that file.
    pub fn add(&self, wanted: &Wanted, number: usize, sight: Sight) {
        let mut state = lock(&self.state);
        let unwanted = state.forsaken != wanted.forsaken;
        if unwanted {
            self.errand.store(true, Ordering::SeqCst);
        }
        let Sight { descriptor, glance, anchor } = sight;
        let view = View {
            file: Weak::clone(&wanted.file),
            descriptor,
            offset: wanted.offset,
            number,
            glance: Mutex::new(glance),
            anchor,
            served: AtomicU64::new(0),
            used: AtomicU64::new(state.clock),
            unwanted: AtomicBool::new(unwanted),
            stuck: AtomicBool::new(false),
        };
        state.mapped.push(Arc::new(view));
    }

    /// Where they are mapped, and whether that is memory that is shared.
    #[must_use]
    pub fn places(&self) -> Vec<(u64, bool)> {
        let state = lock(&self.state);
        state.mapped.iter().map(|view| (view_place(view.number), view.is_of_memory())).collect()
    }

    /// Nothing is mapped any more.
    pub fn clear(&self) {
        let old = std::mem::take(&mut *lock(&self.state));
        drop(old);
    }
}

/// What a view of a file needs to know.
#[derive(Debug)]
pub struct Sight {
    descriptor: RawFd,
    glance: Glance,
    anchor: Anchor,
}

impl Sight {
    /// By the descriptor that it is read by; the anchor is held while it is mapped.
    #[must_use]
    pub fn new(descriptor: BorrowedFd<'_>, glance: Glance, anchor: Anchor) -> Self {
        Sight { descriptor: descriptor.as_raw_fd(), glance, anchor }
    }
}

/// Whether a view is not to be there any longer, and nobody copies from it.
fn is_over(view: &Arc<View>) -> bool {
    let gone = view.unwanted.load(Ordering::SeqCst) || view.file.strong_count() == 0;
    gone && Arc::strong_count(view) == 1 && !view.stuck.load(Ordering::SeqCst)
}
