//! What a stub's signal reports mean, and how threads go on afterwards.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::kernel::{Frame, Kernel};
use crate::platform::context::{CONTEXT_SIZE, Context, Register};
use crate::platform::post::Place;
use crate::platform::{GuestMemory, INJECT_ADDRESS, KICK};
use crate::syscalls;
use crate::task::limits::resource;
use crate::task::queued::Account;
use crate::task::trace::{self, Before, Leaving};
use crate::task::waiter::lock;
use crate::task::{Restart, Status, Thread, dismiss, enter_stop, exit_process, park, stop};

use super::{
    Action, Counted, DefaultAction, IGNORE, Info, NO_DEFER, RESET_HAND, RESTART, SIGCONT, SIGKILL,
    SIGSEGV, SIGSTOP, bit, default_of, frame, retarget, take::take_counted,
};

const SIGSYS: i32 = 31;
const RT_SIGRETURN: u64 = 15;
const EINTR: u64 = 4;
/// Nothing is mapped there.
const SEGV_MAPERR: i32 = 1;
/// `SYS_SECCOMP`: why a filter's SIGSYS comes.
const SYS_SECCOMP: i32 = 1;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// A stub thread reports a signal. The addresses are the guest's claims.
pub fn reported(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    signal: i32,
    addresses: (u64, u64),
) {
    let (info_address, context_address) = addresses;
    if thread.doomed.load(Ordering::SeqCst) {
        thread.land();
        dismiss(kernel, thread, id, context_address);
        return;
    }
    let memory = thread.memory();
    let Some((info, bytes)) = read_frame(&memory, info_address, context_address) else {
        kernel.violation(thread, "a signal report whose frame can't be read");
        return;
    };
    let info = Info::from_bytes(info);
    let mut frame = Frame { address: context_address, context: Context::from_bytes(bytes) };
    let (stood, approved) = syscalls::site_unwinding::unwind(thread, &mut frame.context);
    if let Some(call) = approved {
        let saved = frame.clone();
        let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id, result: i64| {
            frame.context.set(Register::Rax, result.cast_unsigned());
            interrupted(kernel, thread, id, (signal, info), frame, stood);
        };
        kernel.order_aside(thread, id, &saved, call, (false, Box::new(then)));
        return;
    }
    thread.land();
    interrupted(kernel, thread, id, (signal, info), frame, stood);
}

/// A signal was reported by a thread that stood there, and is made to stand as `frame` says.
fn interrupted(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    (signal, info): (i32, Info),
    mut frame: Frame,
    stood: Place,
) {
    let waited = lock(&thread.host_wait).take();
    // A sandbox that was paused goes on.
    if signal == KICK || signal == SIGCONT {
        let order = lock(&thread.order).take_if(|order| order.interruptible);
        if let Some(order) = order {
            *lock(&thread.nested) = Some(frame.address);
            let result = interrupted_order(&frame.context, order.made);
            (order.then)(kernel, thread, id, result);
            return;
        }
        if let Some(args) = waited {
            let how = syscalls::futex::interrupted(thread, &mut frame.context, args);
            *lock(&thread.restart) = how;
        }
        if thread.reframed.swap(false, Ordering::SeqCst) {
            // The host has set the thread back to the call.
            let context = &mut frame.context;
            context.set(Register::Rip, context.get(Register::Rip).wrapping_add(2));
            syscalls::with_frame(kernel, thread, id, frame);
            return;
        }
        let site = thread.site.swap(0, Ordering::SeqCst);
        if site != 0 {
            syscalls::sites::rewrite(kernel, thread, id, frame, site);
            return;
        }
        if thread.looks.swap(false, Ordering::SeqCst) {
            syscalls::views::arrange(kernel, thread, id, frame);
            return;
        }
        resume(kernel, thread, id, &mut frame);
        return;
    }
    if signal == SIGSYS && info.code() == SYS_SECCOMP {
        let arch = info.bytes().get(28..32).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        if arch != Some(AUDIT_ARCH_X86_64) {
            // Linux without 32-bit emulation: a general protection fault.
            force(thread, Info::new(SIGSEGV, super::SI_KERNEL));
            resume(kernel, thread, id, &mut frame);
            return;
        }
        if frame.context.get(Register::Rax) == RT_SIGRETURN {
            let mut id = id;
            if !syscalls::watched::may_return(kernel, thread, &mut id, &mut frame) {
                return;
            }
            if thread.is_traced() {
                match trace::entry(kernel, thread, &mut id, &mut frame) {
                    trace::Entry::Gone => return,
                    trace::Entry::Serve(number) => {
                        trace::served(thread);
                        if number >= trace::LAST {
                            resume(kernel, thread, id, &mut frame);
                            return;
                        }
                    }
                }
            }
            sigreturn(kernel, thread, id, &mut frame);
        } else if let Some(frame) = syscalls::views::called_framed(kernel, thread, id, frame)
            && let Some(frame) = syscalls::sites::called_framed(kernel, thread, id, frame)
        {
            syscalls::with_frame(kernel, thread, id, frame);
        }
        return;
    }
    // Only the host's kernel sends others: faults of the guest's code.
    if signal == SIGSEGV && syscalls::sites::came_too_early(thread, &frame.context, info.address())
    {
        resume(kernel, thread, id, &mut frame);
        return;
    }
    if signal == SIGSEGV
        && info.code() == SEGV_MAPERR
        && syscalls::grow(kernel, thread, id, &frame, info)
    {
        return;
    }
    // What the call says.
    if matches!(stood, Place::Copying | Place::Undone) && matches!(signal, SIGSEGV | super::SIGBUS)
    {
        resume(kernel, thread, id, &mut frame);
        return;
    }
    force(thread, info);
    resume(kernel, thread, id, &mut frame);
}

