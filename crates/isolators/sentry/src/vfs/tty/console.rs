//! The console: bytes between a terminal of ours and one of the host's.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::task::waiter::{Waiter, Woken, lock};
use crate::vfs::{File, HostStream, Ready};

use super::Tty;

const STACK: usize = 128 << 10;
/// The host tells nobody here that a window changed its size: it is asked this often.
const SIZE_PERIOD: Duration = Duration::from_millis(500);

/// Starts to copy, in a thread of its own, until either side is gone.
///
/// # Errors
/// `EAGAIN` if the thread can't be started.
pub(super) fn serve(tty: &Arc<Tty>, host: HostStream) -> Result<(), Errno> {
    if let Some(size) = host.window_size() {
        tty.resize(size);
    }
    let weak = Arc::downgrade(tty);
    let thread = std::thread::Builder::new().stack_size(STACK);
    thread.spawn(move || run(&weak, &host)).map(drop).map_err(|_| Errno::AGAIN)
}

fn run(tty: &Weak<Tty>, host: &HostStream) {
    let waiter = Arc::new(Waiter::default());
    let mut typed = Vec::new();
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Some(tty) = tty.upgrade() else { return };
        host.watch(&waiter);
        tty.watch(&waiter);
        let mut moved = false;
        if typed.is_empty() && host.ready().intersects(Ready::IN | Ready::HUP | Ready::ERR) {
            match host.read(&mut buffer, 0) {
                Ok(count @ 1..) => typed.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                // The end, or an error: nobody sits there any more.
                Ok(_) | Err(_) => {
                    tty.hang_up();
                    return;
                }
            }
        }
        if !typed.is_empty() {
            let taken = tty.receive(&typed);
            typed.drain(..taken);
            moved |= taken > 0;
        }
        if shown.is_empty() {
            let count = lock(&tty.state).line.take_output(&mut buffer);
            if count > 0 {
                shown.extend_from_slice(buffer.get(..count).unwrap_or_default());
                tty.changed.wake();
                moved = true;
            }
        }
        if !shown.is_empty() {
            match host.write(&shown, 0, false) {
                Ok(count) => {
                    shown.drain(..count.min(shown.len()));
                    moved = true;
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => shown.clear(),
            }
        }
        if moved {
            continue;
        }
        let weak = Arc::downgrade(&tty);
        drop(tty);
        if waiter.wait(Some(Instant::now() + SIZE_PERIOD)) == Woken::TimedOut
            && let (Some(tty), Some(size)) = (weak.upgrade(), host.window_size())
        {
            tty.resize(size);
        }
    }
}
