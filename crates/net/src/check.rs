//! What this machine lacks for pods' networks.

use std::path::Path;

use rustix::fs::{Access, access};

use crate::bridge::sysctl;
use crate::cni::conf;
use crate::netlink::Netlink;
use crate::network::{Network, NetworkError};
use crate::program;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Good,
    /// To be known.
    Note,
    /// Something will not work.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How it is.
    pub severity: Severity,
    /// What was found, and what to do where that is not good.
    pub detail: String,
}

fn finding(what: &'static str, severity: Severity, detail: impl Into<String>) -> Finding {
    Finding { what, severity, detail: detail.into() }
}

impl Network {
    /// The name of the first configured CNI network; `None` if there is none.
    ///
    /// # Errors
    /// If the first configuration makes no sense.
    pub fn default_cni(&self) -> Result<Option<String>, NetworkError> {
        match conf::load(&self.settings.cni_conf_dirs, "") {
            Ok(list) => Ok(Some(list.name)),
            Err(conf::ConfError::None(_)) => Ok(None),
            Err(error) => Err(crate::cni::CniError::from(error).into()),
        }
    }

    /// Looks at what networks need on this machine, and changes nothing.
    pub fn check(&self) -> Result<Vec<Finding>, NetworkError> {
        if self.settings.rootless {
            return Ok(check_rootless());
        }
        let mut all = vec![check_nft(), check_forwarding()];
        let lock = self.state.lock()?;
        let network = lock.network()?;
        let pods = lock.records()?.len();
        all.push(match &network {
            None => finding("bridge", Severity::Good, "not made yet; the first pod makes it"),
            Some(network) => finding(
                "bridge",
                Severity::Good,
                format!(
                    "{} {}{}, {pods} pods",
                    network.bridge,
                    network.subnet,
                    network.ipv6.map(|six| format!(" {six}")).unwrap_or_default()
                ),
            ),
        });
        drop(lock);
        all.extend(check_iptables());
        all.push(match conf::load(&self.settings.cni_conf_dirs, "") {
            Ok(list) => finding("cni", Severity::Good, format!("default network {}", list.name)),
            Err(conf::ConfError::None(dirs)) => {
                finding("cni", Severity::Good, format!("nothing is configured in {dirs}"))
            }
            Err(error) => finding("cni", Severity::Missing, error.to_string()),
        });
        Ok(all)
    }
}

fn check_nft() -> Finding {
    let nft = match program::find("nft") {
        Ok(nft) => nft,
        Err(error) => {
            let detail = format!("{error}: install nftables for the built-in network");
            return finding("nftables", Severity::Missing, detail);
        }
    };
    let asked = Netlink::netfilter().and_then(|mut netlink| netlink.has_chain("caisson", "none"));
    match asked {
        Ok(_) => finding("nftables", Severity::Good, nft.display().to_string()),
        Err(error) => {
            finding("nftables", Severity::Missing, format!("the kernel has no nftables: {error}"))
        }
    }
}

fn check_forwarding() -> Finding {
    match sysctl::get("ipv4/ip_forward").as_deref() {
        Some("1") => finding("ip_forward", Severity::Good, "on"),
        Some(_) => {
            let detail = "off; the first pod of the built-in network switches it on";
            finding("ip_forward", Severity::Note, detail)
        }
        None => finding("ip_forward", Severity::Missing, "can't read net.ipv4.ip_forward"),
    }
}

/// Filters of others that may drop what ours lets pass.
fn check_iptables() -> Option<Finding> {
    let drops = Netlink::netfilter().and_then(|mut netlink| netlink.forward_drops(false));
    let names = std::fs::read_to_string("/proc/thread-self/net/ip_tables_names");
    let legacy = names.is_ok_and(|names| names.lines().any(|name| name == "filter"));
    if drops.unwrap_or(false) {
        let (severity, detail) = match program::find("iptables") {
            Ok(_) => (Severity::Note, "FORWARD drops by default; set-up adds rules for the bridge"),
            Err(_) => (
                Severity::Missing,
                "FORWARD drops by default, and iptables is not there to let the bridge pass",
            ),
        };
        return Some(finding("iptables", severity, detail));
    }
    legacy.then(|| {
        let detail = "iptables-legacy has a filter table; if its chain FORWARD drops by default, \
                      let the bridge pass there yourself";
        finding("iptables", Severity::Note, detail)
    })
}

fn check_rootless() -> Vec<Finding> {
    let what = "network program";
    let program = match (program::find("pasta"), program::find("slirp4netns")) {
        (Ok(pasta), _) => finding(what, Severity::Good, pasta.display().to_string()),
        (_, Ok(slirp)) => {
            let detail = format!("{}; pasta (package passt) knows IPv6 too", slirp.display());
            finding(what, Severity::Note, detail)
        }
        _ => {
            let detail = "neither pasta nor slirp4netns is there: install passt";
            finding(what, Severity::Missing, detail)
        }
    };
    let tun = match access(Path::new("/dev/net/tun"), Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => finding("/dev/net/tun", Severity::Good, "can be opened"),
        Err(error) => {
            finding("/dev/net/tun", Severity::Missing, format!("can't be opened: {error}"))
        }
    };
    vec![program, tun]
}
