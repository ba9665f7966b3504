//! Contents of a pod's `resolv.conf` and `hosts`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Files of the host are read up to this size.
const MAX_FILE: u64 = 256 * 1024;
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where systemd-resolved says which servers it asks itself.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
const HOSTS: &str = "/etc/hosts";
const LOCALHOST: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// Name servers and the like: what a user asks for, or what a network says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// Servers in order.
    pub nameservers: Vec<IpAddr>,
    /// Domains to search; a single `.` says none.
    pub search: Vec<String>,
    /// Options such as `ndots:2`.
    pub options: Vec<String>,
}

/// Why a `--dns…` or `--add-host` option is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DnsError {
    /// It would break out of its line.
    #[error("{what} {text:?} has blanks or control characters, or is empty")]
    Characters {
        /// What the text is.
        what: &'static str,
        /// As it was given.
        text: String,
    },
    /// Not `NAME:IP`.
    #[error("host {0:?}: write NAME:IP or NAME:host-gateway")]
    ExtraHost(String),
    /// Asked for where there is none.
    #[error("host {0:?}: with this network the pod has no address of its host; give the address")]
    NoGateway(String),
}

/// A line for the pod's `hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraHost {
    /// The name.
    pub name: String,
    /// Its address; without one, the host's (`host-gateway`).
    pub address: Option<IpAddr>,
}

impl FromStr for ExtraHost {
    type Err = DnsError;

    /// `NAME:IP`, `NAME=IP`, `NAME:[IPv6]`, `NAME:host-gateway`.
    fn from_str(text: &str) -> Result<Self, DnsError> {
        let refuse = || DnsError::ExtraHost(text.to_owned());
        let (name, address) = text.split_once(['=', ':']).ok_or_else(refuse)?;
        let name = one_word("host name", name)?.to_owned();
        if address == "host-gateway" {
            return Ok(Self { name, address: None });
        }
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = bare.unwrap_or(address).parse().map_err(|_| refuse())?;
        Ok(Self { name, address: Some(address) })
    }
}

fn one_word<'a>(what: &'static str, text: &'a str) -> Result<&'a str, DnsError> {
    let good = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if good { Ok(text) } else { Err(DnsError::Characters { what, text: text.to_owned() }) }
}

/// The content of a pod's `resolv.conf`. What `user` leaves empty comes from
/// `network` ([`crate::NetResult::dns`]), and else from the host's file. With a
/// network namespace of its own (`own_namespace`) a pod can't ask servers on the
/// host's loopback: they are left out; systemd-resolved's are replaced by those
/// that it asks itself.
pub fn resolv_conf(
    user: &DnsConfig,
    network: &DnsConfig,
    own_namespace: bool,
) -> Result<String, DnsError> {
    let host = parse(&host_file(Path::new(RESOLV_CONF)));
    let host = if own_namespace { reachable(host, Path::new(RESOLVED)) } else { host };
    compose(user, network, &host)
}

fn reachable(mut host: DnsConfig, resolved: &Path) -> DnsConfig {
    let had_some = !host.nameservers.is_empty();
    host.nameservers.retain(|ip| !ip.is_loopback());
    if had_some && host.nameservers.is_empty() {
        host.nameservers = parse(&host_file(resolved)).nameservers;
        host.nameservers.retain(|ip| !ip.is_loopback());
    }
    host
}

/// Whether the host has name servers, and a pod can reach none of them.
pub(crate) fn host_servers_are_local() -> bool {
    let host = parse(&host_file(Path::new(RESOLV_CONF)));
    !host.nameservers.is_empty() && reachable(host, Path::new(RESOLVED)).nameservers.is_empty()
}

fn compose(user: &DnsConfig, network: &DnsConfig, host: &DnsConfig) -> Result<String, DnsError> {
    let all = [user, network, host];
    let first = |part: fn(&DnsConfig) -> &Vec<String>| {
        all.iter().map(|config| part(config)).find(|list| !list.is_empty())
    };
    let mut text = String::new();
    let search: Vec<_> = first(|c| &c.search).into_iter().flatten().filter(|d| *d != ".").collect();
    if !search.is_empty() {
        text.push_str("search");
        for domain in search {
            let _ = write!(text, " {}", one_word("search domain", domain)?);
        }
        text.push('\n');
    }
    let servers = all.iter().map(|config| &config.nameservers).find(|list| !list.is_empty());
    for server in servers.into_iter().flatten() {
        let _ = writeln!(text, "nameserver {server}");
    }
    if servers.is_none() {
        text.push_str(
            "# No name server of the host can be reached from here: give one by --dns.\n",
        );
    }
    if let Some(options) = first(|c| &c.options) {
        text.push_str("options");
        for option in options {
            let _ = write!(text, " {}", one_word("resolver option", option)?);
        }
        text.push('\n');
    }
    Ok(text)
}

