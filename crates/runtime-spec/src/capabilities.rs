//! `process.capabilities`.

use crate::lenient::null_as_default;
use crate::names::closed_set;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

closed_set! {
    /// Capabilities of `capabilities(7)`, in the kernel's order (Linux 5.9 and later).
    pub enum Capability {
        Chown = "CAP_CHOWN",
        DacOverride = "CAP_DAC_OVERRIDE",
        DacReadSearch = "CAP_DAC_READ_SEARCH",
        Fowner = "CAP_FOWNER",
        Fsetid = "CAP_FSETID",
        Kill = "CAP_KILL",
        Setgid = "CAP_SETGID",
        Setuid = "CAP_SETUID",
        Setpcap = "CAP_SETPCAP",
        LinuxImmutable = "CAP_LINUX_IMMUTABLE",
        NetBindService = "CAP_NET_BIND_SERVICE",
        NetBroadcast = "CAP_NET_BROADCAST",
        NetAdmin = "CAP_NET_ADMIN",
        NetRaw = "CAP_NET_RAW",
        IpcLock = "CAP_IPC_LOCK",
        IpcOwner = "CAP_IPC_OWNER",
        SysModule = "CAP_SYS_MODULE",
        SysRawio = "CAP_SYS_RAWIO",
        SysChroot = "CAP_SYS_CHROOT",
        SysPtrace = "CAP_SYS_PTRACE",
        SysPacct = "CAP_SYS_PACCT",
        SysAdmin = "CAP_SYS_ADMIN",
        SysBoot = "CAP_SYS_BOOT",
        SysNice = "CAP_SYS_NICE",
        SysResource = "CAP_SYS_RESOURCE",
        SysTime = "CAP_SYS_TIME",
        SysTtyConfig = "CAP_SYS_TTY_CONFIG",
        Mknod = "CAP_MKNOD",
        Lease = "CAP_LEASE",
        AuditWrite = "CAP_AUDIT_WRITE",
        AuditControl = "CAP_AUDIT_CONTROL",
        Setfcap = "CAP_SETFCAP",
        MacOverride = "CAP_MAC_OVERRIDE",
        MacAdmin = "CAP_MAC_ADMIN",
        Syslog = "CAP_SYSLOG",
        WakeAlarm = "CAP_WAKE_ALARM",
        BlockSuspend = "CAP_BLOCK_SUSPEND",
        AuditRead = "CAP_AUDIT_READ",
        Perfmon = "CAP_PERFMON",
        Bpf = "CAP_BPF",
        CheckpointRestore = "CAP_CHECKPOINT_RESTORE",
    }
}

impl Capability {
    /// The capability's number in `linux/capability.h`.
    #[must_use]
    pub const fn number(self) -> u8 {
        // Declared in the kernel's order, so that the discriminant is the number.
        self as u8
    }

    /// The capability's bit in a 64-bit set.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self.number()
    }
}

/// A set of capabilities: a bit mask, and the names that are not known.
///
/// Unknown names are kept for a warning and otherwise without effect, because
/// a client may know newer capabilities than this runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CapabilitySet {
    bits: u64,
    unknown: Vec<String>,
}

impl CapabilitySet {
    /// One bit per known capability, bit number = capability number.
    #[must_use]
    pub const fn bits(&self) -> u64 {
        self.bits
    }

    /// Names that are no known capability, as written.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Whether the set has no known and no unknown member.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bits == 0 && self.unknown.is_empty()
    }

    /// Whether `capability` is in the set.
    #[must_use]
    pub const fn contains(&self, capability: Capability) -> bool {
        self.bits & capability.bit() != 0
    }

    /// Adds a capability.
    pub const fn insert(&mut self, capability: Capability) {
        self.bits |= capability.bit();
    }

    /// Adds a capability by name; false, and kept as unknown, if there is none such.
    pub fn insert_name(&mut self, name: &str) -> bool {
        if let Some(capability) = Capability::from_name(name) {
            self.insert(capability);
            return true;
        }
        self.unknown.push(name.to_owned());
        false
    }

    /// Known members in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = Capability> + '_ {
        Capability::ALL.iter().copied().filter(|capability| self.contains(*capability))
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let mut set = Self::default();
        for capability in capabilities {
            set.insert(capability);
        }
        set
    }
}

impl Serialize for CapabilitySet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let known = self.iter().map(|capability| -> &str { capability.as_str() });
        serializer.collect_seq(known.chain(self.unknown.iter().map(String::as_str)))
    }
}

impl<'de> Deserialize<'de> for CapabilitySet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = CapabilitySet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of capability names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<CapabilitySet, A::Error> {
        let mut set = CapabilitySet::default();
        while let Some(name) = names.next_element::<std::borrow::Cow<'de, str>>()? {
            set.insert_name(&name);
        }
        Ok(set)
    }
}

/// The five capability sets of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Capabilities {
    /// Ceiling for what exec can grant.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "CapabilitySet::is_empty"
    )]
    pub bounding: CapabilitySet,
    /// What the kernel checks.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "CapabilitySet::is_empty"
    )]
    pub effective: CapabilitySet,
    /// What is kept across exec of a file with inheritable capabilities.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "CapabilitySet::is_empty"
    )]
    pub inheritable: CapabilitySet,
    /// What the process may make effective.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "CapabilitySet::is_empty"
    )]
    pub permitted: CapabilitySet,
    /// What is kept across exec of an ordinary file.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "CapabilitySet::is_empty"
    )]
    pub ambient: CapabilitySet,
}
