//! Copies between the sentry and a guest's memory.
//!
//! The kernel makes them (`process_vm_readv`, `process_vm_writev`): it honours
//! the guest's page protections, bounds and copy-on-write, and a bad address is
//! an error, not a fault. The sentry never holds a reference to guest memory.

use std::sync::Arc;

use super::desks::{Desks, Gift};
use super::process::StubProcess;
use super::{HostCall, Slot, window};

/// Bytes that are copied at once.
const COPIED: usize = 64 << 10;

/// The guest named memory that it may not access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest gave an address that is not accessible")]
pub struct Fault;

impl From<Fault> for rustix::io::Errno {
    fn from(_: Fault) -> Self {
        rustix::io::Errno::FAULT
    }
}

/// The memory of one address space.
#[derive(Clone, Debug)]
pub struct GuestMemory {
    process: Arc<StubProcess>,
}

impl GuestMemory {
    /// That of `process`.
    #[must_use]
    pub fn new(process: Arc<StubProcess>) -> Self {
        GuestMemory { process }
    }

    /// Serves a taken call of one of its threads with `f`, so that what it reads and writes
    /// here goes through the room of its desk if it can. The second value is what is there to
    /// be given to the thread.
    pub fn through_room<T>(
        &self,
        desks: &Desks,
        slot: Slot,
        call: &HostCall,
        f: impl FnOnce() -> T,
    ) -> (T, Option<Gift>) {
        window::through(desks, slot, call, self.which(), f)
    }

    /// Whether the thread whose posted call is being served can copy to `address` itself what it
    /// has in view.
    #[must_use]
    pub fn may_lend(&self, address: u64) -> bool {
        window::may_lend(self.which(), address)
    }

    /// It does so, once it is answered; false if it can't.
    #[must_use]
    pub fn lend(&self, gift: Gift) -> bool {
        window::lend(self.which(), gift)
    }

    /// Copies within the memory, from `from` to `to`; whether it could all be copied.
    #[must_use]
    pub fn copy(&self, mut from: u64, mut to: u64, mut length: usize) -> bool {
        let mut bytes = vec![0; length.min(COPIED)];
        while length > 0 {
            let Some(part) = bytes.get_mut(..length.min(COPIED)) else { return false };
            if self.read(from, part).is_err() || self.write(to, part).is_err() {
                return false;
            }
            length -= part.len();
            (from, to) = (from.wrapping_add(part.len() as u64), to.wrapping_add(part.len() as u64));
        }
        true
    }

    fn which(&self) -> usize {
        Arc::as_ptr(&self.process).addr()
    }

    /// Copies from `address` on; returns how many bytes could be read.
    #[must_use]
    pub fn read_some(&self, address: u64, into: &mut [u8]) -> usize {
        // What is empty would be a call of the host's all the same.
        if into.is_empty() || window::read(self.which(), address, into) {
            return into.len();
        }
        let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
        let Some(remote) = remote(address, into.len()) else { return 0 };
        let copied = self.process.while_there(|pid| {
            // SAFETY: `local` describes `into`, which is borrowed mutably; the
            // kernel checks `remote` against the other process.
            unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) }
        });
        copied.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    /// Copies to `address`; returns how many bytes could be written.
    #[must_use]
    pub fn write_some(&self, address: u64, from: &[u8]) -> usize {
        if from.is_empty() || window::write(self.which(), address, from) {
            return from.len();
        }
        let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
        let Some(remote) = remote(address, from.len()) else { return 0 };
        let copied = self.process.while_there(|pid| {
            // SAFETY: `local` describes `from`, which the kernel only reads; it
            // checks `remote` against the other process.
            unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) }
        });
        copied.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    /// Fills `into`.
    ///
    /// # Errors
    /// If any byte can't be read.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        if self.read_some(address, into) == into.len() { Ok(()) } else { Err(Fault) }
    }

    /// Writes all of `from`.
    ///
    /// # Errors
    /// If any byte can't be written; those before it may have been.
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), Fault> {
        if self.write_some(address, from) == from.len() { Ok(()) } else { Err(Fault) }
    }

    /// `N` bytes.
    ///
    /// # Errors
    /// If any can't be read.
    pub fn read_array<const N: usize>(&self, address: u64) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// A 32-bit word.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read_u32(&self, address: u64) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.read_array(address)?))
    }

    /// Two 64-bit words, one behind the other.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn read_pair(&self, address: u64) -> Result<(u64, u64), Fault> {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.read_array::<16>(address)?;
        Ok((u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes(rest)))
    }

    /// A 64-bit word.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read_u64(&self, address: u64) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.read_array(address)?))
    }

    /// Bytes up to a zero, which is not part of the answer; `None` if there is
    /// no zero among the first `limit`.
    ///
    /// # Errors
    /// If a byte before the zero can't be read.
    pub fn read_string(&self, address: u64, limit: usize) -> Result<Option<Vec<u8>>, Fault> {
        const PAGE: u64 = 4096;
        let mut text = Vec::new();
        let mut at = address;
        let mut chunk = [0; 256];
        while text.len() < limit {
            // Not past the page: the next one need not be there.
            let room = usize::try_from(PAGE - at % PAGE).unwrap_or(1);
            let wanted = room.min(chunk.len()).min(limit - text.len());
            let Some(part) = chunk.get_mut(..wanted) else { return Err(Fault) };
            let read = self.read_some(at, part);
            let part = part.get(..read).unwrap_or_default();
            if let Some(end) = part.iter().position(|b| *b == 0) {
                text.extend_from_slice(part.get(..end).unwrap_or_default());
                return Ok(Some(text));
            }
            if read < wanted {
                return Err(Fault);
            }
            text.extend_from_slice(part);
            at = at.wrapping_add(read as u64);
        }
        Ok(None)
    }
}

/// A range in the guest; `None` if no address space has such a one.
fn remote(address: u64, length: usize) -> Option<libc::iovec> {
    let start = usize::try_from(address).ok()?;
    start.checked_add(length)?;
    Some(libc::iovec { iov_base: std::ptr::without_provenance_mut(start), iov_len: length })
}
