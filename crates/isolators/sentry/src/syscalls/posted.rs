//! Calls that threads post instead of making them, and the *partner*: the sentry's thread
//! that looks at their desks.
//!
//! It spins only while that pays: it is called once a thread makes calls that can be posted
//! quickly one after another, if there are two processors at least, and
//! goes to sleep again when none has come for a while, or when it notices that it has lost
//! its processor to somebody else. The less came of it, the longer it is not called again.
//! Where there are not processors for all of them, they are kept off the partner's, and take
//! turns on the others.
//!
//! What a desk says is the guest's claim. A posted call is judged as one that was reported:
//! inside of [`Thread::serve`], so that who executes a program or changes what a thread may
//! do finds it; never beside another call of its thread ([`crate::task::posting`]). What
//! would wait, or is not simple, the thread is told to make itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::Space;
use crate::panic_report::serving;
use crate::platform::desks::{Desks, Gift};
use crate::platform::postable::{self, Kind};
use crate::platform::{GuestMemory, HostCall, HostTid, MAP_FLAGS, Slot, affinity, may_be_made};
use crate::signal::owner;
use crate::task::Thread;
use crate::task::waiter::{self, Leave, lock};
use crate::vfs::{Ready, asked_brokers};
use crate::workers::Workers;

use super::system::processors;
use super::table::{self, Handler, Row};
use super::{Call, Failure, approved, views};

/// What is asked of those who are looked at.
struct Pace {
    /// How long nobody may post.
    patience: Duration,
    /// How seldom calls may be, over a while, to be worth a processor.
    worth: Duration,
    /// One of so many calls may have waited in vain.
    late: u64,
}

/// Where each has a processor.
const ALONE: Pace =
    Pace { patience: Duration::from_micros(300), worth: Duration::from_micros(20), late: 64 };
/// Where some take turns: they wake each other, wait for each other's calls, and would have the
/// processor themselves.
const TURNS: Pace =
    Pace { patience: Duration::from_micros(100), worth: Duration::from_micros(12), late: 16 };
/// How long nobody may post at first, as whoever is looked at is being answered, and may be moved
/// to another processor.
const FIRST_PATIENCE: Duration = Duration::from_micros(150);
/// Who was not there for so long had no processor, or was kept by a disk.
const LOST: Duration = Duration::from_micros(200);
/// The same of who has waited for a broker's answer, which is work, on the same processor.
const LONG_ASKED: Duration = Duration::from_millis(2);
const WHILE: Duration = Duration::from_millis(2);
/// Calls after which a session was one.
const FEW: u64 = 32;
/// Sessions of which nothing came are so far from each other.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(64);
/// Bytes that are sure to be taken by what can be written to.
const SURE: u64 = 4096;
/// Threads that are looked at, at most.
const MOST: usize = 8;
const STACK: usize = 256 << 10;

mod number {
    pub(super) const READ: u64 = 0;
    pub(super) const READV: u64 = 19;
    pub(super) const WRITE: u64 = 1;
    pub(super) const CLOSE: u64 = 3;
    pub(super) const MMAP: u64 = 9;
    pub(super) const PWRITE64: u64 = 18;
    pub(super) const WRITEV: u64 = 20;
    pub(super) const SENDTO: u64 = 44;
    pub(super) const RECVFROM: u64 = 45;
    pub(super) const FCNTL: u64 = 72;
}

fn is_simple(number: u64) -> bool {
    postable::kind(number).contains(Kind::POSTED)
}

/// Whether a call could be posted, if its thread had a desk.
pub(super) fn may_be(kernel: &Kernel, number: u64) -> bool {
    is_simple(number) && processors() > 1 && {
        let (quota, period) = kernel.limits.processor();
        quota.is_none_or(|quota| quota >= period.saturating_mul(2))
    }
}

/// Whether a thread's filters have nothing to say about a call.
pub(super) fn is_let(thread: &Thread, number: u64) -> bool {
    !thread.is_guarded() || lock(&thread.guard).lets(number)
}

/// A desk that is looked at.
struct Seat {
    kernel: Arc<Kernel>,
    thread: Arc<Thread>,
    space: Arc<Space>,
    desks: Arc<Desks>,
    memory: GuestMemory,
    slot: Slot,
    host: HostTid,
    /// Where its thread runs, most likely.
    processor: usize,
    /// It is kept off the partner's.
    kept: bool,
    /// It has posted a call lately.
    posts: bool,
}

