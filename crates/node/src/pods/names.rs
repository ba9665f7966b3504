//! Files of names that stand in for those of the containers' images.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use caisson_net::{HostsRequest, NetResult, hosts};

use super::PodError;
use super::request::{PodDns, PodRequest};

/// The names of the files, in the pod's directory.
pub(super) const HOSTS: &str = "hosts";
pub(super) const HOSTNAME: &str = "hostname";
pub(super) const RESOLV_CONF: &str = "resolv.conf";

/// Longest resolv.conf of the host that is taken over.
const SIZE_LIMIT: usize = 1 << 20;

/// Writes the files of a pod.
pub(super) fn write(
    dir: &Path,
    request: &PodRequest,
    hostname: &str,
    network: &NetResult,
    host_network: bool,
) -> Result<(), PodError> {
    let addresses: Vec<IpAddr> = network
        .interfaces
        .iter()
        .flat_map(|interface| interface.addresses.iter().map(|address| address.address))
        .collect();
    let hosts = hosts(&HostsRequest {
        hostname,
        aliases: &[],
        addresses: &addresses,
        extra: &[],
        host_gateway: network.host_gateway,
        host_network,
    })
    .map_err(|e| PodError::failed("write the pod's /etc/hosts", e))?;
    let put = |name: &str, text: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, text)
            .and_then(|()| {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
                std::fs::set_permissions(&path, mode)
            })
            .map_err(|e| PodError::io(format!("write {}", path.display()), e))
    };
    put(HOSTS, hosts.as_bytes())?;
    put(HOSTNAME, format!("{hostname}\n").as_bytes())?;
    put(RESOLV_CONF, &resolv_conf(request.dns.as_ref())?)
}

/// What is asked for, and nothing else; the host's file if nothing is.
fn resolv_conf(dns: Option<&PodDns>) -> Result<Vec<u8>, PodError> {
    let Some(dns) = dns.filter(|dns| **dns != PodDns::default()) else {
        let path = "/etc/resolv.conf";
        return match std::fs::read(path) {
            Ok(mut text) => {
                text.truncate(SIZE_LIMIT);
                Ok(text)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(PodError::io(format!("read {path}"), error)),
        };
    };
    for word in dns.servers.iter().chain(&dns.searches).chain(&dns.options) {
        if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let reason = format!("{word:?} can't stand in resolv.conf");
            return Err(PodError::invalid("dns_config", reason));
        }
    }
    let mut text = String::new();
    if !dns.searches.is_empty() {
        let _ = writeln!(text, "search {}", dns.searches.join(" "));
    }
    for server in &dns.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !dns.options.is_empty() {
        let _ = writeln!(text, "options {}", dns.options.join(" "));
    }
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_what_was_asked_for() {
        let dns = PodDns {
            servers: vec!["10.0.0.10".to_owned()],
            searches: vec!["a.local".to_owned(), "local".to_owned()],
            options: vec!["ndots:5".to_owned()],
        };
        let text = resolv_conf(Some(&dns)).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "search a.local local\nnameserver 10.0.0.10\noptions ndots:5\n"
        );
        let bad = PodDns { options: vec!["a\nnameserver 6.6.6.6".to_owned()], ..dns };
        assert!(resolv_conf(Some(&bad)).is_err());
        let host = std::fs::read("/etc/resolv.conf").unwrap_or_default();
        assert_eq!(resolv_conf(Some(&PodDns::default())).unwrap(), host);
        assert_eq!(resolv_conf(None).unwrap(), host);
    }
}
