//! Timers of a process: the three of setitimer(2), and those of timer_create(2).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::kernel::Kernel;
use crate::signal::{self, Info, SI_KERNEL, SI_TIMER, Target};
use crate::task::queued::Charge;
use crate::task::{Process, Thread};

use super::{Source, Timer};

/// Timers of a process.
#[derive(Default)]
pub struct ProcessTimers {
    intervals: [Option<Arc<Timer>>; 3],
    made: BTreeMap<i32, Arc<PosixTimer>>,
    /// That of `RLIMIT_CPU`.
    limit: Option<Arc<Timer>>,
    next: i32,
}

/// What a timer of timer_create(2) does when it fires.
#[derive(Clone)]
pub enum Notify {
    /// Nothing.
    None,
    /// A signal to the process, with a value.
    Process(i32, u64),
    /// A signal to a thread, with a value.
    Thread(i32, u64, Weak<Thread>),
}

/// A timer of timer_create(2).
pub struct PosixTimer {
    /// When.
    pub timer: Arc<Timer>,
    /// Its clock's number, for absolute times.
    pub clock: i32,
    /// How often it fired more, before the signal that was taken last.
    pub overrun: AtomicU64,
}

impl ProcessTimers {
    /// The timer of setitimer(2): 0 real, 1 virtual, 2 profiling.
    pub fn interval(&mut self, which: usize, process: &Arc<Process>) -> Option<Arc<Timer>> {
        let slot = self.intervals.get_mut(which)?;
        let timer = slot.get_or_insert_with(|| {
            let weak = Arc::downgrade(process);
            let (source, signal) = match which {
                0 => (Source::Wall, 14),
                1 => (Source::Processor(weak.clone(), true), 26),
                _ => (Source::Processor(weak.clone(), false), 27),
            };
            let fire = move |kernel: &Arc<Kernel>, _: u64| {
                if let Some(process) = weak.upgrade() {
                    signal::send(kernel, &Target::Process(process), Info::new(signal, SI_KERNEL));
                }
            };
            Timer::new(source, Box::new(fire))
        });
        Some(Arc::clone(timer))
    }

    /// Keeps the timer of a limit of processor time.
    pub fn limit(&mut self, timer: Arc<Timer>) {
        self.limit = Some(timer);
    }

    /// Makes a timer. The place of its signal is `charge`.
    pub fn make(
        &mut self,
        process: &Arc<Process>,
        (clock, source): (i32, Source),
        charge: Arc<Charge>,
        notify: impl FnOnce(i32) -> Notify,
    ) -> i32 {
        while self.made.contains_key(&self.next) {
            self.next = if self.next == i32::MAX { 0 } else { self.next + 1 };
        }
        let id = self.next;
        self.next = if id == i32::MAX { 0 } else { id + 1 };
        let notify = notify(id);
        let weak = Arc::downgrade(process);
        let fire = move |kernel: &Arc<Kernel>, times: u64| {
            fire(kernel, &weak, (id, &charge), &notify, times);
        };
        let timer = Timer::new(source, Box::new(fire));
        self.made.insert(id, Arc::new(PosixTimer { timer, clock, overrun: AtomicU64::new(0) }));
        id
    }

    /// One that was made.
    #[must_use]
    pub fn get(&self, id: i32) -> Option<Arc<PosixTimer>> {
        self.made.get(&id).cloned()
    }

    /// Deletes one; false if it is not there.
    pub fn delete(&mut self, id: i32) -> bool {
        self.made.remove(&id).is_some()
    }

    /// What execve(2) leaves: those of setitimer(2).
    pub fn execute(&mut self) {
        self.made.clear();
    }

    /// The end of the process.
    pub fn clear(&mut self) {
        *self = ProcessTimers::default();
    }

    /// A signal of a timer was taken.
    pub fn taken(&self, info: &Info) {
        if let Some(timer) = self.made.get(&info.timer()) {
            timer.overrun.store(info.overrun().max(0).cast_unsigned().into(), Ordering::SeqCst);
        }
    }
}

fn fire(
    kernel: &Arc<Kernel>,
    process: &Weak<Process>,
    (id, charge): (i32, &Arc<Charge>),
    notify: &Notify,
    times: u64,
) {
    let Some(process) = process.upgrade() else { return };
    let (number, value, thread) = match notify {
        Notify::None => return,
        Notify::Process(number, value) => (*number, *value, None),
        Notify::Thread(number, value, thread) => match thread.upgrade() {
            Some(thread) => (*number, *value, Some(thread)),
            // With its thread, its signals are gone.
            None => return,
        },
    };
    let target = thread.map_or_else(|| Target::Process(process), Target::Thread);
    let mut info = Info::new(number, SI_TIMER);
    info.set_timer(id, i32::try_from(times.saturating_sub(1)).unwrap_or(i32::MAX), value);
    let times = i32::try_from(times).unwrap_or(i32::MAX);
    signal::send_of_timer(kernel, &target, info, (charge, times));
}
