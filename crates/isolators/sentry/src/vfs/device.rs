//! Character devices that the sentry is itself: memory and random ones.

use std::sync::Arc;

use rustix::io::Errno;

use crate::syscalls::Call;

use super::{Attributes, Entry, File};

/// Bits of entropy: as much as Linux ever has (`/proc/sys/kernel/random/entropy_avail`).
pub(super) const ENTROPY: u32 = 256;

/// Which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// `/dev/null`
    Null,
    /// `/dev/zero`
    Zero,
    /// `/dev/full`
    Full,
    /// `/dev/random` and `/dev/urandom`
    Random,
}

impl Device {
    /// By its number: major 1.
    #[must_use]
    pub fn of(number: u64) -> Option<Device> {
        match (rustix::fs::major(number), rustix::fs::minor(number)) {
            (1, 3) => Some(Device::Null),
            (1, 5) => Some(Device::Zero),
            (1, 7) => Some(Device::Full),
            (1, 8 | 9) => Some(Device::Random),
            _ => None,
        }
    }
}

/// A device that is open, with the attributes of its name.
pub struct OpenDevice {
    device: Device,
    entry: Arc<Entry>,
}

impl OpenDevice {
    /// Which one it is.
    #[must_use]
    pub(super) fn device(&self) -> Device {
        self.device
    }

    /// Opens what an entry stands for.
    #[must_use]
    pub(super) fn new(device: Device, entry: &Arc<Entry>) -> Self {
        OpenDevice { device, entry: Arc::clone(entry) }
    }
}

impl File for OpenDevice {
    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        match self.device {
            Device::Null => return Ok(0),
            Device::Zero | Device::Full => into.fill(0),
            Device::Random => {
                if !crate::platform::random(into) {
                    return Err(Errno::IO);
                }
            }
        }
        Ok(into.len())
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        if self.device == Device::Full { Err(Errno::NOSPC) } else { Ok(from.len()) }
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        /// `RNDGETENTCNT`
        const COUNT: u32 = 0x8004_5200;
        if self.device != Device::Random || request != COUNT {
            return Err(Errno::NOTTY);
        }
        call.memory().write(argument, &ENTROPY.to_le_bytes())?;
        Ok(0)
    }

    fn is_endless(&self) -> bool {
        self.device != Device::Null
    }

    fn own(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.entry.node.now_there()?.ok_or(Errno::NODEV)
    }
}