#[derive(Default)]
struct Seats {
    /// Those that the partner has not seen yet.
    new: Vec<Seat>,
    /// All.
    count: usize,
    started: bool,
    /// Nobody is called before.
    rests_until: Option<Instant>,
}

/// Of a sandbox.
#[derive(Default)]
pub struct Partner {
    seats: Mutex<Seats>,
    called: Condvar,
    /// There are new seats.
    more: AtomicBool,
    /// Guests' threads have been kept off its processor.
    keeps: AtomicBool,
    /// It has left a processor itself.
    moved: AtomicBool,
}

/// A thread with a desk makes calls that could be posted, quickly: has the partner look.
pub(super) fn invite(kernel: &Arc<Kernel>, thread: &Arc<Thread>) {
    let partner = &kernel.machine.partner;
    if thread.posting.seated.load(Ordering::SeqCst) {
        return;
    }
    let place = lock(&thread.place).clone();
    let Some(desks) = place.space.desks.get().map(Arc::clone) else { return };
    let Some(host) = place.host else { return };
    let mut seats = lock(&partner.seats);
    if seats.count >= MOST
        || seats.rests_until.is_some_and(|until| Instant::now() < until)
        || thread.posting.seated.swap(true, Ordering::SeqCst)
    {
        return;
    }
    if !seats.started {
        let machine = Arc::clone(&kernel.machine);
        let builder = std::thread::Builder::new().stack_size(STACK);
        seats.started = builder.spawn(move || machine.partner.work(&machine.workers)).is_ok();
    }
    if !seats.started {
        seats.rests_until = Some(Instant::now() + LONGEST);
        thread.posting.seated.store(false, Ordering::SeqCst);
        return;
    }
    let (kernel, thread) = (Arc::clone(kernel), Arc::clone(thread));
    let processor = affinity::current();
    let (memory, slot) = (place.space.memory.clone(), place.slot);
    seats.new.push(Seat {
        kernel,
        thread,
        space: place.space,
        desks,
        memory,
        slot,
        host,
        processor,
        kept: false,
        posts: true,
    });
    seats.count += 1;
    partner.more.store(true, Ordering::SeqCst);
    partner.called.notify_one();
}

/// What came of looking.
struct Yield {
    calls: u64,
    time: Duration,
    lost: bool,
    /// How seldom they may be.
    worth: Duration,
    /// The host had no other processor from the start.
    crowded: bool,
}

impl Partner {
    /// A guest's thread is new, or the calling one: who made it may be kept off a processor.
    pub fn is_new(&self, thread: Option<HostTid>) {
        let may_be_kept = if thread.is_some() { &self.keeps } else { &self.moved };
        if may_be_kept.load(Ordering::SeqCst) {
            affinity::run_anywhere(thread);
        }
    }

    fn work(&self, workers: &Arc<Workers>) {
        workers.assist();
        let mut off = usize::MAX;
        let mut pause = Duration::ZERO;
        loop {
            let new = {
                let mut seats = lock(&self.seats);
                while seats.new.is_empty() {
                    seats = self.called.wait(seats).unwrap_or_else(PoisonError::into_inner);
                }
                self.more.store(false, Ordering::SeqCst);
                std::mem::take(&mut seats.new)
            };
            affinity::settle(true);
            let got = self.look(workers, new, &mut off);
            affinity::settle(false);
            let pays = got.calls >= FEW
                && got.worth * u32::try_from(got.calls).unwrap_or(u32::MAX) >= got.time;
            pause = match pays && !got.lost {
                true => Duration::ZERO,
                // It has cost next to nothing, and may be another one's moment.
                false if got.crowded => pause.max(SHORTEST),
                false => (pause * 2).clamp(SHORTEST, LONGEST),
            };
            let mut seats = lock(&self.seats);
            // Those that came last are not looked at either.
            seats.new.drain(..).for_each(|seat| seat.leave());
            seats.count = 0;
            seats.rests_until = (!pause.is_zero()).then(|| Instant::now() + pause);
        }
    }

