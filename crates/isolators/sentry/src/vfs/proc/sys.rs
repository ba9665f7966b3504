//! `/proc/sys`: settings, most of which can only be read.

use std::sync::atomic::Ordering;

use super::reader::Reader;
use crate::kernel::Kernel;
use crate::net::Network;
use crate::settings::PING_GROUPS;
use crate::syscalls::system;
use crate::syscalls::system::NO_DOMAIN;
use crate::task::Credentials;
use crate::task::namespaces::{domain_name, host_name};

/// What a setting says.
enum Value {
    Text(&'static str),
    LeaseTime,
    HostName,
    DomainName,
    BootId,
    Uuid,
}

use Value::{BootId, DomainName, HostName, LeaseTime, Text, Uuid};

/// All of them, by path.
const SETTINGS: &[(&str, Value)] = &[
    ("fs/aio-max-nr", Text("65536")),
    ("fs/epoll/max_user_watches", Text("1000000")),
    ("fs/file-max", Text("1000000")),
    ("fs/file-nr", Text("0\t0\t1000000")),
    ("fs/inode-nr", Text("0\t0")),
    ("fs/inotify/max_queued_events", Text("16384")),
    ("fs/inotify/max_user_instances", Text("128")),
    ("fs/inotify/max_user_watches", Text("65536")),
    ("fs/lease-break-time", LeaseTime),
    ("fs/leases-enable", Text("1")),
    ("fs/mqueue/msg_default", Text("10")),
    ("fs/mqueue/msg_max", Text("10")),
    ("fs/mqueue/msgsize_default", Text("8192")),
    ("fs/mqueue/msgsize_max", Text("8192")),
    ("fs/mqueue/queues_max", Text("256")),
    ("fs/nr_open", Text("1048576")),
    ("fs/pipe-max-size", Text("1048576")),
    ("fs/protected_hardlinks", Text("0")),
    ("fs/protected_symlinks", Text("0")),
    ("fs/suid_dumpable", Text("0")),
    ("kernel/cap_last_cap", Text("40")),
    ("kernel/core_pattern", Text("core")),
    ("kernel/core_uses_pid", Text("0")),
    ("kernel/domainname", DomainName),
    ("kernel/hostname", HostName),
    ("kernel/msgmax", Text("8192")),
    ("kernel/msgmnb", Text("16384")),
    ("kernel/msgmni", Text("32000")),
    ("kernel/ngroups_max", Text("65536")),
    ("kernel/osrelease", Text(system::RELEASE)),
    ("kernel/ostype", Text("Linux")),
    ("kernel/overflowgid", Text("65534")),
    ("kernel/overflowuid", Text("65534")),
    ("kernel/panic", Text("0")),
    ("kernel/perf_event_paranoid", Text("4")),
    ("kernel/pid_max", Text("32768")),
    ("kernel/printk", Text("4\t4\t1\t7")),
    ("kernel/random/boot_id", BootId),
    ("kernel/random/entropy_avail", Text("256")),
    ("kernel/random/poolsize", Text("256")),
    ("kernel/random/uuid", Uuid),
    ("kernel/randomize_va_space", Text("2")),
    ("kernel/sem", Text("32000\t1024000000\t500\t32000")),
    ("kernel/shm_rmid_forced", Text("0")),
    ("kernel/shmall", Text("18446744073692774399")),
    ("kernel/shmmax", Text("18446744073692774399")),
    ("kernel/shmmni", Text("4096")),
    ("kernel/tainted", Text("0")),
    ("kernel/threads-max", Text("32768")),
    ("kernel/version", Text(system::VERSION)),
    ("net/core/rmem_default", Text("212992")),
    ("net/core/rmem_max", Text("212992")),
    ("net/core/somaxconn", Text("4096")),
    ("net/core/wmem_default", Text("212992")),
    ("net/core/wmem_max", Text("212992")),
    ("net/ipv4/ip_forward", Text("0")),
    ("net/ipv4/ip_local_port_range", Text("32768\t60999")),
    ("net/ipv4/ip_unprivileged_port_start", Text("1024")),
    ("net/ipv4/ping_group_range", Text("1\t0")),
    ("net/unix/max_dgram_qlen", Text("512")),
    ("vm/max_map_count", Text("65530")),
    ("vm/min_free_kbytes", Text("16384")),
    ("vm/mmap_min_addr", Text("65536")),
    ("vm/nr_hugepages", Text("0")),
    ("vm/overcommit_memory", Text("1")),
    ("vm/overcommit_ratio", Text("50")),
    ("vm/swappiness", Text("60")),
];

/// Whether a path is a setting (`Some(true)`), a folder of them, or nothing.
pub(super) fn kind(path: &str) -> Option<bool> {
    if SETTINGS.iter().any(|(name, _)| *name == path) {
        return Some(true);
    }
    (path.is_empty() || !names(path).is_empty()).then_some(false)
}

/// Names in a folder of settings.
pub(super) fn names(path: &str) -> Vec<String> {
    let below = SETTINGS.iter().filter_map(|(name, _)| {
        let rest =
            if path.is_empty() { name } else { name.strip_prefix(path)?.strip_prefix('/')? };
        Some(rest.split('/').next().unwrap_or(rest).to_owned())
    });
    let mut names: Vec<String> = below.collect();
    names.dedup();
    names
}

/// What a setting says that is a network's.
pub(super) fn of_network(network: &Network, path: &str, who: &Credentials) -> Vec<u8> {
    if path == PING_GROUPS {
        let (first, last) = network.settings.groups(who);
        return format!("{first}\t{last}\n").into_bytes();
    }
    let usual = SETTINGS.iter().find(|(name, _)| *name == path);
    network.settings.text(path).unwrap_or_else(|| match usual {
        Some((_, Text(text))) => format!("{text}\n").into_bytes(),
        _ => Vec::new(),
    })
}

/// What any other setting says.
pub(super) fn text(kernel: &Kernel, reader: &Reader, path: &str) -> Vec<u8> {
    let given = reader.ipc.settings.text(path);
    if let Some(text) = given {
        return text;
    }
    let value = SETTINGS.iter().find(|(name, _)| *name == path).map(|(_, value)| value);
    let mut text = match value {
        Some(Text(text)) => text.as_bytes().to_vec(),
        Some(LeaseTime) => kernel.files.lease_break.load(Ordering::SeqCst).to_string().into_bytes(),
        Some(HostName) => host_name(kernel, reader.names(kernel).as_deref()),
        Some(DomainName) => {
            let name = domain_name(kernel, reader.names(kernel).as_deref());
            if name.is_empty() { NO_DOMAIN.to_vec() } else { name }
        }
        Some(BootId) => {
            static BOOT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
            BOOT.get_or_init(uuid).clone().into_bytes()
        }
        Some(Uuid) => uuid().into_bytes(),
        None => return Vec::new(),
    };
    text.push(b'\n');
    text
}

/// A random identifier of version 4.
fn uuid() -> String {
    let mut bytes = [0; 16];
    // Without random bytes it is still an identifier.
    let _ = crate::platform::random(&mut bytes);
    let number = u128::from_be_bytes(bytes);
    let marked = number & !(0xf000_u128 << 64) & !(0xc000_u128 << 48)
        | 0x4000_u128 << 64
        | 0x8000_u128 << 48;
    let digits = format!("{marked:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_a_tree() {
        assert!(SETTINGS.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted");
        assert_eq!(kind("kernel/hostname"), Some(true));
        assert_eq!(kind("kernel/random"), Some(false));
        assert_eq!(kind("kernel/none"), None);
        assert_eq!(kind("ker"), None);
        assert_eq!(names(""), ["fs", "kernel", "net", "vm"]);
        assert!(names("kernel").contains(&"random".to_owned()));
        let id = uuid();
        assert!(id.len() == 36 && id.get(14..15) == Some("4"), "{id}");
    }
}
