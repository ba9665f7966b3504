//! Signals that the host sends to the sandbox's process: they are for the guest.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use caisson_sys::signal_fd::SignalFd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::{Info, SI_KERNEL, SI_USER, Target, send};
use crate::kernel::Kernel;
use crate::task::waiter::lock;
use crate::task::{Pid, Process};

const STACK: usize = 64 << 10;
const SIGNALS_OF_TERMINALS: [i32; 4] = [1, 2, 3, 20];
const SIGWINCH: i32 = 28;

/// Passes them on, in a thread of its own: those of the terminal to its process
/// group, those that somebody sent to the first process.
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
    match code {
        SI_KERNEL if signal == SIGWINCH || SIGNALS_OF_TERMINALS.contains(&signal) => {
            to_console(kernel, signal);
        }
        // Of the sentry's own children and timers.
        code if code > SI_USER => {}
        _ => {
            let first = lock(&kernel.tree).row(1).map(|row| Arc::clone(&row.process));
            if let Some(first) = first {
                to_process(kernel, first, signal);
            }
        }
    }
}

/// Sends a signal to the process group in front of the sandbox's terminal.
fn to_console(kernel: &Arc<Kernel>, signal: i32) {
    to_group(kernel, kernel.console_group.load(Ordering::SeqCst), signal);
}

/// Sends a signal, from outside, to a process group.
pub fn to_group(kernel: &Arc<Kernel>, group: Pid, signal: i32) {
    let members: Vec<Arc<Process>> = {
        let tree = lock(&kernel.tree);
        let rows = tree.rows().filter(|(_, row)| row.group == group && row.ended.is_none());
        rows.map(|(_, row)| Arc::clone(&row.process)).collect()
    };
    for process in members {
        let info = Info::new(signal, SI_KERNEL);
        send(kernel, &Target::Process(process), info);
    }
}

/// Sends a signal, from outside, to a process.
pub fn to_process(kernel: &Arc<Kernel>, process: Arc<Process>, signal: i32) {
    // As one from a parent PID namespace: its sender has no number here.
    let info = Info::from_user(signal, SI_USER, 0, 0);
    send(kernel, &Target::Process(process), info);
}