    /// Tells threads that they are looked at, from this processor. If they and the partner are
    /// more than there are processors, they take turns on the others: as the host would have
    /// it one of them would wait for the partner.
    fn seat(&self, seats: &mut [Seat], own: usize) {
        let crowd = seats.len() >= processors();
        for seat in seats {
            seat.desks.announce(seat.slot, true);
            if crowd && !seat.kept {
                self.keeps.store(true, Ordering::SeqCst);
                affinity::keep_off(Some(seat.host), own);
                seat.kept = true;
            }
        }
    }

    /// Serves what is posted, until nothing is any more.
    fn look(&self, workers: &Workers, mut seats: Vec<Seat>, off: &mut usize) -> Yield {
        let begin = Instant::now();
        // If the host has no other processor to give, spinning would keep the thread from it.
        if let Some(first) = seats.first()
            && first.processor != *off
        {
            self.moved.store(true, Ordering::SeqCst);
            *off = first.processor;
            affinity::keep_off(None, *off);
        }
        let own = affinity::current();
        let (mut calls, mut late) = (0_u64, 0_u64);
        // If some take turns they leave this one.
        let crowded = seats.len() < processors() && seats.iter().any(|seat| seat.processor == own);
        let mut lost = crowded;
        let (mut before, mut last) = (begin, begin);
        let first_asked = asked_brokers();
        let mut asked = first_asked;
        let mut counted = (begin, 0_u64, asked);
        let mut pace = &ALONE;
        let gone = |count| {
            if count > 0 {
                lock(&self.seats).count -= count;
            }
        };
        self.seat(&mut seats, own);
        while !lost {
            let mut served = 0;
            // Another thread may have its slot by now.
            let ended = seats.extract_if(.., |seat| seat.thread.doomed.load(Ordering::SeqCst));
            gone(ended.map(|seat| seat.leave()).count());
            for seat in &mut seats {
                if !seat.desks.announce(seat.slot, true) {
                    // It waited in vain.
                    late += 1;
                }
                if seat.desks.is_posted(seat.slot) {
                    served += u64::from(seat.serve());
                    seat.posts = true;
                    // What was waited for.
                    workers.do_work();
                }
            }
            let now = Instant::now();
            pace = if seats.iter().any(|seat| seat.kept) { &TURNS } else { &ALONE };
            let in_asking = asked_brokers() - asked;
            asked += in_asking;
            let away = (now - before).saturating_sub(in_asking);
            lost = away > LOST || in_asking > LONG_ASKED || late > 4 + calls / pace.late;
            before = now;
            if served > 0 {
                calls += served;
                last = now;
            } else if now - last > if calls == 0 { FIRST_PATIENCE } else { pace.patience } {
                break;
            } else {
                std::hint::spin_loop();
            }
            let spun = (now - counted.0).saturating_sub(asked - counted.2);
            if spun > WHILE {
                let few = spun.as_nanos() / pace.worth.as_nanos();
                if u128::from(calls - counted.1) < few {
                    break;
                }
                counted = (now, calls, asked);
                // Others may have use for the seats of those who have gone on otherwise.
                let idle = seats.extract_if(.., |seat| !std::mem::take(&mut seat.posts));
                gone(idle.map(|seat| seat.dismiss()).count());
            }
            if self.more.swap(false, Ordering::SeqCst) {
                seats.append(&mut lock(&self.seats).new);
                self.seat(&mut seats, own);
            }
        }
        let time = (before.max(last) - begin).saturating_sub(asked - first_asked);
        seats.iter().for_each(Seat::dismiss);
        workers.do_work();
        Yield { calls, time, lost, worth: pace.worth, crowded }
    }
}

impl Seat {
    fn leave(&self) {
        if self.kept {
            affinity::run_anywhere(Some(self.host));
        }
        self.thread.posting.seated.store(false, Ordering::SeqCst);
    }

    /// Nobody looks any more.
    fn dismiss(&self) {
        self.desks.announce(self.slot, false);
        if self.desks.is_posted(self.slot) {
            self.serve();
        }
        self.leave();
    }

