//! Calls of the host's that stub threads are told to make, and registers that they are
//! told to load.

use std::sync::Arc;

use crate::kernel::{Frame, Kernel};
use crate::platform::context::{Context, Register};
use crate::platform::{HostCall, INJECT_ADDRESS};
use crate::syscalls;
use crate::task::waiter::lock;
use crate::task::{Order, Thread};

/// The processor traps behind the next instruction.
const TRAP_FLAG: u64 = 0x100;

impl Kernel {
    /// Loads a frame's registers: the thread goes on.
    pub fn load(&self, thread: &Arc<Thread>, id: u64, frame: &mut Frame) {
        // Every signal of the host reaches the stub.
        frame.context.set_mask(0);
        if frame.context.get(Register::Flags) & TRAP_FLAG != 0 {
            syscalls::site_unwinding::step_over(thread, &mut frame.context);
        }
        let slot = lock(&thread.place).slot;
        let (base, size) = slot.stack();
        frame.context.set_stack(base, 0, size);
        if thread.memory().write(frame.address, frame.context.bytes()).is_err() {
            self.violation(thread, "a frame that can't be written");
            return;
        }
        thread.posting.goes_on();
        self.listener.answer(id, 0);
    }

    /// Makes a thread that waits with a frame make a call of the host; `then`
    /// goes on. The frame is not loaded before.
    pub fn order(
        &self,
        thread: &Arc<Thread>,
        id: u64,
        frame: &Frame,
        call: HostCall,
        then: crate::task::thread::Then,
    ) {
        let order = Order { call, made: false, then, holds_turn: true, interruptible: false };
        self.place_order(thread, id, frame, order);
    }

    /// The same by who does not hold the turn to change the space; if it is
    /// `interruptible`, a signal ends it: then `then` is told the host's restart code.
    pub fn order_aside(
        &self,
        thread: &Arc<Thread>,
        id: u64,
        frame: &Frame,
        call: HostCall,
        (interruptible, then): (bool, crate::task::thread::Then),
    ) {
        let order = Order { call, made: false, then, holds_turn: false, interruptible };
        self.place_order(thread, id, frame, order);
    }

    fn place_order(&self, thread: &Arc<Thread>, id: u64, frame: &Frame, order: Order) {
        let mut context = ordered(frame.context, frame.address, &order.call);
        if order.interruptible {
            context.set_mask(0);
        }
        let (base, size) = lock(&thread.place).slot.stack();
        context.set_stack(base, 0, size);
        *lock(&thread.order) = Some(order);
        if thread.memory().write(frame.address, context.bytes()).is_err() {
            self.violation(thread, "a frame that can't be written");
            return;
        }
        self.listener.answer(id, 0);
    }
}

/// `base` changed to make `call` in the stub, and then to load what is at
/// `address`.
pub(crate) fn ordered(mut base: Context, address: u64, call: &HostCall) -> Context {
    base.set(Register::Rip, INJECT_ADDRESS);
    base.set(Register::Rsp, address);
    base.set(Register::Rax, call.number);
    base.set_args(call.args);
    // No signal of the host comes between.
    base.set_mask(u64::MAX);
    base
}
