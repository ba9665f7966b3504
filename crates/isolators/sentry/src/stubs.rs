//! New stub processes, which are copies of an empty one.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::machine::Zygote;
use crate::platform::{Event, EventKind, HostCall, Slot};
use crate::task::waiter::lock;
use crate::workers::let_others_serve;

/// Gets the first report of a new stub's thread, or why there is none.
pub(crate) type Made = Box<dyn FnOnce(&Arc<Kernel>, Result<Event, Errno>) + Send>;

/// Ends of a container's stub processes.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// How many were noticed, and how many have been reaped.
    counts: Mutex<(u64, u64)>,
    changed: Condvar,
}

impl Ends {
    /// One has ended. It is reaped next.
    pub(crate) fn noticed(&self) {
        lock(&self.counts).0 += 1;
    }

    /// One that was noticed is reaped.
    pub(crate) fn one_reaped(&self) {
        lock(&self.counts).1 += 1;
        self.changed.notify_all();
    }

    /// How many are.
    pub(crate) fn reaped(&self) -> u64 {
        lock(&self.counts).1
    }

    /// Waits, not for long, until one has been reaped since there were `before`; `false` if none
    /// is ending, as far as is known here and by the caller.
    fn wait(&self, before: u64, ending: bool) -> bool {
        const MOST: Duration = Duration::from_millis(100);
        let counts = lock(&self.counts);
        if counts.1 == before && (ending || counts.0 > counts.1) {
            let_others_serve();
            let waits = |counts: &mut (u64, u64)| counts.1 == before;
            drop(self.changed.wait_timeout_while(counts, MOST, waits));
            return true;
        }
        counts.1 != before
    }
}

impl Kernel {
    /// Makes an empty address space; `made` gets the first report of its thread, which has a
    /// context at [`Slot`] 0 to be loaded. `EAGAIN` or `ENOMEM` if the host has no room for it.
    pub fn new_stub(self: &Arc<Self>, made: Made) {
        const CLONE: u64 = 56;
        const CLONE_PARENT: u64 = 0x8000;
        let before = self.ends.reaped();
        let waiting = Arc::new(Mutex::new(Some(made)));
        let made = Arc::clone(&waiting);
        let cookie = self.expect_arrival(Box::new(move |kernel, event| {
            let Some(made) = lock(&made).take() else { return };
            match event.kind {
                EventKind::Done { result, .. } if result < 0 => {
                    if kernel.has_room_again(result, before) {
                        return kernel.new_stub(made);
                    }
                    let errno = i32::try_from(-result).unwrap_or(libc::EAGAIN);
                    made(kernel, Err(Errno::from_raw_os_error(errno)));
                }
                _ => made(kernel, Ok(event)),
            }
        }));
        let args = [CLONE_PARENT, Slot(0).context(), 0, 0, 0, cookie];
        let ordered = self.zygote.order(&self.listener, HostCall { number: CLONE, args });
        if let Err(errno) = ordered {
            self.forget_arrival(cookie);
            let made = lock(&waiting).take();
            if let Some(made) = made {
                made(self, Err(errno));
            }
        }
    }

    /// Makes a copy of the empty stub process, for [`Kernel::beside`].
    ///
    /// # Errors
    /// If there is none any more, or no room.
    pub fn copy_zygote(self: &Arc<Self>) -> Result<Arc<Zygote>, Errno> {
        let (tell, hear) = std::sync::mpsc::sync_channel(1);
        self.new_stub(Box::new(move |kernel, made| {
            let zygote = made.map(|event| {
                let process = event.thread.process();
                let zygote = Zygote::new(process, event.thread, Some(event.id));
                kernel.machine.add_zygote(&zygote);
                zygote
            });
            // Who asked waits for it.
            let _ = tell.send(zygote);
        }));
        hear.recv().map_err(|_| Errno::AGAIN)?
    }

    /// Whether a host's call that found no room for a process, with that `result`, is to be made
    /// again: stub processes have been reaped since `before`, or are ending. Then one is waited
    /// for. The host's processes end after the guest's, and count until then.
    #[must_use]
    pub fn has_room_again(self: &Arc<Self>, result: i64, before: u64) -> bool {
        result == -i64::from(libc::EAGAIN)
            && self.ends.wait(before, self.machine.has_ending_stubs(self))
    }
}