/// A `siginfo` and a context: next to each other, if the host put them there.
fn read_frame(
    memory: &GuestMemory,
    info: u64,
    context: u64,
) -> Option<([u8; 128], [u8; CONTEXT_SIZE])> {
    if info != context.wrapping_add(CONTEXT_SIZE as u64) {
        return Some((memory.read_array(info).ok()?, memory.read_array(context).ok()?));
    }
    let both: [u8; CONTEXT_SIZE + 128] = memory.read_array(context).ok()?;
    let (context, info) = both.split_first_chunk()?;
    Some((*info.first_chunk()?, *context))
}

/// A signal that can't be missed: it ends the process if it is ignored or held back.
pub fn force(thread: &Arc<Thread>, info: Info) {
    let signal = info.signal();
    let account = Account::of_thread(thread);
    let mut signals = lock(&thread.signals);
    let actions = thread.process.actions();
    let mut actions = lock(&actions);
    if signals.mask & bit(signal) != 0 || actions.get(signal).handler == IGNORE {
        signals.mask &= !bit(signal);
        actions.set(signal, Action::default());
    }
    let _ = signals.pending.add(info, &Counted::New(&account));
    drop(actions);
    drop(signals);
}

fn sigreturn(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, frame: &mut Frame) {
    match frame::pop(&thread.memory(), &mut frame.context) {
        Ok((mask, (base, flags, size))) => {
            let mut signals = lock(&thread.signals);
            signals.set_mask(mask);
            // As on Linux, what can't be is left as it is.
            let pointer = frame.context.get(Register::Rsp);
            let _ = signals.set_stack(pointer, (base, flags.cast_unsigned(), size));
            drop(signals);
            retarget(kernel, thread, mask);
            resume(kernel, thread, id, frame);
        }
        Err(_) => {
            force(thread, Info::new(SIGSEGV, super::SI_KERNEL));
            resume(kernel, thread, id, frame);
        }
    }
}

/// What an ordered call returned that a signal came after, or interrupted.
fn interrupted_order(context: &Context, made: bool) -> i64 {
    /// `ERESTARTSYS`
    const RESTART_CODE: i64 = -512;
    let behind = INJECT_ADDRESS + 2;
    let at = context.get(Register::Rip);
    let result = if at == behind { Register::Rax } else { Register::Rdi };
    if !made || at < behind { RESTART_CODE } else { context.get(result).cast_signed() }
}

/// Waits while the process is stopped; whether it was, and nothing if the thread's end came
/// meanwhile. One that is traced waits for its tracer.
fn parked(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: &mut u64,
    frame: &mut Frame,
) -> Option<bool> {
    let mut stopped = false;
    loop {
        if thread.is_traced() && enter_stop(kernel, thread) {
            stopped = true;
            match trace::group_stop(kernel, thread, id, frame) {
                Some(Leaving::Gone) => return None,
                Some(Leaving::Stays) if thread.is_traced() => return Some(true),
                // Its tracer has left it: it is stopped as the others are.
                Some(Leaving::Stays) => {}
                None => {}
            }
        }
        if !park(kernel, thread) {
            return Some(stopped);
        }
        if thread.doomed.load(Ordering::SeqCst) {
            dismiss(kernel, thread, *id, frame.address);
            return None;
        }
        stopped = true;
        if !thread.is_traced() {
            return Some(true);
        }
    }
}

/// The call that the host has set the thread back to fails, if it still is to be made.
fn fail_interrupted(frame: &mut Frame, call: (u64, u64)) {
    let context = &mut frame.context;
    if (context.get(Register::Rip), context.get(Register::Rax)) == call {
        context.set(Register::Rip, call.0.wrapping_add(2));
        context.set(Register::Rax, EINTR.wrapping_neg());
    }
}

