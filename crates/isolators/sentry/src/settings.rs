//! Settings of `/proc/sys` that a container's configuration gives, of those that this
//! kernel heeds. Some are the network's, others those of IPC (namespaces(7)).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::Credentials;
use crate::task::user_namespace::Ids;
use crate::task::waiter::lock;

/// Ports from this one on take no capability.
pub const FIRST_FREE_PORT: &str = "net/ipv4/ip_unprivileged_port_start";
/// Whether packets for others go on: a sandbox has one interface that packets come in by, so
/// there is nowhere for them to go.
pub const FORWARDING: &str = "net/ipv4/ip_forward";
/// Groups that may ask for echoes without a raw socket: the first and the last.
pub const PING_GROUPS: &str = "net/ipv4/ping_group_range";
/// From 1 to 0.
pub const NOBODY: u64 = 1 << 32;
/// Whether shared memory goes with the last process that has it attached.
pub const SEGMENTS_GO: &str = "kernel/shm_rmid_forced";
/// Messages in a POSIX queue at most.
pub const QUEUE_LENGTH: &str = "fs/mqueue/msg_max";
/// Bytes of a message in a POSIX queue at most.
pub const MESSAGE_SIZE: &str = "fs/mqueue/msgsize_max";

/// What each may be; ranges of Linux.
const HEEDED: [(&str, RangeInclusive<i64>); 5] = [
    (FORWARDING, -0x8000_0000..=0x7fff_ffff),
    // As far as those that are given to who asks for none.
    (FIRST_FREE_PORT, 0..=32_768),
    (SEGMENTS_GO, 0..=1),
    (QUEUE_LENGTH, 1..=65_536),
    (MESSAGE_SIZE, 128..=16_777_216),
];

/// Those that were given to a network, or to an IPC namespace.
#[derive(Debug, Default)]
pub struct Settings(Mutex<BTreeMap<String, u64>>);

impl Settings {
    /// What a setting is, if it was given.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<u64> {
        lock(&self.0).get(path).copied()
    }

    /// Sets it, to what `who` calls so; how many bytes of the value that took.
    ///
    /// # Errors
    /// `EINVAL` if it is not heeded, or can't be that.
    pub fn set(&self, path: &str, value: &[u8], who: &Credentials) -> Result<usize, Errno> {
        let (first, mut rest) = next(value).ok_or(Errno::INVAL)?;
        let number = if path == PING_GROUPS {
            let mut last = self.groups(who).1.into();
            if !rest.is_empty() {
                (last, rest) = next(rest).ok_or(Errno::INVAL)?;
            }
            let id = |number: i64| {
                let number = u32::try_from(number).map_err(|_| Errno::INVAL)?;
                who.id_from(Ids::Groups, number)
            };
            let (low, high) = (id(first)?, id(last)?);
            let turned = last < first || high < low;
            if turned { NOBODY } else { u64::from(low) << 32 | u64::from(high) }
        } else {
            let (_, range) = HEEDED.iter().find(|(name, _)| *name == path).ok_or(Errno::INVAL)?;
            Some(first).filter(|first| range.contains(first)).ok_or(Errno::INVAL)?.cast_unsigned()
        };
        lock(&self.0).insert(path.to_owned(), number);
        Ok(value.len() - rest.len())
    }

    /// [`PING_GROUPS`], as `who` calls them.
    #[must_use]
    pub fn groups(&self, who: &Credentials) -> (u32, u32) {
        let range = self.get(PING_GROUPS).unwrap_or(NOBODY);
        let id = |number: u64| {
            u32::try_from(number).map_or(u32::MAX, |number| who.id_for(Ids::Groups, number))
        };
        (id(range >> 32), id(range & 0xffff_ffff))
    }

    /// What a file of it says, if it was given and is one number.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<Vec<u8>> {
        self.get(path).map(|number| format!("{}\n", number.cast_signed()).into_bytes())
    }
}

/// The first number of a value, decimal, octal or hexadecimal, and what comes behind it and the
/// space after it.
fn next(value: &[u8]) -> Option<(i64, &[u8])> {
    let value = value.trim_ascii_start();
    let (sign, digits) = match value {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16, rest)
        }
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    let end = digits.iter().position(|digit| !char::from(*digit).is_digit(radix));
    let (digits, rest) = digits.split_at_checked(end.unwrap_or(digits.len()))?;
    let number = i64::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
    let apart = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\n'));
    apart.then(|| (sign * number, rest.trim_ascii_start()))
}

/// Whether who administers a network sets that for it.
#[must_use]
pub fn is_of_network(path: &str) -> bool {
    path.starts_with("net/")
        && (path == PING_GROUPS || HEEDED.iter().any(|(name, _)| *name == path))
}

/// Gives a container what its configuration says, by path below `/proc/sys`. What this
/// kernel does not heed is said in its log: for the host's kernel it holds.
pub fn apply(kernel: &Kernel, given: &[(String, String)]) {
    let root = Credentials::of(0, 0, Vec::new());
    for (path, value) in given {
        let net = path.starts_with("net/");
        let whose = if net { &kernel.network.settings } else { &kernel.ipc.settings };
        if whose.set(path, value.as_bytes(), &root).is_err() {
            kernel.log.write(&format!("sysctl {path}: {value:?} is not heeded"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_linux_reads_them() {
        let settings = Settings::default();
        let root = Credentials::of(0, 0, Vec::new());
        let set = |path: &str, value: &str| {
            let told = settings.set(path, value.as_bytes(), &root);
            (told, settings.get(path).map(u64::cast_signed))
        };
        assert_eq!(set(FORWARDING, " 0x1f 9\n"), (Ok(6), Some(31)));
        assert_eq!(set(FORWARDING, "-1"), (Ok(2), Some(-1)));
        for bad in ["", " \n", "0x", "08", "1x", "+1", "1,2", "2147483648", "99999999999999999999"]
        {
            assert_eq!(set(FORWARDING, bad), (Err(Errno::INVAL), Some(-1)), "{bad:?}");
        }
        assert_eq!(set("net/ipv4/none", "1").0, Err(Errno::INVAL));
        assert_eq!(set(PING_GROUPS, "3\t4\n").0, Ok(4));
        assert_eq!((set(PING_GROUPS, "2").0, settings.groups(&root)), (Ok(1), (2, 4)));
        assert_eq!((set(PING_GROUPS, "9 8").0, settings.groups(&root)), (Ok(3), (1, 0)));
        assert_eq!(set(PING_GROUPS, "1 4294967295").0, Err(Errno::INVAL));
    }
}
