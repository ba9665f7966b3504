//! Settings of `/proc/sys` that a container's configuration gives, of those that this
//! kernel heeds. Some are the network's, others those of IPC (namespaces(7)).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

/// Ports from this one on take no capability.
pub const FIRST_FREE_PORT: &str = "net/ipv4/ip_unprivileged_port_start";
/// Whether packets for others go on: a sandbox has one interface that packets come in by, so
/// there is nowhere for them to go.
pub const FORWARDING: &str = "net/ipv4/ip_forward";
/// Groups that may ask for echoes without a raw socket: the first and the last.
pub const PING_GROUPS: &str = "net/ipv4/ping_group_range";
/// Whether shared memory goes with the last process that has it attached.
pub const SEGMENTS_GO: &str = "kernel/shm_rmid_forced";
/// Messages in a POSIX queue at most.
pub const QUEUE_LENGTH: &str = "fs/mqueue/msg_max";
/// Bytes of a message in a POSIX queue at most.
pub const MESSAGE_SIZE: &str = "fs/mqueue/msgsize_max";

/// What each may be; ranges of Linux.
const HEEDED: [(&str, RangeInclusive<u64>); 5] = [
    (FORWARDING, 0..=1),
    (FIRST_FREE_PORT, 0..=65_535),
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

    /// Sets it.
    ///
    /// # Errors
    /// `EINVAL` if it is not heeded, or can't be that.
    pub fn set(&self, path: &str, value: &str) -> Result<(), Errno> {
        let number = parse(path, value).ok_or(Errno::INVAL)?;
        lock(&self.0).insert(path.to_owned(), number);
        Ok(())
    }
}

/// Two groups, as one number.
fn groups(value: &str) -> Option<u64> {
    let mut words = value.split_ascii_whitespace().map(str::parse::<u32>);
    match (words.next(), words.next(), words.next()) {
        (Some(Ok(first)), Some(Ok(last)), None) => Some(u64::from(first) << 32 | u64::from(last)),
        _ => None,
    }
}

/// What a value of a setting means, if it is heeded and may be that.
fn parse(path: &str, value: &str) -> Option<u64> {
    if path == PING_GROUPS {
        return groups(value);
    }
    let (_, range) = HEEDED.iter().find(|(name, _)| *name == path)?;
    value.trim().parse().ok().filter(|number| range.contains(number))
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
    for (path, value) in given {
        let net = path.starts_with("net/");
        let whose = if net { &kernel.network.settings } else { &kernel.ipc.settings };
        if whose.set(path, value).is_err() {
            kernel.log.write(&format!("sysctl {path}: {value:?} is not heeded"));
        }
    }
}
