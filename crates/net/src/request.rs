//! What a caller asks of the network, and what it gets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dns::DnsConfig;
use crate::ports::mapping::PortMapping;

/// How a pod is connected.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The built-in network: a bridge for root; for others pasta or slirp4netns.
    #[default]
    Bridge,
    /// The host's own network namespace; there is nothing to set up.
    Host,
    /// Loopback only.
    None,
    /// The network namespace of another container, by id or name; there is
    /// nothing to set up.
    Container(String),
    /// A CNI network by its name; the first configured one if that is empty.
    Cni(String),
}

impl FromStr for NetworkMode {
    type Err = String;

    /// `bridge`, `host`, `none`, `container:ID`, `cni` or `cni:NAME`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("container", id)) if !id.is_empty() => Ok(Self::Container(id.to_owned())),
            Some(("cni", name)) if !name.is_empty() => Ok(Self::Cni(name.to_owned())),
            None => match text {
                "bridge" | "default" => Ok(Self::Bridge),
                "host" => Ok(Self::Host),
                "none" => Ok(Self::None),
                "cni" => Ok(Self::Cni(String::new())),
                _ => Err(unknown(text)),
            },
            Some(_) => Err(unknown(text)),
        }
    }
}

fn unknown(text: &str) -> String {
    format!("network {text:?}: there are bridge, host, none, container:ID, cni and cni:NAME")
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge => f.write_str("bridge"),
            Self::Host => f.write_str("host"),
            Self::None => f.write_str("none"),
            Self::Container(id) => write!(f, "container:{id}"),
            Self::Cni(name) if name.is_empty() => f.write_str("cni"),
            Self::Cni(name) => write!(f, "cni:{name}"),
        }
    }
}

/// What is wanted for one pod.
#[derive(Clone, Debug, Default)]
pub struct NetRequest {
    /// How to connect it.
    pub mode: NetworkMode,
    /// Ports to publish; only for bridge and CNI networks.
    pub ports: Vec<PortMapping>,
    /// A fixed address of the built-in bridge's subnet, or for a CNI plugin
    /// with the capability `ips`.
    pub ip: Option<Ipv4Addr>,
    /// A fixed link-layer address.
    pub mac: Option<MacAddress>,
    /// Name servers for CNI plugins with the capability `dns`.
    pub dns: DnsConfig,
    /// A limit for CNI plugins with the capability `bandwidth`.
    pub bandwidth: Option<Bandwidth>,
    /// Further `CNI_ARGS`, such as `K8S_POD_NAME`.
    pub cni_args: Vec<(String, String)>,
}

/// A limit of traffic, as CNI's `bandwidth` capability takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    /// Into the pod, bits per second; 0 is no limit.
    pub ingress_rate: u64,
    /// Into the pod, bits at once.
    pub ingress_burst: u64,
    /// Out of the pod, bits per second; 0 is no limit.
    pub egress_rate: u64,
    /// Out of the pod, bits at once.
    pub egress_burst: u64,
}

/// A link-layer address of Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = String;

    /// Six pairs of hexadecimal digits with colons; not a group address.
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            || format!("{text:?} is no MAC address of one station, such as 0a:01:02:03:04:05");
        let byte = |part: &str| {
            let hex = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            hex.then(|| u8::from_str_radix(part, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let bytes: [u8; 6] = bytes.and_then(|b| b.try_into().ok()).ok_or_else(refuse)?;
        let [first, ..] = bytes;
        if first & 1 == 1 || bytes == [0; 6] {
            return Err(refuse());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

/// An address with the length of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressWithPrefix {
    /// The pod's address.
    pub address: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
}

impl fmt::Display for AddressWithPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// An interface of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name in the pod, such as `eth0`.
    pub name: String,
    /// Its link-layer address, if it has one.
    pub mac: Option<MacAddress>,
    /// Its addresses.
    pub addresses: Vec<AddressWithPrefix>,
    /// Where packets for elsewhere go, one for each family.
    pub gateways: Vec<IpAddr>,
}

/// A program that carries the packets of a pod without privileges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkProcess {
    /// `pasta` or `slirp4netns`.
    pub program: String,
    /// Its number in the caller's PID namespace.
    pub pid: u32,
    /// When it started, in clock ticks since boot: with `pid` it tells it from
    /// a later process.
    pub start_time: u64,
}

/// A pod's network as it was set up.
#[derive(Debug, Default)]
pub struct NetResult {
    /// The pod's interfaces without loopback; none for host, none and container.
    pub interfaces: Vec<Interface>,
    /// What the network says about names; lesser than what the user says.
    pub dns: DnsConfig,
    /// The published ports, each with a host port that is not 0.
    pub ports: Vec<PortMapping>,
    /// At which address the pod reaches its host: `host-gateway`.
    pub host_gateway: Option<IpAddr>,
    /// Descriptors to keep open for as long as the pod lives: sockets that
    /// hold host ports, and the pipe whose end stops a network process.
    pub reservations: Vec<OwnedFd>,
    /// The program that carries the packets, for users without privileges.
    pub process: Option<NetworkProcess>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_back() {
        for text in ["bridge", "host", "none", "container:abc", "cni", "cni:podnet"] {
            assert_eq!(text.parse::<NetworkMode>().unwrap().to_string(), text);
        }
        for text in ["", "container:", "cni:", "weave", "host:x"] {
            assert!(text.parse::<NetworkMode>().is_err(), "{text}");
        }
    }

    #[test]
    fn mac_addresses() {
        let mac: MacAddress = "0A:01:02:03:04:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "0a:01:02:03:04:ff");
        for bad in [
            "",
            "0a:01:02:03:04",
            "0a:01:02:03:04:05:06",
            "01:00:00:00:00:01",
            "g0:1:2:3:4:5",
            "00:00:00:00:00:00",
            "+a:01:02:03:04:05",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }
}
