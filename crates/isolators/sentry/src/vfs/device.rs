//! Character devices that the sentry is itself: memory and random ones.

use std::sync::Arc;

use rustix::io::Errno;

use super::{Attributes, Entry, File};

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
