//! What a process keeps reading its threads copy themselves: from pieces of its files that their
//! stub has mapped for that ([`crate::mm::views`]), as a posted call's answer says. A copy of more
//! than a few pages by another processor costs several times as much as the read.
//!
//! The call is judged and made as any other but for the copy itself: where the file ends, the
//! position and the time of access are seen to by who serves it. If not all can be copied, as
//! the file was cut, the call is made again.
//!
//! What is in view is changed by ordered calls, in front of a call that a thread reports.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::kernel::{Frame, Kernel};
use crate::mm::Space;
use crate::mm::views::{Lent, Sight, View, Wanted};
use crate::platform::context::Register;
use crate::platform::desks::Gift;
use crate::platform::{GuestMemory, HostCall, VIEW, view_place};
use crate::signal;
use crate::task::Thread;
use crate::task::waiter::lock;
use crate::vfs::inotify::event;
use crate::vfs::{OpenFile, status};

use super::memory::host;
use super::sites::{self, Step};
use super::{Call, Failure, RESTART, mapping};

/// Shorter reads fit into rooms, and cost no more there.
const SHORTEST: u64 = 1024;
/// Bytes that are read of a file before anybody counts where.
const FEW: u64 = 4 << 20;

const READ: u64 = 0;
const PREAD64: u64 = 17;
const DUP2: u64 = 33;
const DUP3: u64 = 292;
const CLOSE_RANGE: u64 = 436;
const EXIT: u64 = 60;
const EXIT_ALL: u64 = 231;

/// Has the thread that has posted a read copy what it asked for, if that is in view: how much.
/// The position, if it is read there (`moves`), is the caller's to move.
///
/// # Errors
/// [`Failure::NeedsFrame`] if it is to be reported, so that it is in view from then on.
pub(super) fn lend(
    call: &Call<'_>,
    file: &OpenFile,
    memory: &GuestMemory,
    ((address, length), offset, moves): ((u64, u64), u64, bool),
) -> Result<Option<u64>, Failure> {
    if length < SHORTEST || !file.seekable || !memory.may_lend(address) {
        return Ok(None);
    }
    let before = file.read_over.load(Ordering::Relaxed);
    if before < FEW {
        file.read_over.store(before + length.min(FEW), Ordering::Relaxed);
    }
    if before < FEW || before == OpenFile::READ || !file.readable() || file.flag(status::DIRECT) {
        return Ok(None);
    }
    let space = call.thread.space();
    let Some(view) = space.views.of(file, offset) else {
        let open = call.file(0)?;
        let same = std::ptr::eq(&raw const *open, file);
        let wanted = same && space.views.count(&open, offset, length);
        return if wanted { Err(Failure::NeedsFrame) } else { Ok(None) };
    };
    let Some(size) = view.size(file) else { return Ok(None) };
    let count = size.saturating_sub(offset).min(length);
    let (Some(from), Ok(bytes)) = (view.place(offset, count), usize::try_from(count)) else {
        return Ok(None);
    };
    let gift = Gift { to: (address, bytes), from: Some(from) };
    if count == 0 || !memory.lend(gift) {
        return Ok(None);
    }
    let moved = moves.then(|| (offset, offset.saturating_add(count)));
    call.thread.posting.lend(Lent { gift, view, moved });
    file.tell(event::ACCESS);
    Ok(Some(count))
}

/// A call is about to be served: whether what its process has in view is to be changed first.
/// What is closed is not to be in view any longer.
pub(super) fn have_errand(
    space: &Space,
    thread: &Thread,
    number: u64,
    (first, second): (u64, u64),
) -> bool {
    if !space.views.are_used() {
        return false;
    }
    let closed = match number {
        host::CLOSE => Some(first),
        DUP2 | DUP3 if first != second => Some(second),
        _ => None,
    };
    if let Some(closed) = closed {
        let files = Arc::clone(&lock(&thread.process.files));
        let file = u32::try_from(closed & 0xffff_ffff).ok().and_then(|n| files.get(n).ok());
        file.inspect(|file| space.views.forsake(Some(file)));
    }
    if number == CLOSE_RANGE && first <= second {
        space.views.forsake(None);
    }
    if !matches!(number, READ | PREAD64) {
        space.views.look_around();
    }
    space.views.have_errand()
}

/// Whether calls of a thread are made once what is in view is changed.
fn may_be_told(thread: &Thread, number: u64) -> bool {
    !matches!(number, EXIT | EXIT_ALL)
        && !thread.is_traced()
        && !thread.doomed.load(Ordering::SeqCst)
}

