//! Calls of threads that somebody watches: a tracer.

use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::platform::HostCall;
use crate::platform::context::Register;
use crate::signal;
use crate::task::trace::{self, Entry, Leaving, Mode, Phase, events};
use crate::task::waiter::lock;
use crate::task::{Restart, Thread};

use super::Call;
use super::table::{self, Handler, Row};

const EXIT: u64 = 60;
const EXIT_GROUP: u64 = 231;
const FUTEX: u64 = 202;

/// A call was reported without registers: whether they are needed first.
pub(super) fn needs_frame(call: &Call<'_>, number: u64) -> bool {
    let thread = call.thread;
    let wanted = {
        let trace = lock(&thread.trace);
        match (trace.phase, trace.mode) {
            (Phase::Entered(_), _) => None,
            (_, Mode::Calls | Mode::Step) => Some(true),
            _ => Some([EXIT, EXIT_GROUP].contains(&number) && trace.tells(events::EXIT)),
        }
    };
    if let Some(wanted) = wanted {
        return wanted && thread.is_traced();
    }
    trace::served(thread);
    // What came while it was stopped interrupts the call; behind the call it reports.
    super::signals::look_again(call);
    thread.kick();
    false
}

/// How a call with registers goes on.
pub(super) enum Next {
    /// It is served with them.
    Serve,
    /// It has been seen to.
    Done,
}

/// A call of a watched thread was reported with registers.
pub(super) fn enter(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
) -> Next {
    if matches!(lock(&thread.trace).phase, Phase::Serving(_)) || !thread.is_traced() {
        return Next::Serve;
    }
    let number = match trace::entry(kernel, thread, id, frame) {
        Entry::Gone => return Next::Done,
        Entry::Serve(number) => number,
    };
    if number >= trace::LAST {
        trace::served(thread);
        signal::resume(kernel, thread, *id, frame);
        return Next::Done;
    }
    if [EXIT, EXIT_GROUP].contains(&number) {
        let code = (frame.context.get(Register::Rdi) & 0xff) << 8;
        if trace::event(kernel, thread, id, frame, events::EXIT, code) == Leaving::Gone {
            return Next::Done;
        }
    }
    let row = table::find(number);
    // Of those that are served with registers, too, these are served so whatever they ask.
    let memory = (9..=11).contains(&number);
    if memory || matches!(row, Some(Row { handler: Handler::Framed(_), .. })) {
        trace::served(thread);
        return Next::Serve;
    }
    if number == FUTEX && super::futex::waits_on_host(frame.context.args()) {
        trace::served(thread);
        wait_on_host(kernel, thread, *id, frame);
        return Next::Done;
    }
    // It makes the call again, which is not stopped any more.
    let at = frame.context.get(Register::Rip);
    frame.context.set(Register::Rip, at.wrapping_sub(2));
    signal::resume(kernel, thread, *id, frame);
    Next::Done
}

/// A futex on which threads of the stub wait on the host: this one does, too, by an order
/// that its signals interrupt.
fn wait_on_host(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, frame: &Frame) {
    let args = frame.context.args();
    let call = HostCall { number: FUTEX, args };
    let mut frame = frame.clone();
    let own = frame.clone();
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        if let Some(nested) = lock(&thread.nested).take() {
            frame.address = nested;
        }
        let timed = args.get(3).is_some_and(|time| *time != 0);
        let mut value = result;
        if (-516..=-512).contains(&result) || result == -i64::from(Errno::INTR.raw_os_error()) {
            if super::futex::is_relative(args) && timed {
                value = -i64::from(Errno::INTR.raw_os_error());
            } else {
                *lock(&thread.restart) = Some(Restart::IfAsked);
            }
        }
        if lock(&thread.restart).is_some() {
            let at = frame.context.get(Register::Rip);
            frame.context.set(Register::Rip, at.wrapping_sub(2));
            value = i64::try_from(FUTEX).unwrap_or(0);
        }
        frame.context.set(Register::Rax, value.cast_unsigned());
        signal::resume(kernel, thread, id, &mut frame);
    };
    kernel.order_aside(thread, id, &own, call, (true, Box::new(then)));
}
