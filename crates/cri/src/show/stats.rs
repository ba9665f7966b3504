//! Figures.

use caisson_node::pods::view::{
    ContainerStats, CpuUsage, FilesystemUsage, InterfaceUsage, IoUsage, MemoryUsage, NetworkUsage,
    PodStats, Psi, PsiFigures, SwapUsage,
};

use super::containers::metadata;
use super::pods::pod_metadata;
use super::time;
use crate::v1;

fn number(value: Option<u64>) -> Option<v1::UInt64Value> {
    value.map(|value| v1::UInt64Value { value })
}

fn psi(from: Psi) -> v1::PsiStats {
    let data = |figures: PsiFigures| v1::PsiData {
        total: figures.total,
        avg10: figures.avg10,
        avg60: figures.avg60,
        avg300: figures.avg300,
    };
    v1::PsiStats { full: Some(data(from.full)), some: Some(data(from.some)) }
}

fn cpu(from: &CpuUsage) -> v1::CpuUsage {
    v1::CpuUsage {
        timestamp: time(from.timestamp),
        usage_core_nano_seconds: number(from.usage_core_nanos),
        usage_nano_cores: number(from.usage_nano_cores),
        psi: from.psi.map(psi),
    }
}

fn memory(from: &MemoryUsage) -> v1::MemoryUsage {
    v1::MemoryUsage {
        timestamp: time(from.timestamp),
        working_set_bytes: number(from.working_set),
        available_bytes: number(from.available),
        usage_bytes: number(from.usage),
        rss_bytes: number(from.rss),
        page_faults: number(from.page_faults),
        major_page_faults: number(from.major_page_faults),
        psi: from.psi.map(psi),
    }
}

fn swap(from: &SwapUsage) -> v1::SwapUsage {
    v1::SwapUsage {
        timestamp: time(from.timestamp),
        swap_available_bytes: number(from.available),
        swap_usage_bytes: number(from.usage),
    }
}

fn io(from: &IoUsage) -> v1::IoUsage {
    v1::IoUsage { timestamp: time(from.timestamp), psi: from.psi.map(psi) }
}

fn filesystem(from: FilesystemUsage) -> v1::FilesystemUsage {
    v1::FilesystemUsage {
        timestamp: time(from.timestamp),
        fs_id: Some(v1::FilesystemIdentifier { mountpoint: from.mountpoint }),
        used_bytes: number(Some(from.used_bytes)),
        inodes_used: number(Some(from.inodes_used)),
    }
}

fn interface(from: InterfaceUsage) -> v1::NetworkInterfaceUsage {
    v1::NetworkInterfaceUsage {
        name: from.name,
        rx_bytes: number(Some(from.rx_bytes)),
        rx_errors: number(Some(from.rx_errors)),
        tx_bytes: number(Some(from.tx_bytes)),
        tx_errors: number(Some(from.tx_errors)),
    }
}

fn network(from: NetworkUsage) -> v1::NetworkUsage {
    v1::NetworkUsage {
        timestamp: time(from.timestamp),
        default_interface: from.default_interface.map(interface),
        interfaces: from.interfaces.into_iter().map(interface).collect(),
    }
}

/// A container's figures.
pub(crate) fn container_stats(from: ContainerStats) -> v1::ContainerStats {
    let container = from.container;
    v1::ContainerStats {
        attributes: Some(v1::ContainerAttributes {
            metadata: Some(metadata(&container)),
            labels: container.request.labels.clone(),
            annotations: container.request.annotations.clone(),
            id: container.id,
        }),
        cpu: from.cpu.as_ref().map(cpu),
        memory: from.memory.as_ref().map(memory),
        writable_layer: from.writable_layer.map(filesystem),
        swap: from.swap.as_ref().map(swap),
        io: from.io.as_ref().map(io),
    }
}

/// A pod's figures.
pub(crate) fn pod_stats(from: PodStats) -> v1::PodSandboxStats {
    let pod = from.pod;
    let timestamp = from.cpu.as_ref().map_or_else(caisson_node::clock::now_nanos, |c| c.timestamp);
    v1::PodSandboxStats {
        attributes: Some(v1::PodSandboxAttributes {
            metadata: Some(pod_metadata(&pod.request)),
            labels: pod.request.labels.clone(),
            annotations: pod.request.annotations.clone(),
            id: pod.id,
        }),
        linux: Some(v1::LinuxPodSandboxStats {
            cpu: from.cpu.as_ref().map(cpu),
            memory: from.memory.as_ref().map(memory),
            network: from.network.map(network),
            process: from.process_count.map(|count| v1::ProcessUsage {
                timestamp: time(timestamp),
                process_count: number(Some(count)),
            }),
            containers: from.containers.into_iter().map(container_stats).collect(),
            io: from.io.as_ref().map(io),
        }),
        windows: None,
    }
}
