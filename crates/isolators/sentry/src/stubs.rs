//! New stub processes, which are copies of an empty one.

use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::machine::Zygote;
use crate::platform::{Event, EventKind, HostCall, Slot};
use crate::task::waiter::lock;

/// Gets the first report of a new stub's thread, or why there is none.
pub(crate) type Made = Box<dyn FnOnce(&Arc<Kernel>, Result<Event, Errno>) + Send>;

impl Kernel {
    /// Makes an empty address space; `made` gets the first report of its thread, which has a
    /// context at [`Slot`] 0 to be loaded. `EAGAIN` or `ENOMEM` if the host has no room for it.
    pub fn new_stub(self: &Arc<Self>, made: Made) {
        const CLONE: u64 = 56;
        const CLONE_PARENT: u64 = 0x8000;
        let before = self.machine.reaped();
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
        result == -i64::from(libc::EAGAIN) && self.machine.wait_for_an_end(self, before)
    }
}
