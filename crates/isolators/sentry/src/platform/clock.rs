//! The clocks that guests read: the time-stamp counter, with parameters in a
//! page that the sentry writes and every guest can read (`vdso.rs`).
//!
//! Parameters are good for at most a second. Who reads later makes a call, and
//! the sentry measures the counter against the host's clock again; so nothing
//! runs while nobody asks. The sentry's own calls read the same page: no two
//! readings, by whichever way, go backwards.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use rustix::time::{ClockId, clock_gettime};

use super::vdso::{CLOCKS, COARSE};

/// Nanoseconds that parameters are good for.
const LONGEST: u64 = 1_000_000_000;
/// Nanoseconds over which a rate is measured at least.
const SHORTEST: u64 = 1_000_000;
/// Ticks by which processors' counters may differ.
const SKEW: u64 = 1 << 20;

/// The page. `vdso::SEQUENCE` and its companions are these fields' offsets.
#[repr(C)]
pub(super) struct Page {
    /// Odd while it changes.
    sequence: AtomicU32,
    processors: AtomicU32,
    base: AtomicU64,
    /// Nanoseconds per tick, times 2 to the 32nd.
    rate: AtomicU64,
    /// Ticks from the base on for which this is good.
    limit: AtomicU64,
    monotonic: AtomicU64,
    reserved: [u64; 3],
    offsets: [AtomicU64; 8],
}

/// The sentry's side of the page.
#[derive(Debug)]
pub struct Clock {
    page: &'static Page,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Whether the counter is the host's own clock.
    usable: bool,
    /// Counter and host's time when the present measurement of the rate began.
    first: Option<(u64, u64)>,
    /// The rate that was measured last; 0 for none.
    rate: u64,
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").field("rate", &self.rate).finish_non_exhaustive()
    }
}

fn counter() -> u64 {
    // SAFETY: reads the time-stamp counter; not before what comes before.
    unsafe {
        core::arch::x86_64::_mm_lfence();
        core::arch::x86_64::_rdtsc()
    }
}

