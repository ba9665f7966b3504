//! Frames of handlers on the guest's stack, as Linux lays them out on x86-64.

use crate::platform::context::{CONTEXT_SIZE, Context, Register, read_xstate, xstate_size};
use crate::platform::{Fault, GuestMemory};

use super::{Action, Info, ON_STACK, RESTORER, ThreadSignals};

/// Bytes that a function may use below its stack pointer.
const RED_ZONE: u64 = 128;
const INFO_SIZE: u64 = 128;

/// Puts a frame on the stack and makes `context` run the handler. The mask of
/// `signals` is what the frame restores; the caller changes it afterwards.
pub(super) fn push(
    memory: &GuestMemory,
    context: &mut Context,
    signals: &ThreadSignals,
    action: &Action,
    info: &Info,
) -> Result<(), Fault> {
    if action.flags & RESTORER == 0 {
        return Err(Fault);
    }
    let pointer = context.get(Register::Rsp);
    let (base, size) = signals.stack;
    let switch = action.flags & ON_STACK != 0 && size > 0 && !signals.uses_stack(pointer);
    let mut top = if switch { base.wrapping_add(size) } else { pointer.wrapping_sub(RED_ZONE) };

    let mut saved = Context::default();
    saved.copy_registers_from(context);
    saved.copy_fault_from(context);
    saved.set_flags(context.flags());
    saved.set_mask(signals.saved_mask.unwrap_or(signals.mask));
    saved.set_stack(base, signals.stack_flags.cast_signed(), size);
    if context.xstate() != 0 {
        let xstate = read_xstate(memory, context.xstate())?;
        top = top.wrapping_sub(xstate.len() as u64) & !63;
        memory.write(top, &xstate)?;
        saved.set_xstate(top);
    }
    let frame_size = 8 + CONTEXT_SIZE as u64 + INFO_SIZE;
    let frame = (top.wrapping_sub(frame_size) & !15).wrapping_sub(8);
    if (switch || signals.uses_stack(pointer)) && !signals.on_stack(frame) {
        // It would reach below the alternate stack.
        return Err(Fault);
    }
    let mut bytes = Vec::with_capacity(8 + CONTEXT_SIZE + 128);
    bytes.extend_from_slice(&action.restorer.to_le_bytes());
    bytes.extend_from_slice(saved.bytes());
    bytes.extend_from_slice(info.bytes());
    memory.write(frame, &bytes)?;

    context.set(Register::Rsp, frame);
    context.set(Register::Rip, action.handler);
    context.set(Register::Rax, 0);
    context.set(Register::Rdi, u64::from(info.signal().cast_unsigned()));
    context.set(Register::Rsi, frame + 8 + CONTEXT_SIZE as u64);
    context.set(Register::Rdx, frame + 8);
    // Direction, trap and resume flags are clear in a handler.
    let flags = context.get(Register::Flags);
    context.set(Register::Flags, flags & !(0x400 | 0x100 | 0x1_0000));
    // A handler starts with a fresh floating-point state.
    context.set_xstate(0);
    Ok(())
}

/// Takes the frame at the stack pointer of `context` off: what rt_sigreturn(2)
/// does. Returns the mask and the alternate stack that the frame holds.
pub(super) fn pop(
    memory: &GuestMemory,
    context: &mut Context,
) -> Result<(u64, (u64, i32, u64)), Fault> {
    let at = context.get(Register::Rsp);
    let saved = Context::from_bytes(memory.read_array(at)?);
    context.copy_registers_from(&saved);
    match (saved.xstate(), context.xstate()) {
        (0, _) | (_, 0) => context.set_xstate(0),
        (from, to) => {
            let state = read_xstate(memory, from)?;
            let room = xstate_size(&memory.read_array(to)?);
            memory.write(to, state.get(..room).unwrap_or(&state))?;
        }
    }
    Ok((saved.mask(), saved.stack()))
}
