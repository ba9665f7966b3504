//! A published port, and the syntax in which people write one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// At most this many ports in one range.
const MAX_RANGE: u16 = 4096;

/// The transport of a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(format!("protocol {text:?}: tcp and udp can be published")),
        }
    }
}

/// A port of the host that leads to a port of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// The host's address to publish on; all of them without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The host's port; 0 asks for a free one to be chosen.
    pub host_port: u16,
    /// The pod's port, not 0.
    pub container_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// What is wrong with the text of a `--publish` option.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "published port {text:?}: {reason}; write [[HOST-IP:][HOST-PORT]:]CONTAINER-PORT[/tcp|/udp], \
     a port may be a range such as 8000-8010"
)]
pub struct PortMappingError {
    text: String,
    reason: String,
}

impl PortMapping {
    /// Reads `[[ip:][host]:]container[/protocol]`, as docker's `--publish`
    /// takes it: IPv6 addresses in brackets, ports also as ranges of equal
    /// length. A mapping for each port of the range comes back. Without a host
    /// port (or with 0) a free one is chosen at set-up.
    pub fn parse(text: &str) -> Result<Vec<Self>, PortMappingError> {
        mappings(text).map_err(|reason| PortMappingError { text: text.to_owned(), reason })
    }
}

impl fmt::Display for PortMapping {
    /// `0.0.0.0:8080->80/tcp`, as `ps` and `port` show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}")?,
            None => f.write_str("0.0.0.0")?,
        }
        write!(f, ":{}->{}/{}", self.host_port, self.container_port, self.protocol)
    }
}

fn mappings(text: &str) -> Result<Vec<PortMapping>, String> {
    let (ports, protocol) = match text.rsplit_once('/') {
        Some((ports, protocol)) => (ports, protocol.parse()?),
        None => (text, Protocol::Tcp),
    };
    let (host_ip, ports) = split_address(ports)?;
    let (host, container) = match ports.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, ports),
    };
    let (first, last) = range(container)?;
    if first == 0 {
        return Err("the container's port can't be 0".to_owned());
    }
    let host_first = match host.filter(|host| !host.is_empty()) {
        None => 0,
        Some(host) => {
            let (host_first, host_last) = range(host)?;
            if host_last - host_first != last - first {
                return Err(format!(
                    "the ranges {host} and {container} differ in length: give both as many ports"
                ));
            }
            if host_first == 0 && host_last != 0 {
                return Err(format!("the range {host} starts at 0"));
            }
            host_first
        }
    };
    let host_port = |nth| if host_first == 0 { 0 } else { host_first + nth };
    let mapping = |nth| PortMapping {
        host_ip,
        host_port: host_port(nth),
        container_port: first + nth,
        protocol,
    };
    Ok((0..=last - first).map(mapping).collect())
}

/// The address in front, if there is one, and what follows it.
fn split_address(text: &str) -> Result<(Option<IpAddr>, &str), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, rest) = rest.split_once("]:").ok_or("the bracket is not closed by `]:`")?;
        let ip = ip.parse().map_err(|_| format!("{ip:?} is no IPv6 address"))?;
        return Ok((Some(IpAddr::V6(ip)), rest));
    }
    match text.matches(':').count() {
        0 | 1 => Ok((None, text)),
        2 => {
            let (ip, rest) = text.split_once(':').unwrap_or_default();
            if ip.is_empty() {
                return Ok((None, rest));
            }
            let ip = ip.parse().map_err(|_| format!("{ip:?} is no IP address"))?;
            Ok((Some(IpAddr::V4(ip)), rest))
        }
        _ => Err("too many colons; an IPv6 address goes into brackets".to_owned()),
    }
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(format!("the range {text} ends before it starts"));
    }
    if last - first >= MAX_RANGE {
        return Err(format!("the range {text} has more than {MAX_RANGE} ports"));
    }
    Ok((first, last))
}

fn port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| format!("{text:?} is no port from 0 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        PortMapping::parse(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_forms_are_understood() {
        for (text, expected) in [
            ("80", "0.0.0.0:0->80/tcp"),
            ("8080:80", "0.0.0.0:8080->80/tcp"),
            (":80", "0.0.0.0:0->80/tcp"),
            ("0:80", "0.0.0.0:0->80/tcp"),
            ("53:53/udp", "0.0.0.0:53->53/udp"),
            ("53:53/UDP", "0.0.0.0:53->53/udp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080->80/tcp"),
            ("127.0.0.1::80", "127.0.0.1:0->80/tcp"),
            ("[::1]:8080:80/tcp", "[::1]:8080->80/tcp"),
            ("[::1]::80", "[::1]:0->80/tcp"),
            ("[::1]:80", "[::1]:0->80/tcp"),
        ] {
            assert_eq!(shown(text), [expected], "{text}");
        }
    }

    #[test]
    fn ranges_are_unrolled() {
        assert_eq!(shown("8000-8001:80-81"), ["0.0.0.0:8000->80/tcp", "0.0.0.0:8001->81/tcp"]);
        assert_eq!(shown("80-81/udp"), ["0.0.0.0:0->80/udp", "0.0.0.0:0->81/udp"]);
        assert_eq!(PortMapping::parse("1-4096:1-4096").unwrap().len(), 4096);
        assert_eq!(shown("65535"), ["0.0.0.0:0->65535/tcp"]);
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "no port"),
            ("80/sctp", "tcp and udp"),
            ("80/", "tcp and udp"),
            ("0", "can't be 0"),
            ("65536", "65535"),
            ("-1", "no port"),
            ("+80", "no port"),
            ("8080:80:90:100", "too many colons"),
            ("::1:80:80", "brackets"),
            ("[::1:80", "not closed"),
            ("[1.2.3.4]:80:80", "no IPv6"),
            ("host:80:80", "no IP address"),
            ("8000-8010:80", "differ in length"),
            ("0-1:80-81", "starts at 0"),
            ("90-80", "ends before"),
            ("1-5000", "more than"),
            ("80-", "no port"),
        ] {
            let error = PortMapping::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
