//! Registers of a stopped tracee, in the layouts of `sys/user.h` and of core files.

use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::platform::XSTATE_OFFSET;
use crate::platform::context::{Register, read_xstate, xstate_size};
use crate::task::Thread;
use crate::task::trace::{Stopped, read_bases, set_base};
use crate::task::waiter::lock;

/// Bytes of `struct user_regs_struct`.
pub(super) const GENERAL: usize = 27 * 8;
/// Bytes of `struct user`, and where its debug registers are.
const USER: u64 = 912;
const DEBUG: u64 = 848;
/// `NT_PRSTATUS`, `NT_PRFPREG`, `NT_X86_XSTATE`
const SETS: [u64; 3] = [1, 2, 0x202];
/// `ARCH_*`: the base that a request is about, and whether it sets it.
pub(super) fn base_request(request: u64) -> Result<(usize, bool), Errno> {
    match request {
        0x1001 => Ok((1, true)),
        0x1002 => Ok((0, true)),
        0x1003 => Ok((0, false)),
        0x1004 => Ok((1, false)),
        _ => Err(Errno::INVAL),
    }
}

/// Where the extended state tells of itself.
const SOFTWARE: std::ops::Range<usize> = 464..512;

/// A place in `struct user_regs_struct`.
#[derive(Clone, Copy)]
enum Place {
    General(Register),
    /// The number of the call.
    Original,
    /// Base of fs, of gs.
    Base(usize),
    /// A selector, and what it is in user space.
    Selector(u64),
}

const PLACES: [Place; 27] = [
    Place::General(Register::R15),
    Place::General(Register::R14),
    Place::General(Register::R13),
    Place::General(Register::R12),
    Place::General(Register::Rbp),
    Place::General(Register::Rbx),
    Place::General(Register::R11),
    Place::General(Register::R10),
    Place::General(Register::R9),
    Place::General(Register::R8),
    Place::General(Register::Rax),
    Place::General(Register::Rcx),
    Place::General(Register::Rdx),
    Place::General(Register::Rsi),
    Place::General(Register::Rdi),
    Place::Original,
    Place::General(Register::Rip),
    Place::Selector(0x33),
    Place::General(Register::Flags),
    Place::General(Register::Rsp),
    Place::Selector(0x2b),
    Place::Base(0),
    Place::Base(1),
    Place::Selector(0),
    Place::Selector(0),
    Place::Selector(0),
    Place::Selector(0),
];

fn read(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
    place: Place,
) -> Result<u64, Errno> {
    Ok(match place {
        Place::General(register) => stopped.frame.context.get(register),
        Place::Original => stopped.original,
        Place::Base(index) => {
            let bases = read_bases(kernel, thread, stopped)?;
            bases.get(index).copied().unwrap_or(0)
        }
        Place::Selector(value) => value,
    })
}

fn write(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
    place: Place,
    value: u64,
) -> Result<(), Errno> {
    /// Arithmetic and direction flags, and what else tracers may set.
    const FLAGS: u64 = 0x0005_4dd5;
    match place {
        Place::General(Register::Flags) => {
            let old = stopped.frame.context.get(Register::Flags);
            stopped.frame.context.set(Register::Flags, (old & !FLAGS) | (value & FLAGS));
        }
        Place::General(register) => stopped.frame.context.set(register, value),
        Place::Original => stopped.original = value,
        Place::Base(index) => set_base(kernel, thread, stopped, index, value)?,
        // Other selectors than those of 64-bit programs there are none.
        Place::Selector(own) if value != own => return Err(Errno::IO),
        Place::Selector(_) => {}
    }
    Ok(())
}

/// `struct user_regs_struct`
pub(super) fn general(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(GENERAL);
    for place in PLACES {
        bytes.extend(read(kernel, thread, stopped, place)?.to_le_bytes());
    }
    Ok(bytes)
}

/// Sets as many of them as there are whole words.
pub(super) fn set_general(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
    bytes: &[u8],
) -> Result<(), Errno> {
    for (place, word) in PLACES.into_iter().zip(bytes.chunks_exact(8)) {
        let value = word.try_into().map_or(0, u64::from_le_bytes);
        write(kernel, thread, stopped, place, value)?;
    }
    Ok(())
}

fn place_at(offset: u64) -> Option<Place> {
    let index = usize::try_from(offset / 8).ok()?;
    PLACES.get(index).copied()
}

fn check_offset(offset: u64) -> Result<(), Errno> {
    if offset.is_multiple_of(8) && offset < USER { Ok(()) } else { Err(Errno::IO) }
}

/// A word of `struct user`: what is no register is zero.
pub(super) fn peek(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
    offset: u64,
) -> Result<u64, Errno> {
    check_offset(offset)?;
    place_at(offset).map_or(Ok(0), |place| read(kernel, thread, stopped, place))
}