    /// Serves what is posted; false if there was nothing.
    fn serve(&self) -> bool {
        let served = self.thread.posting.serve(|| {
            let Some(call) = self.desks.take(self.slot) else { return false };
            // What it was let change before it has changed by now.
            self.thread.land();
            let made = self.thread.serve(|| self.make(call));
            match made {
                Some(Made::Answered(value, written)) => {
                    self.desks.answer(self.slot, value, written);
                }
                Some(Made::Approved(place)) => {
                    let [_, second, third, ..] = call.args;
                    let args = [place, second, third, MAP_FLAGS.into(), u64::MAX, 0];
                    self.thread.posting.approve(HostCall { number: call.number, args });
                    self.desks.approve(self.slot, place);
                }
                None => self.desks.refuse(self.slot),
            }
            made.is_some()
        });
        if served.is_none() {
            self.desks.refuse_posted(self.slot);
        }
        served == Some(true)
    }

    /// Makes a posted call. `None` if its thread is to make it: then nothing has been done. Runs
    /// inside of [`Thread::serve`].
    fn make(&self, host: HostCall) -> Option<Made> {
        let (kernel, thread) = (&self.kernel, &self.thread);
        let HostCall { number, args } = host;
        let to_end = thread.doomed.load(Ordering::SeqCst);
        if to_end || !is_simple(number) || thread.is_traced() || thread.waiter.is_interrupted() {
            return None;
        }
        if !is_let(thread, number)
            || views::have_errand(&self.space, thread, number, (args[0], args[1]))
        {
            return None;
        }
        let _serving = serving(thread, Some(number));
        let call = Call { kernel, thread, args, id: 0, continued: None, held: None };
        let Some(Row { handler: Handler::Plain(handler) | Handler::Both(handler, _), .. }) =
            table::find(number)
        else {
            return None;
        };
        let makes = may_be_made(&host);
        if makes == Some(false) || !is_clean(&call, number) {
            return None;
        }
        if number == number::MMAP {
            let (place, left) = waiter::leaving(Leave::Always, || approved::place(&call));
            return match place {
                Ok(place) => Some(Made::Approved(place)),
                Err(Failure::Errno(errno)) if left.is_none() => Some(Made::failed(errno, None)),
                Err(_) => None,
            };
        }
        // Signals that it sends, and what they end, have nothing to do with the room.
        let serve = || waiter::leaving(Leave::Always, || handler(&call));
        let through = || self.memory.through_room(&self.desks, self.slot, &host, serve);
        let ((outcome, left), written) = owner::telling(through);
        match outcome {
            Ok(value) => Some(Made::Answered(value, written)),
            Err(Failure::Errno(errno)) if left.is_none() => Some(Made::failed(errno, written)),
            Err(Failure::Host) if makes == Some(true) => Some(Made::Approved(call.arg(0))),
            Err(_) => None,
        }
    }
}

/// What became of a posted call.
enum Made {
    /// It returns this, and has that for its thread.
    Answered(i64, Option<Gift>),
    /// Its thread makes it, with this first argument.
    Approved(u64),
}

impl Made {
    fn failed(errno: Errno, written: Option<Gift>) -> Self {
        Made::Answered(-i64::from(errno.raw_os_error()), written)
    }
}

/// Whether a call, if it has to be left where it would wait, has done nothing by then.
fn is_clean(call: &Call<'_>, number: u64) -> bool {
    /// `MSG_WAITALL`
    const ALL: u32 = 0x100;
    let by_file = |sends: bool| {
        let short = number != number::WRITEV && call.arg(2) <= SURE;
        call.file(0).is_ok_and(|file| {
            file.seekable
                || file.file.waits_cleanly()
                    && (!sends || short && file.file.ready().contains(Ready::OUT))
        })
    };
    match number {
        number::RECVFROM => call.uint(3) & ALL == 0 && by_file(false),
        number::FCNTL => is_simple_of_file(call.uint(1)),
        // What ends with others when they are closed may have to do with signals.
        number::CLOSE | number::READ | number::READV => by_file(false),
        number::WRITE | number::PWRITE64 | number::WRITEV | number::SENDTO => by_file(true),
        _ => true,
    }
}

/// Whether a command of fcntl(2) is one for descriptors, flags or locks that does not wait:
/// `F_DUPFD` to `F_SETLK`, `F_OFD_GETLK`, `F_OFD_SETLK`.
fn is_simple_of_file(command: u32) -> bool {
    matches!(command, 0..=6 | 36 | 37)
}
