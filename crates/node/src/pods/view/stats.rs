//! Figures. Times are nanoseconds since 1970; `None` is what the kernel does
//! not tell.

use super::{ContainerSummary, PodSummary};

/// Time lost by waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PsiFigures {
    /// Nanoseconds so far.
    pub total: u64,
    /// Per cent of the last 10 seconds.
    pub avg10: f64,
    /// Per cent of the last minute.
    pub avg60: f64,
    /// Per cent of the last five minutes.
    pub avg300: f64,
}

/// Pressure stall information.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Psi {
    /// All tasks waited.
    pub full: PsiFigures,
    /// Some task waited.
    pub some: PsiFigures,
}

/// Processor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuUsage {
    /// When.
    pub timestamp: u64,
    /// Nanoseconds of one core so far.
    pub usage_core_nanos: Option<u64>,
    /// Nanoseconds of one core per second, between the last two looks.
    pub usage_nano_cores: Option<u64>,
    /// Pressure.
    pub psi: Option<Psi>,
}

/// Memory, bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryUsage {
    /// When.
    pub timestamp: u64,
    /// Without what can be dropped at once.
    pub working_set: Option<u64>,
    /// Limit less working set.
    pub available: Option<u64>,
    /// All.
    pub usage: Option<u64>,
    /// Anonymous.
    pub rss: Option<u64>,
    /// Page faults so far.
    pub page_faults: Option<u64>,
    /// Those that waited for a disk.
    pub major_page_faults: Option<u64>,
    /// Pressure.
    pub psi: Option<Psi>,
}

/// Swap, bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SwapUsage {
    /// When.
    pub timestamp: u64,
    /// Limit less usage.
    pub available: Option<u64>,
    /// Used.
    pub usage: Option<u64>,
}

/// Input and output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IoUsage {
    /// When.
    pub timestamp: u64,
    /// Pressure.
    pub psi: Option<Psi>,
    /// Bytes read so far.
    pub read_bytes: u64,
    /// Bytes written so far.
    pub written_bytes: u64,
}

/// A file system, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesystemUsage {
    /// When.
    pub timestamp: u64,
    /// Where it is mounted.
    pub mountpoint: String,
    /// Bytes used.
    pub used_bytes: u64,
    /// Inodes used.
    pub inodes_used: u64,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceUsage {
    /// Its name.
    pub name: String,
    /// Bytes in.
    pub rx_bytes: u64,
    /// Packets in.
    pub rx_packets: u64,
    /// Packets lost on the way in.
    pub rx_errors: u64,
    /// Packets dropped on the way in.
    pub rx_dropped: u64,
    /// Bytes out.
    pub tx_bytes: u64,
    /// Packets out.
    pub tx_packets: u64,
    /// Packets lost on the way out.
    pub tx_errors: u64,
    /// Packets dropped on the way out.
    pub tx_dropped: u64,
}

/// A pod's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkUsage {
    /// When.
    pub timestamp: u64,
    /// The interface to the outside.
    pub default_interface: Option<InterfaceUsage>,
    /// The others, without loopback.
    pub interfaces: Vec<InterfaceUsage>,
}

/// What a container uses.
#[derive(Clone, Debug)]
pub struct ContainerStats {
    /// Which.
    pub container: ContainerSummary,
    /// Processor; `None` if it does not run.
    pub cpu: Option<CpuUsage>,
    /// Memory.
    pub memory: Option<MemoryUsage>,
    /// Swap.
    pub swap: Option<SwapUsage>,
    /// Input and output.
    pub io: Option<IoUsage>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// What it has written.
    pub writable_layer: Option<FilesystemUsage>,
}

/// What a pod uses.
#[derive(Clone, Debug)]
pub struct PodStats {
    /// Which.
    pub pod: PodSummary,
    /// Processor, all containers together.
    pub cpu: Option<CpuUsage>,
    /// Memory.
    pub memory: Option<MemoryUsage>,
    /// Network; `None` with the host's.
    pub network: Option<NetworkUsage>,
    /// Processes.
    pub process_count: Option<u64>,
    /// Input and output.
    pub io: Option<IoUsage>,
    /// Its containers.
    pub containers: Vec<ContainerStats>,
}