/// Sets one. There are no debug registers: nothing can be watched by the processor.
pub(super) fn poke(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
    offset: u64,
    value: u64,
) -> Result<(), Errno> {
    check_offset(offset)?;
    match place_at(offset) {
        Some(place) => write(kernel, thread, stopped, place, value),
        None if offset >= DEBUG && value == 0 => Ok(()),
        None => Err(Errno::IO),
    }
}

/// As after a fresh start of the processor.
fn initial() -> Vec<u8> {
    /// x87, SSE and AVX.
    const FEATURES: u64 = 7;
    const SIZE: usize = 832;
    let mut bytes = vec![0; SIZE];
    let mut put = |at: usize, value: &[u8]| {
        if let Some(room) = bytes.get_mut(at..at + value.len()) {
            room.copy_from_slice(value);
        }
    };
    put(0, &0x37f_u16.to_le_bytes());
    put(24, &0x1f80_u32.to_le_bytes());
    put(28, &0xffff_u32.to_le_bytes());
    put(SOFTWARE.start, &FEATURES.to_le_bytes());
    bytes
}

/// The extended state, as `NT_X86_XSTATE` has it: with the features where a signal's
/// frame tells of its size.
fn extended(thread: &Thread, stopped: &Stopped) -> Result<Vec<u8>, Errno> {
    let address = stopped.frame.context.xstate();
    if address == 0 {
        return Ok(initial());
    }
    let mut bytes = read_xstate(&thread.memory(), address).map_err(|_| Errno::IO)?;
    let told = bytes.get(SOFTWARE).map(<[u8]>::to_vec).unwrap_or_default();
    let features = told.get(8..16).unwrap_or(&[3, 0, 0, 0, 0, 0, 0, 0]).to_vec();
    if let Some(room) = bytes.get_mut(SOFTWARE) {
        room.fill(0);
        room.iter_mut().zip(features).for_each(|(to, from)| *to = from);
    }
    Ok(bytes)
}

/// `struct user_fpregs_struct`
pub(super) fn legacy(thread: &Thread, stopped: &Stopped) -> Result<Vec<u8>, Errno> {
    let mut bytes = extended(thread, stopped)?;
    bytes.truncate(512);
    if let Some(room) = bytes.get_mut(SOFTWARE) {
        room.fill(0);
    }
    Ok(bytes)
}

/// Sets the extended state, as far as `bytes` reach.
pub(super) fn set_extended(
    thread: &Thread,
    stopped: &mut Stopped,
    bytes: &[u8],
) -> Result<(), Errno> {
    let memory = thread.memory();
    let address = stopped.frame.context.xstate();
    if bytes.len() < 512 {
        return Err(Errno::INVAL);
    }
    if address == 0 {
        // Without what tells its size it is the part that every processor has.
        let mut part = bytes.get(..512).unwrap_or_default().to_vec();
        if let Some(room) = part.get_mut(SOFTWARE) {
            room.fill(0);
        }
        let to = lock(&thread.place).slot.context() + XSTATE_OFFSET;
        memory.write(to, &part).map_err(|_| Errno::IO)?;
        stopped.frame.context.set_xstate(to);
        return Ok(());
    }
    let first: [u8; 512] = memory.read_array(address).map_err(|_| Errno::IO)?;
    let mut new = bytes.get(..bytes.len().min(xstate_size(&first))).unwrap_or_default().to_vec();
    if let (Some(room), Some(own)) = (new.get_mut(SOFTWARE), first.get(SOFTWARE)) {
        room.copy_from_slice(own);
    }
    if new.len() == 512 {
        // What was set is in use.
        let features = memory.read_u64(address + 512).map_err(|_| Errno::IO)?;
        if xstate_size(&first) > 512 {
            let set = (features | 3).to_le_bytes();
            memory.write(address + 512, &set).map_err(|_| Errno::IO)?;
        }
    }
    memory.write(address, &new).map_err(|_| Errno::IO)
}

/// A set of registers by its number in core files.
pub(super) fn set_of(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
    number: u64,
) -> Result<Vec<u8>, Errno> {
    match SETS.iter().position(|set| *set == number) {
        Some(0) => general(kernel, thread, stopped),
        Some(1) => legacy(thread, stopped),
        Some(_) => extended(thread, stopped),
        None => Err(Errno::INVAL),
    }
}

/// Changes it.
pub(super) fn change_set(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
    number: u64,
    bytes: &[u8],
) -> Result<(), Errno> {
    match SETS.iter().position(|set| *set == number) {
        Some(0) => set_general(kernel, thread, stopped, bytes),
        Some(_) => set_extended(thread, stopped, bytes),
        None => Err(Errno::INVAL),
    }
}