/// A call was reported; true if what is in view is to be changed, and the call made again.
pub(super) fn called(kernel: &Kernel, thread: &Thread, id: u64, call: &HostCall) -> bool {
    let [first, second, ..] = call.args;
    // First: what is closed is forsaken whoever closes it.
    if !have_errand(&thread.space(), thread, call.number, (first, second))
        || !may_be_told(thread, call.number)
        || lock(&thread.continued).is_some()
    {
        return false;
    }
    thread.looks.store(true, Ordering::SeqCst);
    // With a signal for it the host sets the thread back to the call.
    thread.kick();
    kernel.listener.answer(id, RESTART);
    true
}

/// The same of a call that came with its frame, which is given back if the call is to be served.
pub fn called_framed(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    mut frame: Frame,
) -> Option<Frame> {
    let number = frame.context.get(Register::Rax);
    let args = (frame.context.get(Register::Rdi), frame.context.get(Register::Rsi));
    if !have_errand(&thread.space(), thread, number, args) || !may_be_told(thread, number) {
        return Some(frame);
    }
    frame.make_again();
    arrange(kernel, thread, id, frame);
    None
}

/// Changes what is in view. The thread waits with a frame, set back to its call.
pub fn arrange(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, mut frame: Frame) {
    let space = thread.space();
    let view = space.views.take_wanted().and_then(|wanted| sight(kernel, wanted));
    if space.take_turn().is_err() {
        signal::resume(kernel, thread, id, &mut frame);
        return;
    }
    let mut steps: VecDeque<Step> =
        space.views.take_over().into_iter().flat_map(|view| unmapping(&space, view)).collect();
    if let Some(view) = view {
        steps.extend(mapping(kernel, id, &space, view));
    }
    if steps.is_empty() {
        space.pass_turn();
        signal::resume(kernel, thread, id, &mut frame);
        return;
    }
    sites::run(kernel, thread, id, (frame, space), steps);
}

/// A view that is in no list while it is unmapped: in its own again, if it could not be.
struct Leaving(Arc<Space>, Option<Arc<View>>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(view) = self.1.take() {
            self.0.views.put_back(view);
        }
    }
}

/// A view is unmapped, and then nothing is held for it any more.
fn unmapping(space: &Arc<Space>, view: Arc<View>) -> [Step; 2] {
    let args = [view.start(), VIEW, 0, 0, 0, 0];
    let unmap = Step::Call(HostCall { number: host::MUNMAP, args });
    let mut leaving = Leaving(Arc::clone(space), Some(view));
    [unmap, Step::Note(Box::new(move |_| drop(leaving.1.take())))]
}

/// What is to be known of a wanted piece, and a descriptor that can only read it.
fn sight(kernel: &Kernel, wanted: Wanted) -> Option<(Wanted, Sight, OwnedFd)> {
    let file = wanted.file.upgrade()?;
    let given = (|| {
        let (fd, glance) = file.file.in_view()?;
        let opened = if glance.is_opened_anew() {
            kernel.files.broker.read_only(fd).ok()?
        } else {
            mapping::read_only(kernel, fd).ok()?
        };
        let anchor = file.file.is_mapped(false);
        Some((Sight::new(fd, glance, anchor), opened))
    })();
    if given.is_none() {
        file.read_over.store(OpenFile::READ, Ordering::Relaxed);
    }
    given.map(|(sight, opened)| (wanted, sight, opened))
}

/// The stub maps it, in the place of another one if there are as many as may be. The caller has
/// the turn, so that no fork's child gets a copy of the descriptor.
fn mapping(
    kernel: &Kernel,
    id: u64,
    space: &Arc<Space>,
    (wanted, sight, opened): (Wanted, Sight, OwnedFd),
) -> Vec<Step> {
    let Some((number, old)) = space.views.room() else { return Vec::new() };
    let mut steps: Vec<Step> = old.into_iter().flat_map(|old| unmapping(space, old)).collect();
    let Ok(descriptor) = kernel.listener.give(id, opened.as_fd()) else { return steps };
    let (place, from) = ((view_place(number), VIEW, 1), (descriptor, wanted.offset));
    let mapped = Step::Note(Box::new(move |space: &Space| {
        space.views.add(&wanted, number, sight);
    }));
    steps.extend(sites::map_beyond(place, from, mapped));
    steps
}
