//! Signals that the host sends to the sandbox's process: they are for the guest.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use caisson_sys::signal_fd::SignalFd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::{Info, SI_USER, Target, send};
use crate::kernel::Kernel;
use crate::task::Process;
use crate::task::waiter::lock;

const STACK: usize = 64 << 10;
/// Passes those that somebody sent on to the first process, in a thread of its own. The
/// kernel's own, of the sentry's children and of the terminal, are not the guest's.
///
/// # Errors
/// If the thread can't be started.
pub fn forward(kernel: &Arc<Kernel>, signals: SignalFd) -> std::io::Result<()> {
    let kernel = Arc::clone(kernel);
    let thread = std::thread::Builder::new().stack_size(STACK);
    thread.spawn(move || run(&kernel, &signals)).map(drop)
}

fn run(kernel: &Arc<Kernel>, signals: &SignalFd) {
    loop {
        match poll(&mut [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        while let Ok(Some((signal, code))) = signals.take_with_code() {
            pass_on(kernel, signal, code);
        }
    }
}

fn pass_on(kernel: &Arc<Kernel>, signal: i32, code: i32) {
    if code > SI_USER {
        return;
    }
    let first = lock(&kernel.tree).row(1).map(|row| Arc::clone(&row.process));
    if let Some(first) = first {
        to_process(kernel, first, signal);
    }
}

/// Sends a signal, from outside, to a process.
pub fn to_process(kernel: &Arc<Kernel>, process: Arc<Process>, signal: i32) {
    // As one from a parent PID namespace: its sender has no number here.
    let info = Info::from_user(signal, SI_USER, 0, 0);
    send(kernel, &Target::Process(process), info);
}