fn host(id: ClockId) -> u64 {
    let now = clock_gettime(id);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// The counter, and what the host's clock said at once afterwards: so this clock
/// is never behind the host's.
fn measure() -> (u64, u64) {
    let mut best = (u64::MAX, (0, 0));
    for _ in 0..4 {
        let before = counter();
        let time = host(ClockId::Monotonic);
        let took = counter().wrapping_sub(before);
        if took < best.0 {
            best = (took, (before, time));
        }
    }
    best.1
}

fn nanoseconds(ticks: u64, rate: u64) -> u64 {
    let product = u128::from(ticks) * u128::from(rate);
    u64::try_from(product >> 32).unwrap_or(u64::MAX)
}

impl Clock {
    /// Over a zeroed page; `usable` says whether the host keeps its own time by
    /// the counter.
    pub(super) fn new(page: &'static Page, usable: bool) -> Self {
        let first = usable.then(measure);
        Clock { page, state: Mutex::new(State { usable, first, rate: 0 }) }
    }

    /// How many processors guests see.
    pub fn set_processors(&self, count: u32) {
        self.page.processors.store(count, Ordering::Relaxed);
    }

    /// Nanoseconds of a clock of Linux; `None` for those that are not kept here.
    #[must_use]
    pub fn now(&self, id: u32) -> Option<u64> {
        if id > 7 || CLOCKS & (1 << id) == 0 {
            return None;
        }
        if let Some(now) = self.read(id) {
            return Some(now);
        }
        self.renew();
        self.read(id)
    }

    fn read(&self, id: u32) -> Option<u64> {
        let page = self.page;
        loop {
            let sequence = page.sequence.load(Ordering::Acquire);
            if sequence & 1 != 0 {
                std::hint::spin_loop();
                continue;
            }
            let (now, base) = (counter(), page.base.load(Ordering::Relaxed));
            let behind = base.wrapping_sub(now);
            let ticks = if now < base && behind < SKEW { 0 } else { now.wrapping_sub(base) };
            let good = ticks < page.limit.load(Ordering::Relaxed);
            let since = nanoseconds(ticks, page.rate.load(Ordering::Relaxed));
            let monotonic = page.monotonic.load(Ordering::Relaxed).wrapping_add(since);
            let offset = page.offsets.get(id as usize)?.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if page.sequence.load(Ordering::Relaxed) == sequence {
                return good.then(|| monotonic.wrapping_add(offset));
            }
        }
    }

    /// Measures again, if the parameters are no longer good.
    fn renew(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.usable || self.read(1).is_some() {
            return;
        }
        let (now, time) = measure();
        let Some((then, began)) = state.first else { return };
        let (ticks, passed) = (now.saturating_sub(then), time.saturating_sub(began));
        let measured = (u128::from(passed) << 32).checked_div(u128::from(ticks)).unwrap_or(0);
        let mut measured = u64::try_from(measured).unwrap_or(0);
        let mut window = passed.saturating_mul(4).min(LONGEST);
        if state.rate != 0 && measured.abs_diff(state.rate) > state.rate / 1000 {
            // The machine was stopped or moved, and the counter jumped.
            state.first = Some((now, time));
            (measured, window) = (state.rate, LONGEST / 100);
        } else if passed < SHORTEST || measured == 0 {
            return;
        } else if passed > 16 * LONGEST {
            // The host steers its clock: what was long ago says little.
            state.first = Some((now - ticks / 2, time - passed / 2));
        }
        state.rate = measured;
        let page = self.page;
        let spent = page.limit.load(Ordering::Relaxed);
        let said = page.monotonic.load(Ordering::Relaxed)
            + nanoseconds(spent, page.rate.load(Ordering::Relaxed));
        // Nothing later than this was ever read. Is it ahead, the clock goes
        // slower for a while.
        let start = said.max(time);
        let slower = (start - time).min(window / 2);
        let rate = u128::from(measured) * u128::from(window - slower) / u128::from(window);
        let limit = u128::from(window) << 32;
        let limit = u64::try_from(limit / u128::from(measured)).unwrap_or(0);
        let near = |old: u64, new: u64| {
            let close = old != 0 && old.wrapping_sub(new).cast_signed().unsigned_abs() < 1000;
            if close { old } else { new }
        };
        let offset = |id| {
            let before = host(ClockId::Monotonic);
            let other = host(id);
            let middle = before + host(ClockId::Monotonic).saturating_sub(before) / 2;
            other.wrapping_sub(middle)
        };
        let [old_real, .., old_boot] = page.offsets.each_ref().map(|o| o.load(Ordering::Relaxed));
        let real = near(old_real, offset(ClockId::Realtime));
        let boot = near(old_boot, offset(ClockId::Boottime));
        self.publish(|page| {
            page.base.store(now, Ordering::Relaxed);
            page.rate.store(u64::try_from(rate).unwrap_or(0), Ordering::Relaxed);
            page.limit.store(limit, Ordering::Relaxed);
            page.monotonic.store(start, Ordering::Relaxed);
            // A coarse clock is not ahead of what the host writes into files.
            let values = [real, 0, 0, 0, 0, real.wrapping_sub(COARSE), COARSE.wrapping_neg(), boot];
            for (at, value) in page.offsets.iter().zip(values) {
                at.store(value, Ordering::Relaxed);
            }
        });
    }

    fn publish(&self, change: impl FnOnce(&Page)) {
        let sequence = self.page.sequence.load(Ordering::Relaxed);
        self.page.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change(self.page);
        self.page.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }
}

/// Whether the host keeps its time by the time-stamp counter: then that is the
/// same on all processors and never stops. To be asked while `/sys` is there.
#[must_use]
pub fn counter_is_a_clock() -> bool {
    use rustix::fs::{Mode, OFlags, open};
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let mut name = [0; 16];
    let file = open(SOURCE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let read = file.and_then(|file| rustix::io::read(file, &mut name));
    read.is_ok_and(|length| name.get(..length) == Some(b"tsc\n"))
}

#[cfg(test)]
mod tests {
    use super::super::vdso;
    use super::*;
    use std::mem::offset_of;

    fn page() -> &'static Page {
        Box::leak(Box::new(Page {
            sequence: AtomicU32::new(0),
            processors: AtomicU32::new(0),
            base: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            monotonic: AtomicU64::new(0),
            reserved: [0; 3],
            offsets: Default::default(),
        }))
    }

    #[test]
    fn fields_are_where_the_instructions_look() {
        assert_eq!(offset_of!(Page, sequence), vdso::SEQUENCE);
        assert_eq!(offset_of!(Page, processors), vdso::PROCESSORS);
        assert_eq!(offset_of!(Page, base), vdso::BASE);
        assert_eq!(offset_of!(Page, rate), vdso::RATE);
        assert_eq!(offset_of!(Page, limit), vdso::LIMIT);
        assert_eq!(offset_of!(Page, monotonic), vdso::MONOTONIC);
        assert_eq!(offset_of!(Page, offsets), vdso::OFFSETS);
    }

    #[test]
    fn readings_follow_the_host_and_never_go_back() {
        if !counter_is_a_clock() {
            let clock = Clock::new(page(), false);
            assert_eq!(clock.now(1), None);
            eprintln!("left out: this host does not keep time by the counter");
            return;
        }
        let clock = Clock::new(page(), true);
        let mut last = 0;
        let end = host(ClockId::Monotonic) + 200_000_000;
        while host(ClockId::Monotonic) < end {
            let (before, now, after) =
                (host(ClockId::Monotonic), clock.now(1), host(ClockId::Monotonic));
            let Some(now) = now else { continue };
            assert!(now >= last, "{now} after {last}");
            assert!(now + 2_000_000 > before && now < after + 2_000_000, "{now}: {before} {after}");
            last = now;
        }
        assert!(last > 0, "it was never usable");
        let (real, coarse) = (clock.now(0).unwrap(), clock.now(5).unwrap());
        assert!(real.abs_diff(host(ClockId::Realtime)) < 100_000_000);
        assert!(real.abs_diff(coarse) < 100_000_000);
        assert_eq!(clock.now(2), None);
    }
}