fn host_file(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // A file that can't be read to its end gives what there is.
        let _ = file.take(MAX_FILE).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn parse(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => {
                config.nameservers.extend(words.next().and_then(|ip| ip.parse::<IpAddr>().ok()));
            }
            // The last one counts, whichever of both it is: resolv.conf(5).
            Some("search") => config.search = words.map(str::to_owned).collect(),
            Some("domain") => config.search = words.take(1).map(str::to_owned).collect(),
            Some("options") => config.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    config
}

/// What stands in a pod's `hosts`.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostsRequest<'a> {
    /// The pod's host name.
    pub hostname: &'a str,
    /// Further names of it.
    pub aliases: &'a [String],
    /// Its addresses; loopback's if there is none.
    pub addresses: &'a [IpAddr],
    /// Lines that the user wants.
    pub extra: &'a [ExtraHost],
    /// [`crate::NetResult::host_gateway`]
    pub host_gateway: Option<IpAddr>,
    /// Whether the pod is in the host's network: the host's file comes first then.
    pub host_network: bool,
}

/// The content of a pod's `hosts`.
pub fn hosts(request: &HostsRequest<'_>) -> Result<String, DnsError> {
    let mut text = LOCALHOST.to_owned();
    if request.host_network {
        text = host_file(Path::new(HOSTS));
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
    }
    for extra in request.extra {
        let name = one_word("host name", &extra.name)?;
        let gateway = || request.host_gateway.ok_or_else(|| DnsError::NoGateway(name.to_owned()));
        let address = extra.address.map_or_else(gateway, Ok)?;
        let _ = writeln!(text, "{address}\t{name}");
    }
    let mut names = one_word("host name", request.hostname)?.to_owned();
    for alias in request.aliases.iter().filter(|alias| *alias != request.hostname) {
        let _ = write!(names, " {}", one_word("alias", alias)?);
    }
    let loopback = [IpAddr::from([127, 0, 1, 1])];
    let addresses = match request.addresses {
        [] if request.host_network => &[],
        [] => &loopback[..],
        some => some,
    };
    for address in addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_comes_first_then_the_network_then_the_host() {
        let host = parse("# x\nnameserver 192.0.2.1\nsearch a b\noptions ndots:2\n");
        let none = DnsConfig::default();
        let text = compose(&none, &none, &host).unwrap();
        assert_eq!(text, "search a b\nnameserver 192.0.2.1\noptions ndots:2\n");
        let network = DnsConfig { nameservers: vec![[10, 0, 0, 1].into()], ..none.clone() };
        let text = compose(&none, &network, &host).unwrap();
        assert_eq!(text, "search a b\nnameserver 10.0.0.1\noptions ndots:2\n");
        let user = DnsConfig {
            nameservers: vec![[10, 0, 0, 2].into()],
            search: vec![".".to_owned()],
            options: vec!["edns0".to_owned()],
        };
        let text = compose(&user, &network, &host).unwrap();
        assert_eq!(text, "nameserver 10.0.0.2\noptions edns0\n");
    }

    #[test]
    fn a_line_can_not_be_broken_out_of() {
        let none = DnsConfig::default();
        let user = DnsConfig { search: vec!["a\nnameserver 6.6.6.6".to_owned()], ..none.clone() };
        assert!(compose(&user, &none, &none).is_err());
        let request = HostsRequest { hostname: "a\n6.6.6.6 bank", ..HostsRequest::default() };
        assert!(hosts(&request).is_err());
    }

    #[test]
    fn servers_on_loopback_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let resolved = directory.path().join("resolv.conf");
        std::fs::write(&resolved, "nameserver 192.0.2.7\nnameserver 127.0.0.1\n").unwrap();
        let stub = || parse("nameserver 127.0.0.53\n");
        let expected: IpAddr = [192, 0, 2, 7].into();
        assert_eq!(reachable(stub(), &resolved).nameservers, [expected]);
        let missing = directory.path().join("missing");
        assert!(reachable(stub(), &missing).nameservers.is_empty());
        let mixed = parse("nameserver ::1\nnameserver 192.0.2.7\n");
        assert_eq!(reachable(mixed, &missing).nameservers, [expected]);
        let none = DnsConfig::default();
        assert!(compose(&none, &none, &none).unwrap().contains("--dns"));
    }

    #[test]
    fn hosts_of_a_pod() {
        let extra: Vec<ExtraHost> =
            ["db:192.0.2.5", "six=[2001:db8::1]", "six2:2001:db8::2", "up:host-gateway"]
                .iter()
                .map(|text| text.parse().unwrap())
                .collect();
        let addresses = [IpAddr::from([10, 0, 0, 2])];
        let aliases = ["web".to_owned(), "c0ffee".to_owned()];
        let mut request = HostsRequest {
            hostname: "c0ffee",
            aliases: &aliases,
            addresses: &addresses,
            extra: &extra,
            host_gateway: Some([10, 0, 0, 1].into()),
            host_network: false,
        };
        let text = hosts(&request).unwrap();
        let ours = text.strip_prefix(LOCALHOST).unwrap();
        assert_eq!(
            ours,
            "192.0.2.5\tdb\n2001:db8::1\tsix\n2001:db8::2\tsix2\n10.0.0.1\tup\n10.0.0.2\tc0ffee web\n"
        );
        request.host_gateway = None;
        assert_eq!(hosts(&request), Err(DnsError::NoGateway("up".to_owned())));
        request.extra = &[];
        request.addresses = &[];
        assert!(hosts(&request).unwrap().ends_with("127.0.1.1\tc0ffee web\n"));
    }

    #[test]
    fn bad_extra_hosts_are_refused() {
        for text in ["", "db", ":1.2.3.4", "db:x", "d b:1.2.3.4", "db:"] {
            assert!(text.parse::<ExtraHost>().is_err(), "{text}");
        }
    }
}
