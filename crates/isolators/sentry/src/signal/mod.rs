//! Signals: queues, masks, actions, and the frames of handlers.

mod deliver;
mod frame;
pub mod outside;
pub mod owner;
mod queue;
mod send;
mod take;

use rustix::io::Errno;

use crate::task::Process;
use crate::task::user_namespace::Ids;

pub use deliver::{force, reported, resume};
pub use queue::{Counted, Pending};
pub use send::{Sender, Target, keep, retarget, send, send_of_timer, try_send};
pub use take::take;

/// `SIGCHLD`
pub const SIGCHLD: i32 = 17;
/// `SIGKILL`
pub const SIGKILL: i32 = 9;
/// `SIGSTOP`
pub const SIGSTOP: i32 = 19;
/// `SIGHUP`
pub const SIGHUP: i32 = 1;
/// `SIGCONT`
pub const SIGCONT: i32 = 18;
/// `SIGBUS`
pub const SIGBUS: i32 = 7;
/// `SIGSEGV`
pub const SIGSEGV: i32 = 11;
/// `SIGPIPE`
pub const SIGPIPE: i32 = 13;
/// `SIGURG`
pub const SIGURG: i32 = 23;
/// `SIGIO`
pub const SIGIO: i32 = 29;
/// Largest number.
pub const MAX: i32 = 64;

/// The bit of a signal in a mask.
#[must_use]
pub fn bit(signal: i32) -> u64 {
    match u32::try_from(signal - 1) {
        Ok(n) if n < 64 => 1 << n,
        _ => 0,
    }
}

/// Those that no mask holds back.
#[must_use]
pub fn unmaskable() -> u64 {
    bit(SIGKILL) | bit(SIGSTOP)
}

/// `siginfo_t`, as the guest sees it.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    bytes: [u8; 128],
}

/// `SI_USER`
pub const SI_USER: i32 = 0;
/// `SI_KERNEL`
pub const SI_KERNEL: i32 = 0x80;
/// `SI_TIMER`
pub const SI_TIMER: i32 = -2;
/// `SI_TKILL`
pub const SI_TKILL: i32 = -6;

impl Info {
    /// With nothing but number and cause.
    #[must_use]
    pub fn new(signal: i32, code: i32) -> Self {
        let mut info = Info { bytes: [0; 128] };
        info.put(0, signal);
        info.put(8, code);
        info
    }

    /// From a process.
    #[must_use]
    pub fn from_user(signal: i32, code: i32, pid: i32, uid: u32) -> Self {
        let mut info = Info::new(signal, code);
        info.put(16, pid);
        info.put(20, uid.cast_signed());
        info
    }

    /// With the sender as the receiver's namespaces have it.
    #[must_use]
    pub(super) fn seen_by(mut self, process: &Process) -> Self {
        let receiver = process.who();
        let by_kernel = matches!(self.code(), SI_USER | SI_TKILL);
        let of_child = self.signal() == SIGCHLD && self.code() > 0;
        if by_kernel || of_child {
            self.put(16, process.number_of(self.get(16)));
        }
        if receiver.space.is_some() && (by_kernel || of_child) {
            let user = self.get(20).cast_unsigned();
            self.put(20, receiver.id_for(Ids::Users, user).cast_signed());
        }
        self
    }

    /// Of a child that changed.
    #[must_use]
    pub fn of_child(code: i32, pid: i32, uid: u32, status: i32) -> Self {
        let mut info = Info::from_user(SIGCHLD, code, pid, uid);
        info.put(24, status);
        info
    }

    /// Tells of what a child used, in hundredths of a second.
    pub fn set_times(&mut self, usage: crate::time::Usage) {
        for (at, time) in [(32, usage.user), (40, usage.system)] {
            let ticks = u64::try_from(time.as_millis() / 10).unwrap_or(u64::MAX);
            if let Some(bytes) = self.bytes.get_mut(at..at + 8) {
                bytes.copy_from_slice(&ticks.to_le_bytes());
            }
        }
    }

