//! What plugins answer, checked before it is believed.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::POD_LINK;
use super::conf::VERSIONS;
use crate::dns::DnsConfig;
use crate::request::{AddressWithPrefix, Interface};

/// Most entries in any list of a result.
const MAX_ENTRIES: usize = 256;

/// Why a result is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// Not JSON, or not a result.
    #[error("what is no CNI result: {0}")]
    Json(serde_json::Error),
    /// Of another version.
    #[error("in version {0:?} of the specification, which is not spoken here")]
    Version(String),
    /// Not an address.
    #[error("with {0:?}, which is no address with a prefix length")]
    Address(String),
    /// Points nowhere.
    #[error("with an address of interface number {0}, which it does not list")]
    Index(i64),
    /// More than anybody needs.
    #[error("with more than {MAX_ENTRIES} entries in a list")]
    TooMany,
}

/// A checked result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CniResult {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) dns: DnsConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    cni_version: String,
    #[serde(default)]
    interfaces: Vec<WireInterface>,
    #[serde(default)]
    ips: Vec<WireIp>,
    #[serde(default)]
    dns: WireDns,
}

#[derive(Deserialize)]
struct WireInterface {
    name: String,
    #[serde(default)]
    mac: String,
    #[serde(default)]
    sandbox: String,
}

#[derive(Deserialize)]
struct WireIp {
    address: String,
    gateway: Option<String>,
    interface: Option<i64>,
}

#[derive(Default, Deserialize)]
struct WireDns {
    #[serde(default)]
    nameservers: Vec<String>,
    domain: Option<String>,
    #[serde(default)]
    search: Vec<String>,
    #[serde(default)]
    options: Vec<String>,
}

impl CniResult {
    pub(crate) fn parse(value: &Value) -> Result<Self, ResultError> {
        let wire = Wire::deserialize(value).map_err(ResultError::Json)?;
        if !VERSIONS.contains(&wire.cni_version.as_str()) {
            return Err(ResultError::Version(wire.cni_version));
        }
        let counts = [
            wire.interfaces.len(),
            wire.ips.len(),
            wire.dns.nameservers.len(),
            wire.dns.search.len(),
            wire.dns.options.len(),
        ];
        if counts.iter().any(|count| *count > MAX_ENTRIES) {
            return Err(ResultError::TooMany);
        }
        let nothing = |name: &str| Interface {
            name: name.to_owned(),
            mac: None,
            addresses: Vec::new(),
            gateways: Vec::new(),
        };
        let mut all: Vec<(bool, Interface)> = wire
            .interfaces
            .iter()
            .map(|link| {
                let mac = link.mac.parse().ok();
                (!link.sandbox.is_empty(), Interface { mac, ..nothing(&link.name) })
            })
            .collect();
        // Some plugins list no interface: then it is the one that was asked for.
        if all.is_empty() {
            all.push((true, nothing(POD_LINK)));
        }
        for ip in &wire.ips {
            let index = ip.interface.filter(|_| !wire.interfaces.is_empty());
            let place = match index {
                Some(number) => {
                    let place = usize::try_from(number).ok().and_then(|n| all.get_mut(n));
                    Some(place.ok_or(ResultError::Index(number))?)
                }
                None => all.iter_mut().find(|(inside, _)| *inside),
            };
            let address = parse_address(&ip.address)?;
            if let Some((_, interface)) = place {
                interface.addresses.push(address);
                interface
                    .gateways
                    .extend(ip.gateway.as_ref().and_then(|ip| ip.parse::<IpAddr>().ok()));
            }
        }
        let interfaces = all.into_iter().filter(|(inside, _)| *inside).map(|(_, i)| i).collect();
        let mut search = wire.dns.search;
        if let Some(domain) = wire.dns.domain.filter(|domain| !domain.is_empty())
            && search.is_empty()
        {
            search.push(domain);
        }
        let nameservers = wire.dns.nameservers.iter().filter_map(|ip| ip.parse().ok()).collect();
        Ok(Self { interfaces, dns: DnsConfig { nameservers, search, options: wire.dns.options } })
    }
}

fn parse_address(text: &str) -> Result<AddressWithPrefix, ResultError> {
    let parse = || {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= longest).then_some(AddressWithPrefix { address, prefix })
    };
    parse().ok_or_else(|| ResultError::Address(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_of_plugins() {
        let value = json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "cni0", "mac": "0a:00:00:00:00:01"},
                {"name": "eth0", "mac": "0a:00:00:00:00:02", "sandbox": "/proc/1/fd/3"}
            ],
            "ips": [{"address": "10.1.0.2/16", "gateway": "10.1.0.1", "interface": 1}],
            "dns": {"nameservers": ["10.1.0.1"], "domain": "a.example"}
        });
        let result = CniResult::parse(&value).unwrap();
        assert_eq!(result.interfaces.len(), 1);
        let eth0 = &result.interfaces[0];
        assert_eq!(
            (eth0.name.as_str(), eth0.addresses[0].to_string().as_str()),
            ("eth0", "10.1.0.2/16")
        );
        assert_eq!(result.dns.search, ["a.example"]);
        let bare =
            json!({"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.0.3/24"}]});
        assert_eq!(CniResult::parse(&bare).unwrap().interfaces[0].name, "eth0");
    }

    #[test]
    fn lies_are_refused() {
        for value in [
            json!(null),
            json!([1]),
            json!({"cniVersion": "7.0.0"}),
            json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2"}]}),
            json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2/33"}]}),
            json!({"cniVersion": "1.0.0", "interfaces": [{"name": "x"}],
                   "ips": [{"address": "10.1.0.2/24", "interface": 1}]}),
            json!({"cniVersion": "1.0.0", "interfaces": [{"name": "x"}],
                   "ips": [{"address": "10.1.0.2/24", "interface": -1}]}),
            json!({"cniVersion": "1.0.0", "ips": vec![json!({"address": "10.1.0.2/24"}); 300]}),
            json!({"cniVersion": "1.0.0", "interfaces": "eth0"}),
        ] {
            assert!(CniResult::parse(&value).is_err(), "{value}");
        }
    }
}
