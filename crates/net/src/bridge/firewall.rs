//! The built-in network's rules: one nftables table of the family `inet`,
//! named like the bridge.
//!
//! The rules are the same whatever pods there are; what is a pod's are elements
//! of maps. So adding and removing a pod is one small netlink transaction. `nft`
//! runs when the table is first made, or when somebody has removed or changed
//! it: then it is made anew as a whole, from the records, in one transaction.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rustix::io::Errno;

use crate::netlink::Netlink;
use crate::netlink::nft::Element;
use crate::ports::mapping::{PortMapping, Protocol};
use crate::program::{self, ProgramError, Run};
use crate::state::{Attachment, BridgeNetwork};

/// Raised when the rules change, so that a table of an older version is replaced.
const VERSION: u32 = 1;

/// The programs whose chain FORWARD may drop packets, and whether it is IPv6's.
const IPTABLES: [(&str, bool); 2] = [("iptables", false), ("ip6tables", true)];

const AT4: &str = "published_at4";
const ANY4: &str = "published_any4";
const AT6: &str = "published_at6";
const ANY6: &str = "published_any6";

/// Why the rules could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// `nft` is missing, hangs and the like.
    #[error(
        "the built-in network needs nft to make its rules: {0}; \
         install nftables, or use --network host"
    )]
    Program(#[from] ProgramError),
    /// It refuses the rules.
    #[error("nft can't make the table inet {table}: {message}")]
    Refused {
        /// Named like the bridge.
        table: String,
        /// What it says.
        message: String,
    },
    /// The kernel refuses.
    #[error("can't {what} in the nftables table inet {table}: {cause}")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// Named like the bridge.
        table: String,
        /// Why not.
        cause: Errno,
    },
}

/// Where a pod's published ports lead.
#[derive(Clone, Debug)]
pub(crate) struct Published<'a> {
    pub(crate) ports: &'a [PortMapping],
    pub(crate) ipv4: Ipv4Addr,
    pub(crate) ipv6: Option<Ipv6Addr>,
}

impl<'a> Published<'a> {
    /// What of a record concerns the rules.
    pub(crate) fn of(attachment: &'a Attachment) -> Option<Self> {
        match attachment {
            Attachment::Bridge { ipv4, ipv6, ports, .. } => {
                Some(Self { ports, ipv4: *ipv4, ipv6: *ipv6 })
            }
            Attachment::Cni { .. } | Attachment::Process { .. } => None,
        }
    }

    fn elements(&self) -> Vec<Element> {
        let mut all = Vec::new();
        for port in self.ports {
            let (four, six) = (IpAddr::V4(self.ipv4), self.ipv6.map(IpAddr::V6));
            match port.host_ip {
                None => {
                    all.push(element(ANY4, port, None, four));
                    all.extend(six.map(|six| element(ANY6, port, None, six)));
                }
                Some(IpAddr::V4(ip)) if ip.is_unspecified() => {
                    all.push(element(ANY4, port, None, four));
                }
                Some(IpAddr::V6(ip)) if ip.is_unspecified() => {
                    all.extend(six.map(|six| element(ANY6, port, None, six)));
                }
                Some(IpAddr::V4(_)) => all.push(element(AT4, port, port.host_ip, four)),
                Some(IpAddr::V6(_)) => {
                    all.extend(six.map(|six| element(AT6, port, port.host_ip, six)));
                }
            }
        }
        all
    }
}

/// `protocol . [host address .] host port : pod's address . port`, as the
/// kernel keeps it.
fn element(map: &'static str, port: &PortMapping, at: Option<IpAddr>, to: IpAddr) -> Element {
    let number = match port.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    };
    let service = |port: u16| {
        let [high, low] = port.to_be_bytes();
        [high, low, 0, 0]
    };
    let mut key = vec![number, 0, 0, 0];
    key.extend(at.into_iter().flat_map(octets));
    key.extend(service(port.host_port));
    let mut value = octets(to);
    value.extend(service(port.container_port));
    Element { map, key, value }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The table of one bridge.
#[derive(Debug)]
pub(crate) struct Firewall<'a> {
    pub(crate) network: &'a BridgeNetwork,
    pub(crate) deadline: Duration,
}

