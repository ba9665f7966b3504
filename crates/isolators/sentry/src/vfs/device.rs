//! Character devices that the sentry is itself: memory and random ones.

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::waiter::Waiter;

use super::{Attributes, File, Kind, Ready};

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
    /// All, by name.
    pub const ALL: [(&'static str, Device); 5] = [
        ("null", Device::Null),
        ("zero", Device::Zero),
        ("full", Device::Full),
        ("random", Device::Random),
        ("urandom", Device::Random),
    ];

    fn minor(self) -> u32 {
        match self {
            Device::Null => 3,
            Device::Zero => 5,
            Device::Full => 7,
            Device::Random => 9,
        }
    }

    /// What stat(2) tells.
    #[must_use]
    pub fn attributes(self) -> Attributes {
        let number = rustix::fs::makedev(1, self.minor());
        Attributes {
            device: 5,
            inode: u64::from(self.minor()) + 100,
            mode: Kind::Character as u32 | 0o666,
            links: 1,
            number,
            block_size: 4096,
            ..Attributes::default()
        }
    }
}

impl File for Device {
    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        match self {
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
        if *self == Device::Full { Err(Errno::NOSPC) } else { Ok(from.len()) }
    }

    fn ready(&self) -> Ready {
        Ready::IN | Ready::OUT
    }

    fn watch(&self, _: &Arc<Waiter>) {}

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok((*self).attributes())
    }
}