    /// Tells of a timer: its id, how often it fired more, its value.
    pub fn set_timer(&mut self, id: i32, overrun: i32, value: u64) {
        self.put(16, id);
        self.put(20, overrun);
        if let Some(bytes) = self.bytes.get_mut(24..32) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// Tells of a file: what poll(2) says of it, and its descriptor.
    pub fn set_band(&mut self, band: i64, descriptor: i32) {
        if let Some(bytes) = self.bytes.get_mut(16..24) {
            bytes.copy_from_slice(&band.to_le_bytes());
        }
        self.put(24, descriptor);
    }

    /// Gives it a value, as sigqueue(3) does.
    pub fn set_value(&mut self, value: u64) {
        if let Some(bytes) = self.bytes.get_mut(24..32) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// The id of the timer that it tells of.
    #[must_use]
    pub fn timer(&self) -> i32 {
        self.get(16)
    }

    /// How often that timer fired more.
    #[must_use]
    pub fn overrun(&self) -> i32 {
        self.get(20)
    }

    /// That timer has fired so often more.
    pub(super) fn fired_more(&mut self, times: i32) {
        self.put(20, self.overrun().saturating_add(times));
    }

    /// Where a fault was.
    #[must_use]
    pub fn address(&self) -> u64 {
        let bytes = self.bytes.get(16..24).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    }

    /// As given by a guest or the host.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 128]) -> Self {
        Info { bytes }
    }

    fn put(&mut self, at: usize, value: i32) {
        if let Some(bytes) = self.bytes.get_mut(at..at + 4) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn get(&self, at: usize) -> i32 {
        self.bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_le_bytes)
    }

    /// The signal.
    #[must_use]
    pub fn signal(&self) -> i32 {
        self.get(0)
    }

    /// The cause.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.get(8)
    }

    /// Sets number and cause.
    pub fn set(&mut self, signal: i32, code: i32) {
        self.put(0, signal);
        self.put(8, code);
    }

    /// As the guest's memory holds it.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 128] {
        &self.bytes
    }
}

/// What a process does on a signal: `struct sigaction` of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// `SIG_DFL` (0), `SIG_IGN` (1), or an address.
    pub handler: u64,
    /// `SA_*`
    pub flags: u64,
    /// Where a handler returns to.
    pub restorer: u64,
    /// Held back while the handler runs.
    pub mask: u64,
}

/// `SIG_IGN`
pub const IGNORE: u64 = 1;
/// `SA_NOCLDSTOP`
pub const NO_CHILD_STOP: u64 = 1;
/// `SA_NOCLDWAIT`
pub const NO_CHILD_WAIT: u64 = 2;
/// `SA_ONSTACK`
pub const ON_STACK: u64 = 0x0800_0000;
/// `SA_RESTART`
pub const RESTART: u64 = 0x1000_0000;
/// `SA_NODEFER`
pub const NO_DEFER: u64 = 0x4000_0000;
/// `SA_RESETHAND`
pub const RESET_HAND: u64 = 0x8000_0000;
/// `SA_RESTORER`
pub const RESTORER: u64 = 0x0400_0000;

/// What a signal does that has no handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Nothing.
    Ignore,
    /// Ends the process; `true` where Linux writes a core.
    End(bool),
    /// Stops the process.
    Stop,
    /// Continues it.
    Continue,
}

/// What signal(7) says.
#[must_use]
pub fn default_of(signal: i32) -> DefaultAction {
    match signal {
        17 | 23 | 28 => DefaultAction::Ignore,
        18 => DefaultAction::Continue,
        19..=22 => DefaultAction::Stop,
        3 | 4 | 5 | 6 | 7 | 8 | 11 | 24 | 25 | 31 => DefaultAction::End(true),
        _ => DefaultAction::End(false),
    }
}

/// Actions of a process.
#[derive(Clone, Debug)]
pub struct Actions {
    actions: [Action; 65],
}