impl Firewall<'_> {
    fn table(&self) -> &str {
        &self.network.bridge
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(Errno) -> FirewallError + '_ {
        move |cause| FirewallError::Kernel { what, table: self.table().to_owned(), cause }
    }

    /// Adds a pod's ports. `records` tells all pods there are, this one too, if
    /// the table is to be made anew.
    pub(crate) fn publish<E: From<FirewallError>>(
        &self,
        pod: &Published<'_>,
        records: impl FnOnce() -> Result<Vec<Attachment>, E>,
    ) -> Result<(), E> {
        let mut netlink = Netlink::netfilter().map_err(self.failed("look"))?;
        let there = netlink.has_chain(self.table(), &self.mark()).map_err(self.failed("look"))?;
        if !there || netlink.add_elements(self.table(), &pod.elements()).is_err() {
            self.replace(&records()?)?;
        }
        self.forget_flows(pod);
        Ok(())
    }

    /// Removes a pod's ports.
    pub(crate) fn withdraw<E: From<FirewallError>>(
        &self,
        pod: &Published<'_>,
        records: impl FnOnce() -> Result<Vec<Attachment>, E>,
    ) -> Result<(), E> {
        if pod.ports.is_empty() {
            return Ok(());
        }
        let mut netlink = Netlink::netfilter().map_err(self.failed("look"))?;
        let there = netlink.has_chain(self.table(), &self.mark()).map_err(self.failed("look"))?;
        if there && netlink.delete_elements(self.table(), &pod.elements()).is_err() {
            self.replace(&records()?)?;
        }
        self.forget_flows(pod);
        Ok(())
    }

    /// Lets packets of old flows to the pod's ports find their way anew. Where
    /// the kernel can't, they do after a pause.
    fn forget_flows(&self, pod: &Published<'_>) {
        let udp = pod.ports.iter().filter(|port| port.protocol == Protocol::Udp);
        let ports: Vec<u16> = udp.map(|port| port.host_port).collect();
        if !ports.is_empty()
            && let Ok(mut netlink) = Netlink::netfilter()
        {
            let _ = netlink.forget_udp_flows(&ports);
        }
    }

    /// Makes the table anew.
    fn replace(&self, records: &[Attachment]) -> Result<(), FirewallError> {
        let all: Vec<Element> =
            records.iter().filter_map(Published::of).flat_map(|pod| pod.elements()).collect();
        self.run_nft(&self.script())?;
        let mut netlink = Netlink::netfilter().map_err(self.failed("look"))?;
        // A transaction may not become longer than the socket's buffer.
        for some in all.chunks(512) {
            netlink.add_elements(self.table(), some).map_err(self.failed("publish ports"))?;
        }
        Ok(())
    }

    /// Removes the table.
    pub(crate) fn remove(&self) -> Result<(), FirewallError> {
        let table = self.table();
        self.leave_iptables()?;
        self.run_nft(&format!("table inet {table}\ndelete table inet {table}\n"))
    }

    /// Makes iptables' chain FORWARD let the bridge's packets pass where it drops
    /// what it has no rule for, as docker makes it do. Our own chain says what
    /// may pass.
    pub(crate) fn pass_iptables(&self) -> Result<(), FirewallError> {
        let mut netlink = Netlink::netfilter().map_err(self.failed("look"))?;
        for (program, ipv6) in IPTABLES {
            let used = !ipv6 || self.network.ipv6.is_some();
            let drops = used && netlink.forward_drops(ipv6).map_err(self.failed("look"))?;
            for direction in ["-i", "-o"].into_iter().filter(|_| drops) {
                if !self.iptables(program, "-C", direction)? {
                    self.iptables(program, "-I", direction)?;
                }
            }
        }
        Ok(())
    }

    /// Takes these rules back.
    fn leave_iptables(&self) -> Result<(), FirewallError> {
        let mut netlink = Netlink::netfilter().map_err(self.failed("look"))?;
        for (program, ipv6) in IPTABLES {
            if netlink.forward_drops(ipv6).map_err(self.failed("look"))? {
                for direction in ["-i", "-o"] {
                    self.iptables(program, "-D", direction)?;
                }
            }
        }
        Ok(())
    }

    /// Whether iptables did so.
    fn iptables(
        &self,
        program: &str,
        action: &str,
        direction: &str,
    ) -> Result<bool, FirewallError> {
        let table = self.table();
        let words = ["-w", "10", action, "FORWARD", direction, table, "-j", "ACCEPT"];
        let done = Run {
            program: &program::find(program)?,
            arguments: &words.map(Into::into),
            environment: &program::plain_environment(),
            input: &[],
            stdin: None,
            deadline: self.deadline,
            max_output: 4096,
            max_errors: 4096,
        }
        .finish()?;
        Ok(done.status.success())
    }

    fn run_nft(&self, script: &str) -> Result<(), FirewallError> {
        let nft = program::find("nft")?;
        let done = Run {
            program: &nft,
            arguments: &["-f".into(), "-".into()],
            environment: &program::plain_environment(),
            input: script.as_bytes(),
            stdin: None,
            deadline: self.deadline,
            max_output: 64 * 1024,
            max_errors: 4096,
        }
        .finish()?;
        if done.status.success() {
            return Ok(());
        }
        let message = if done.errors.is_empty() { done.status.to_string() } else { done.errors };
        Err(FirewallError::Refused { table: self.table().to_owned(), message })
    }

    /// Name of an empty chain that says which rules these are.
    fn mark(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.rules().hash(&mut hasher);
        format!("rules_{VERSION}_{:016x}", hasher.finish())
    }

    fn script(&self) -> String {
        let table = self.table();
        // Naming the table first makes it, so that there is one to delete.
        format!(
            "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n\
             chain {mark} {{ }}\n{rules}}}\n",
            mark = self.mark(),
            rules = self.rules()
        )
    }

    fn rules(&self) -> String {
        let BridgeNetwork { bridge, subnet, ipv6 } = self.network;
        let mut text = String::new();
        for (map, at, address) in [
            (AT4, "ipv4_addr . ", "ipv4_addr"),
            (ANY4, "", "ipv4_addr"),
            (AT6, "ipv6_addr . ", "ipv6_addr"),
            (ANY6, "", "ipv6_addr"),
        ] {
            let key = format!("inet_proto . {at}inet_service");
            let _ = writeln!(text, "map {map} {{ type {key} : {address} . inet_service; }}");
        }
        // IPv6 has no `route_localnet`: a connection to ::1 can't be redirected.
        // It is refused at once, and clients go on with 127.0.0.1.
        let redirect = format!(
            "dnat ip to meta l4proto . ip daddr . th dport map @{AT4}
             fib daddr type local dnat ip to meta l4proto . th dport map @{ANY4}
             dnat ip6 to meta l4proto . ip6 daddr . th dport map @{AT6}
             ip6 daddr != ::1 fib daddr type local dnat ip6 to meta l4proto . th dport map @{ANY6}"
        );
        // `route_localnet` lets packets from the host's loopback out to a pod;
        // `guard` sees to it that a pod can't send any to the host's loopback,
        // or with an address that is not of its network.
        let _ = write!(
            text,
            "chain guard {{
                type filter hook prerouting priority raw; policy accept;
                iifname \"{bridge}\" ip daddr 127.0.0.0/8 drop
                iifname \"{bridge}\" ip saddr != {subnet} drop
             }}
             chain arriving {{
                type nat hook prerouting priority dstnat; policy accept;
                {redirect}
             }}
             chain own {{
                type nat hook output priority -100; policy accept;
                {redirect}
             }}
             chain passing {{
                type filter hook forward priority filter; policy accept;
                oifname != \"{bridge}\" accept
                iifname \"{bridge}\" accept
                ct state established,related accept
                ct status dnat accept
                drop
             }}
             chain leaving {{
                type nat hook postrouting priority srcnat; policy accept;
                ip saddr {subnet} oifname != \"{bridge}\" masquerade
                oifname \"{bridge}\" ip saddr {subnet} ct status dnat masquerade
                oifname \"{bridge}\" ip saddr 127.0.0.0/8 ct status dnat masquerade
             "
        );
        if let Some(ipv6) = ipv6 {
            let _ = write!(
                text,
                "ip6 saddr {ipv6} oifname != \"{bridge}\" masquerade
                 oifname \"{bridge}\" ip6 saddr {ipv6} ct status dnat masquerade
                 "
            );
        }
        text.push_str("}\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_follow_the_maps_types() {
        let ports = [
            PortMapping::parse("8080:80").unwrap(),
            PortMapping::parse("127.0.0.1:53:54/udp").unwrap(),
            PortMapping::parse("[::1]:1:2").unwrap(),
            PortMapping::parse("0.0.0.0:3:4").unwrap(),
        ]
        .concat();
        let pod = Published { ports: &ports, ipv4: [10, 0, 0, 2].into(), ipv6: None };
        let maps = |pod: &Published<'_>| pod.elements().iter().map(|e| e.map).collect::<Vec<_>>();
        assert_eq!(maps(&pod), [ANY4, AT4, ANY4]);
        let all = pod.elements();
        assert_eq!(all[0].key, [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(all[0].value, [10, 0, 0, 2, 0, 80, 0, 0]);
        assert_eq!(all[1].key, [17, 0, 0, 0, 127, 0, 0, 1, 0, 53, 0, 0]);
        let pod = Published { ipv6: Some(Ipv6Addr::LOCALHOST), ..pod };
        assert_eq!(maps(&pod), [ANY4, ANY6, AT4, AT6, ANY4]);
        assert_eq!(pod.elements()[3].key.len(), 4 + 16 + 4);
    }
}
