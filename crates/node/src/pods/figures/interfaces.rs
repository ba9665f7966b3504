//! What a pod's network interfaces have carried.

use std::os::fd::AsFd as _;

use crate::clock::now_nanos;
use crate::pods::Pods;
use crate::pods::namespaces::in_network;
use crate::pods::table::PodEntry;
use crate::pods::view::{InterfaceUsage, NetworkUsage};

impl Pods {
    /// `None` with the host's network, and where nothing answers.
    pub(super) fn network_usage(&self, pod: &PodEntry) -> Option<NetworkUsage> {
        let net = self.pod_network(pod).ok()??;
        let table = in_network("read a pod's interfaces", net.as_fd(), || {
            std::fs::read_to_string("/proc/thread-self/net/dev")
        });
        let main = {
            let live = pod.live();
            live.record.outcome.interfaces.first().map(|interface| interface.name.clone())
        };
        let mut all = parse(&table.ok()?);
        let main = main.unwrap_or_else(|| "eth0".to_owned());
        let at = all.iter().position(|interface| interface.name == main);
        Some(NetworkUsage {
            timestamp: now_nanos(),
            default_interface: at.map(|at| all.remove(at)),
            interfaces: all,
        })
    }
}

/// All interfaces but loopback of a table as in /proc/net/dev
/// (proc_pid_net(5)).
pub(crate) fn parse(table: &str) -> Vec<InterfaceUsage> {
    let line = |line: &str| {
        let (name, fields) = line.split_once(':')?;
        let numbers: Vec<u64> = fields.split_whitespace().filter_map(|t| t.parse().ok()).collect();
        let number = |at: usize| numbers.get(at).copied();
        Some(InterfaceUsage {
            name: name.trim().to_owned(),
            rx_bytes: number(0)?,
            rx_packets: number(1)?,
            rx_errors: number(2)?,
            rx_dropped: number(3)?,
            tx_bytes: number(8)?,
            tx_packets: number(9)?,
            tx_errors: number(10)?,
            tx_dropped: number(11)?,
        })
    };
    table.lines().filter_map(line).filter(|interface| interface.name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_left_out() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets\n\
            lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n  eth0: 100 2 3 0 0 0 0 0 70 4 5 0 0 0 0 0\n";
        let found = parse(table);
        assert_eq!(found.len(), 1);
        let one = &found[0];
        assert_eq!((one.name.as_str(), one.rx_bytes, one.rx_errors), ("eth0", 100, 3));
        assert_eq!((one.tx_bytes, one.tx_packets, one.tx_errors), (70, 4, 5));
        assert!(parse("").is_empty());
    }
}
