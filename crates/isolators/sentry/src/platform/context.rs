//! A thread's registers as a signal frame holds them: `struct ucontext` of
//! x86-64, in bytes as the kernel lays them out (`asm/ucontext.h`,
//! `asm/sigcontext.h`).

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Fault, GuestMemory};

/// Bytes of `struct ucontext`.
pub const CONTEXT_SIZE: usize = 304;
/// Bytes of the legacy part of the extended state, where its size is told.
const FXSAVE_SIZE: usize = 512;
/// `FP_XSTATE_MAGIC1`
const XSTATE_MAGIC: u32 = 0x4650_5853;
/// Offset of `struct _fpx_sw_bytes` in it.
const SOFTWARE_BYTES: usize = 464;

/// Names of the general registers, by their index in `sigcontext`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs, reason = "they are the registers' names")]
pub enum Register {
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    Rdi,
    Rsi,
    Rbp,
    Rbx,
    Rdx,
    Rax,
    Rcx,
    Rsp,
    Rip,
    Flags,
}

/// A register frame.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    bytes: [u8; CONTEXT_SIZE],
}

/// Offset of a general register.
pub(super) const fn offset(register: Register) -> usize {
    REGISTERS + 8 * register as usize
}

const STACK: usize = 16;
const REGISTERS: usize = 40;
const SEGMENTS: usize = REGISTERS + 18 * 8;
const ERROR: usize = SEGMENTS + 8;
const TRAP_NUMBER: usize = ERROR + 8;
const FAULT_ADDRESS: usize = TRAP_NUMBER + 16;
const XSTATE: usize = FAULT_ADDRESS + 8;
const MASK: usize = 296;

impl Default for Context {
    /// All registers zero, user segments, interrupts on, no extended state.
    fn default() -> Self {
        let mut context = Context { bytes: [0; CONTEXT_SIZE] };
        // UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
        context.put(0, 6);
        // cs 0x33, ss 0x2b: the user's on Linux.
        context.put(SEGMENTS, 0x002b_0000_0000_0033);
        context.set(Register::Flags, 0x202);
        context
    }
}

impl Context {
    /// As read from a frame.
    #[must_use]
    pub fn from_bytes(bytes: [u8; CONTEXT_SIZE]) -> Self {
        Context { bytes }
    }

    /// As a frame holds it.
    #[must_use]
    pub fn bytes(&self) -> &[u8; CONTEXT_SIZE] {
        &self.bytes
    }

    fn word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        if let Some(bytes) = self.bytes.get(at..at + 8) {
            word.copy_from_slice(bytes);
        }
        u64::from_le_bytes(word)
    }

    fn put(&mut self, at: usize, value: u64) {
        if let Some(bytes) = self.bytes.get_mut(at..at + 8) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// A general register.
    #[must_use]
    pub fn get(&self, register: Register) -> u64 {
        self.word(REGISTERS + 8 * register as usize)
    }

    /// Sets a general register.
    pub fn set(&mut self, register: Register, value: u64) {
        self.put(REGISTERS + 8 * register as usize, value);
    }

    /// Arguments of a system call.
    #[must_use]
    pub fn args(&self) -> [u64; 6] {
        use Register::{R8, R9, R10, Rdi, Rdx, Rsi};
        [Rdi, Rsi, Rdx, R10, R8, R9].map(|r| self.get(r))
    }

    /// Sets them.
    pub fn set_args(&mut self, args: [u64; 6]) {
        use Register::{R8, R9, R10, Rdi, Rdx, Rsi};
        for (register, value) in [Rdi, Rsi, Rdx, R10, R8, R9].into_iter().zip(args) {
            self.set(register, value);
        }
    }

    /// `uc_flags`.
    #[must_use]
    pub fn flags(&self) -> u64 {
        self.word(0)
    }

    /// Sets `uc_link`, which loading ignores.
    pub fn set_link(&mut self, value: u64) {
        self.put(8, value);
    }

    /// Sets `uc_flags` and clears `uc_link`.
    pub fn set_flags(&mut self, flags: u64) {
        self.put(0, flags);
        self.put(8, 0);
    }

    /// `uc_stack`: address, flags, size.
    #[must_use]
    pub fn stack(&self) -> (u64, i32, u64) {
        let flags = u32::try_from(self.word(STACK + 8) & 0xffff_ffff).unwrap_or(0);
        (self.word(STACK), flags.cast_signed(), self.word(STACK + 16))
    }

    /// Sets `uc_stack`.
    pub fn set_stack(&mut self, address: u64, flags: i32, size: u64) {
        self.put(STACK, address);
        self.put(STACK + 8, u64::from(flags.cast_unsigned()));
        self.put(STACK + 16, size);
    }

    /// The mask that is in force once this is loaded.
    #[must_use]
    pub fn mask(&self) -> u64 {
        self.word(MASK)
    }

    /// Sets it.
    pub fn set_mask(&mut self, mask: u64) {
        self.put(MASK, mask);
    }

    /// Address of the extended state (`fpstate`), 0 for none.
    #[must_use]
    pub fn xstate(&self) -> u64 {
        self.word(XSTATE)
    }

    /// Sets it.
    pub fn set_xstate(&mut self, address: u64) {
        self.put(XSTATE, address);
    }

    /// Segments, error code, trap number and fault address, as one piece.
    pub fn copy_fault_from(&mut self, other: &Context) {
        for at in (SEGMENTS..XSTATE).step_by(8) {
            self.put(at, other.word(at));
        }
    }

    /// The error code that the processor gave with a fault.
    #[must_use]
    pub fn error_code(&self) -> u64 {
        self.word(ERROR)
    }

    /// Copies the 18 general registers.
    pub fn copy_registers_from(&mut self, other: &Context) {
        for at in (REGISTERS..SEGMENTS).step_by(8) {
            self.put(at, other.word(at));
        }
    }
}

/// How long an extended state is, by its legacy part (512 bytes); 512 if it
/// tells nothing more.
#[must_use]
pub fn xstate_size(legacy: &[u8; FXSAVE_SIZE]) -> usize {
    let word = |at: usize| {
        legacy.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
    };
    if word(SOFTWARE_BYTES) != XSTATE_MAGIC {
        return FXSAVE_SIZE;
    }
    let told = usize::try_from(word(SOFTWARE_BYTES + 4)).unwrap_or(0);
    // What a slot has room for.
    if (FXSAVE_SIZE..=12_288).contains(&told) { told } else { FXSAVE_SIZE }
}

/// The extended state at an address: as long as it says, mostly by one look.
///
/// # Errors
/// If it can't be read.
pub fn read_xstate(memory: &GuestMemory, address: u64) -> Result<Vec<u8>, Fault> {
    /// How long the last one was.
    static LAST: AtomicUsize = AtomicUsize::new(FXSAVE_SIZE);
    let mut state = vec![0; LAST.load(Ordering::Relaxed)];
    let count = memory.read_some(address, &mut state);
    let legacy = state.first_chunk().filter(|_| count >= FXSAVE_SIZE).ok_or(Fault)?;
    let size = xstate_size(legacy);
    if size > count {
        state.resize(size, 0);
        let rest = state.get_mut(count..).ok_or(Fault)?;
        memory.read(address.wrapping_add(count as u64), rest)?;
        LAST.fetch_max(size, Ordering::Relaxed);
    }
    state.truncate(size);
    Ok(state)
}