/// Lets a thread go on that waits with a frame: through a handler, if a signal
/// is there for it.
pub fn resume(kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, frame: &mut Frame) {
    if thread.doomed.load(Ordering::SeqCst) {
        // Signals of its process are not for it any more.
        return dismiss(kernel, thread, id, frame.address);
    }
    let mut id = id;
    if thread.is_traced() {
        match trace::before_resume(kernel, thread, &mut id, frame) {
            Before::Signals => {}
            Before::Call => return kernel.load(thread, id, frame),
            Before::Gone => return,
        }
    }
    let interrupted = lock(&thread.restart).take();
    let call = (frame.context.get(Register::Rip), frame.context.get(Register::Rax));
    thread.waiter.clear();
    let Some(mut stopped) = parked(kernel, thread, &mut id, frame) else { return };
    let mut frames = 0;
    while let Some((info, continued)) = {
        let wanted = !lock(&thread.signals).mask;
        take_counted(thread, wanted)
    } {
        let info = if thread.is_traced() {
            match trace::signal(kernel, thread, &mut id, frame, info) {
                None => return,
                Some(None) => continue,
                Some(Some(info)) => info,
            }
        } else {
            info
        };
        let signal = info.signal();
        if signal == SIGKILL {
            exit_process(kernel, &thread.process, Status::Killed(9, false));
            return;
        }
        let action = {
            let actions = thread.process.actions();
            let mut actions = lock(&actions);
            let action = actions.get(signal);
            if action.flags & RESET_HAND != 0 && action.handler > IGNORE {
                actions.set(signal, Action { handler: 0, ..action });
            }
            action
        };
        if action.handler == IGNORE {
            continue;
        }
        if action.handler == 0 {
            // The first process lives on, unless its own code is at fault.
            let fault = info.code() > 0 && [4, 5, 7, 8, 11, 31].contains(&signal);
            let held = signal == SIGSTOP && thread.process.pid != 1;
            if thread.process.is_first() && !fault && !held {
                continue;
            }
            match default_of(signal) {
                DefaultAction::Ignore | DefaultAction::Continue => continue,
                DefaultAction::Stop => {
                    stop(kernel, &thread.process, signal, continued);
                    match parked(kernel, thread, &mut id, frame) {
                        Some(was) => stopped |= was,
                        None => return,
                    }
                    continue;
                }
                DefaultAction::End(core) => {
                    let core = core && lock(&thread.process.limits).soft(resource::CORE) > 0;
                    let status = Status::Killed(u8::try_from(signal).unwrap_or(0), core);
                    let word = u64::from(status.word().cast_unsigned());
                    let exit = trace::events::EXIT;
                    if thread.is_traced()
                        && trace::event(kernel, thread, &mut id, frame, exit, word) == Leaving::Gone
                    {
                        return;
                    }
                    exit_process(kernel, &thread.process, status);
                    return;
                }
            }
        }
        if frames == 0
            && let Some(kind) = interrupted
            && kind != Restart::Always
            && (kind != Restart::IfAsked || action.flags & RESTART == 0)
        {
            fail_interrupted(frame, call);
        }
        let mut signals = lock(&thread.signals);
        let pushed = frame::push(&thread.memory(), &mut frame.context, &signals, &action, &info);
        if pushed.is_err() {
            drop(signals);
            // No room for a frame: its own handler may have a stack.
            if signal == SIGSEGV {
                lock(&thread.process.actions()).set(SIGSEGV, Action::default());
            }
            force(thread, Info::new(SIGSEGV, super::SI_KERNEL));
            continue;
        }
        signals.saved_mask = None;
        signals.disarm_stack();
        let mut mask = signals.mask | action.mask;
        if action.flags & NO_DEFER == 0 {
            mask |= bit(signal);
        }
        signals.set_mask(mask);
        frames += 1;
        drop(signals);
        retarget(kernel, thread, mask);
        if thread.is_traced()
            && trace::step_into_handler(kernel, thread, &mut id, frame) == Leaving::Gone
        {
            return;
        }
    }
    if frames == 0 {
        match interrupted {
            Some(Restart::UnlessStopped(_)) if stopped => fail_interrupted(frame, call),
            Some(Restart::UnlessStopped(Some(deadline)) | Restart::Until(deadline)) => {
                *lock(&thread.continued) = Some(deadline);
            }
            _ => {}
        }
    }
    let mut signals = lock(&thread.signals);
    if let Some(mask) = signals.saved_mask.take() {
        signals.set_mask(mask);
    }
    let pending = lock(&thread.process.pending);
    if (signals.pending.set() | pending.set()) & !signals.mask == 0 {
        // Whatever came meanwhile was taken, too: the next call is not to end by it.
        thread.waiter.clear_signal();
    }
    drop(pending);
    drop(signals);
    if thread.is_traced() {
        trace::arm(thread, frame);
    }
    kernel.load(thread, id, frame);
}