impl Default for Actions {
    fn default() -> Self {
        Actions { actions: [Action::default(); 65] }
    }
}

impl Actions {
    /// That for a signal; the default for a number out of range.
    #[must_use]
    pub fn get(&self, signal: i32) -> Action {
        usize::try_from(signal).ok().and_then(|i| self.actions.get(i)).copied().unwrap_or_default()
    }

    /// Sets one.
    pub fn set(&mut self, signal: i32, action: Action) {
        if let Some(slot) = usize::try_from(signal).ok().and_then(|i| self.actions.get_mut(i)) {
            *slot = action;
        }
    }

    /// What execve(2) leaves: handlers are gone, what is ignored stays so.
    pub fn reset_handlers(&mut self) {
        for action in &mut self.actions {
            let handler = if action.handler == IGNORE { IGNORE } else { 0 };
            *action = Action { handler, ..Action::default() };
        }
    }

    /// Whether a signal would have no effect.
    #[must_use]
    pub fn ignores(&self, signal: i32) -> bool {
        let action = self.get(signal);
        action.handler == IGNORE
            || (action.handler == 0 && default_of(signal) == DefaultAction::Ignore)
    }
}

/// Signal state of a thread.
#[derive(Debug, Default)]
pub struct ThreadSignals {
    /// Held back.
    pub mask: u64,
    /// To be in force again after the handler that ends a `sigsuspend`.
    pub saved_mask: Option<u64>,
    /// For this thread only.
    pub pending: Pending,
    /// Alternate stack: address, size; size 0 for none.
    pub stack: (u64, u64),
    /// The flags that it was set with.
    pub stack_flags: u32,
}

/// `SS_ONSTACK`
pub const STACK_IN_USE: u32 = 1;
/// `SS_DISABLE`
pub const STACK_DISABLED: u32 = 2;
/// `SS_AUTODISARM`
pub const STACK_DISARMS: u32 = 1 << 31;
/// Bytes that an alternate stack has at least (`MINSIGSTKSZ`).
const LEAST_STACK: u64 = 2048;

impl ThreadSignals {
    /// Whether `address` lies on the alternate stack.
    #[must_use]
    pub fn on_stack(&self, address: u64) -> bool {
        let (base, size) = self.stack;
        size > 0 && address > base && address - base <= size
    }

    /// Whether a thread with this stack pointer is on the alternate stack, which one that
    /// disarms itself is not while it is there.
    #[must_use]
    pub fn uses_stack(&self, pointer: u64) -> bool {
        self.stack_flags & STACK_DISARMS == 0 && self.on_stack(pointer)
    }

    /// Sets the alternate stack (address, flags, size) of a thread with this stack pointer.
    ///
    /// # Errors
    /// As sigaltstack(2).
    pub fn set_stack(&mut self, pointer: u64, new: (u64, u32, u64)) -> Result<(), Errno> {
        let (base, flags, size) = new;
        if self.uses_stack(pointer) {
            return Err(Errno::PERM);
        }
        let mode = flags & !STACK_DISARMS;
        if ![0, STACK_IN_USE, STACK_DISABLED].contains(&mode) {
            return Err(Errno::INVAL);
        }
        if (base, size) == self.stack && flags == self.stack_flags {
            return Ok(());
        }
        if mode == STACK_DISABLED {
            self.stack = (0, 0);
        } else if size < LEAST_STACK {
            return Err(Errno::NOMEM);
        } else {
            self.stack = (base, size);
        }
        self.stack_flags = flags;
        Ok(())
    }

    /// A handler runs: a stack that disarms itself is none from now on.
    pub fn disarm_stack(&mut self) {
        if self.stack_flags & STACK_DISARMS != 0 {
            (self.stack, self.stack_flags) = ((0, 0), STACK_DISABLED);
        }
    }

    /// Sets the mask, save those that can't be masked.
    pub fn set_mask(&mut self, mask: u64) {
        self.mask = mask & !unmaskable();
    }
}
