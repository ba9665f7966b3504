//! CNI: networks that an administrator has configured, made by plugins.

pub mod conf;
mod pin;
pub mod plugin;
pub mod result;
mod stand_in;

use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::netns::{self, NetnsError};
use crate::ports::mapping::PortMapping;
use crate::request::{AddressWithPrefix, NetRequest};
use crate::settings::NetSettings;
use crate::state::{State, StateError};
use conf::{ConfError, NetworkList};
use plugin::{Command, Invocation, PluginError};
use result::{CniResult, ResultError};
use stand_in::StandIn;

/// Name of a pod's interface.
pub(crate) const POD_LINK: &str = "eth0";

/// Why a pod could not be connected to a CNI network.
#[derive(Debug, thiserror::Error)]
pub enum CniError {
    /// Its configuration.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// A plugin failed.
    #[error("CNI network {network}: {cause}")]
    Plugin {
        /// Its name.
        network: String,
        /// Which plugin, and what it says.
        cause: PluginError,
    },
    /// A plugin said something that can't be.
    #[error("CNI network {network}: plugin {plugin} answered {cause}")]
    Result {
        /// Its name.
        network: String,
        /// The plugin's type.
        plugin: String,
        /// What is wrong.
        cause: ResultError,
    },
    /// A plugin said that it made an interface that is not there.
    #[error(
        "CNI network {network}: its plugins report success, but the pod has no {POD_LINK} ({cause})"
    )]
    NoInterface {
        /// Its name.
        network: String,
        /// What the kernel says.
        cause: Errno,
    },
    /// No plugin can do what is asked.
    #[error(
        "CNI network {network}: none of its plugins has the capability {capability}, so {what} can't be had"
    )]
    Capability {
        /// Its name.
        network: String,
        /// The capability's name.
        capability: &'static str,
        /// What was asked.
        what: &'static str,
    },
    /// Not for `CNI_ARGS`.
    #[error("CNI argument {0:?}: neither name nor value may have `;` or `=`")]
    Argument(String),
    /// The record of the attachment.
    #[error(transparent)]
    State(#[from] StateError),
    /// The pod's network namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// It can't be kept for the plugins, or let go of.
    #[error("can't mount the pod's network namespace for CNI plugins, or unmount it: {0}")]
    Pin(std::io::Error),
    /// It can't be looked at.
    #[error("can't look at the pod's network namespace: {0}")]
    Stat(std::io::Error),
}

/// All that is needed to take an attachment back, whatever became of its
/// configuration: `cni/<pod>.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attached {
    list: NetworkList,
    netns: PathBuf,
    /// Where the same one is mounted until the plugins have answered.
    #[serde(default)]
    pin: Option<PathBuf>,
    /// Device and inode: the paths may lead to something else one day.
    identity: (u64, u64),
    args: String,
    capabilities: Map<String, Value>,
    result: Option<Value>,
}

impl Attached {
    /// What is going to be made. Nothing is done yet.
    pub(crate) fn plan(
        settings: &NetSettings,
        network: &str,
        netns: (BorrowedFd<'_>, &Path),
        request: &NetRequest,
    ) -> Result<Self, CniError> {
        let list = conf::load(&settings.cni_conf_dirs, network)?;
        let stat = rustix::fs::fstat(netns.0).map_err(|cause| CniError::Stat(cause.into()))?;
        Ok(Self {
            netns: netns.1.to_owned(),
            pin: None,
            identity: (stat.st_dev, stat.st_ino),
            args: arguments(request)?,
            capabilities: capabilities(&list, request)?,
            list,
            result: None,
        })
    }

    /// The network's name.
    pub(crate) fn network(&self) -> &str {
        &self.list.name
    }

    /// Tells the plugins which ports were chosen.
    pub(crate) fn publish(&mut self, ports: &[PortMapping]) {
        if !ports.is_empty() {
            self.capabilities.insert("portMappings".to_owned(), port_mappings(ports));
        }
    }

    fn invocation<'a>(&'a self, settings: &'a NetSettings, pod: &'a str) -> Invocation<'a> {
        let same = |path: &&Path| {
            std::fs::metadata(path).is_ok_and(|data| (data.dev(), data.ino()) == self.identity)
        };
        let mut paths = [self.netns.as_path()].into_iter().chain(self.pin.as_deref());
        Invocation {
            pod,
            netns: paths.find(same),
            args: &self.args,
            bin_dirs: &settings.cni_bin_dirs,
            deadline: settings.plugin_deadline,
        }
    }

    /// Runs ADD of all plugins, each with the result of the one before. After a
    /// failure the caller takes back what was made, by [`Attached::remove`].
    pub(crate) fn add(
        &mut self,
        settings: &NetSettings,
        pod: &str,
        netns: BorrowedFd<'_>,
        path: &Path,
    ) -> Result<CniResult, CniError> {
        let point = path.with_extension("netns");
        self.pin = Some(point.clone());
        State::write(path, self)?;
        let _ = pin::let_go(&point);
        pin::hold(netns, &point).map_err(CniError::Pin)?;
        let mut last = None;
        for plugin in &self.list.plugins {
            let input = self.input(plugin, last.as_ref());
            let output = self
                .invocation(settings, pod)
                .run(Command::Add, plugin, &input)
                .map_err(self.failed())?;
            let wrong = |cause| CniError::Result {
                network: self.list.name.clone(),
                plugin: conf::plugin_type(plugin).to_owned(),
                cause,
            };
            let value = serde_json::from_slice(&output);
            let value = value.map_err(|cause| wrong(ResultError::Json(cause)))?;
            CniResult::parse(&value).map_err(wrong)?;
            last = Some(value);
        }
        let value = last.unwrap_or_default();
        let result = CniResult::parse(&value).unwrap_or_default();
        self.result = Some(value);
        State::write(path, self)?;
        let missing = |cause| CniError::NoInterface { network: self.list.name.clone(), cause };
        let link = netns::route_socket(netns)?.link(POD_LINK).map_err(missing)?;
        link.ok_or(Errno::NODEV).map_err(missing)?;
        pin::let_go(&point).map_err(CniError::Pin)?;
        Ok(result)
    }

    /// Runs CHECK of all plugins, if the network's version has it.
    pub(crate) fn check(&self, settings: &NetSettings, pod: &str) -> Result<(), CniError> {
        if self.list.disable_check || self.list.version() < (0, 4) {
            return Ok(());
        }
        for plugin in &self.list.plugins {
            let input = self.input(plugin, self.result.as_ref());
            let call = self.invocation(settings, pod);
            call.run(Command::Check, plugin, &input).map_err(self.failed())?;
        }
        Ok(())
    }

    /// Runs DEL of all plugins in reverse; the first failure is told when all
    /// have been tried.
    pub(crate) fn remove(&self, settings: &NetSettings, pod: &str) -> Result<(), CniError> {
        let mut outcome = Ok(());
        if self.result.is_none() {
            pin::end_plugins(pod, &self.netns);
        }
        let gone = self.invocation(settings, pod).netns.is_none();
        let stand_in = if gone && self.list.plugins.iter().any(stand_in::helps) {
            StandIn::new(&self.addresses())
        } else {
            None
        };
        for plugin in self.list.plugins.iter().rev() {
            let known = self.result.as_ref().filter(|_| self.list.version() >= (0, 4));
            let input = self.input(plugin, known);
            let mut call = self.invocation(settings, pod);
            if gone {
                // The stand-in may have the number that the pod's namespace had.
                call.netns = None;
            }
            let plain = call.netns;
            if gone && stand_in::helps(plugin) {
                call.netns = stand_in.as_ref().map(|other| other.path.as_path());
            }
            let mut done = call.run(Command::Del, plugin, &input);
            if call.netns != plain && matches!(done, Err(PluginError::Refused { .. })) {
                // A killed attempt may have removed the rules already, which not
                // every plugin stands; without a namespace it looks for none.
                done = call.run(Command::Del, plugin, &input);
                if done.is_err() {
                    call.netns = plain;
                    done = call.run(Command::Del, plugin, &input);
                }
            }
            let done = done.map_err(self.failed());
            outcome = outcome.and(done.map(drop));
        }
        outcome?;
        match &self.pin {
            Some(point) => pin::let_go(point).map_err(CniError::Pin),
            None => Ok(()),
        }
    }

    /// What the pod's link was given.
    fn addresses(&self) -> Vec<AddressWithPrefix> {
        let result = self.result.as_ref().and_then(|value| CniResult::parse(value).ok());
        let links = result.unwrap_or_default().interfaces;
        let own = links.into_iter().filter(|link| link.name == POD_LINK);
        own.flat_map(|link| link.addresses).collect()
    }

    fn failed(&self) -> impl FnOnce(PluginError) -> CniError + '_ {
        |cause| CniError::Plugin { network: self.list.name.clone(), cause }
    }

    /// What a plugin reads: its part of the list, and what goes with it.
    fn input(&self, plugin: &Map<String, Value>, previous: Option<&Value>) -> Value {
        let mut input = self.list.plugin_input(plugin);
        let wanted = self.capabilities.iter().filter(|(name, _)| conf::has(plugin, name));
        let wanted: Map<_, _> = wanted.map(|(name, v)| (name.clone(), v.clone())).collect();
        if !wanted.is_empty() {
            input.insert("runtimeConfig".to_owned(), wanted.into());
        }
        if let Some(previous) = previous {
            input.insert("prevResult".to_owned(), previous.clone());
        }
        Value::Object(input)
    }
}

/// Runs GC of a network's plugins, which forget all but these pods, if the
/// network is still configured and its version has it (1.1).
pub(crate) fn collect(
    settings: &NetSettings,
    network: &str,
    pods: &[String],
) -> Result<(), CniError> {
    let Ok(list) = conf::load(&settings.cni_conf_dirs, network) else { return Ok(()) };
    let attachments: Vec<_> =
        pods.iter().map(|pod| json!({"containerID": pod, "ifname": POD_LINK})).collect();
    call_all(settings, &list, Command::Gc, &[("cni.dev/valid-attachments", attachments.into())])
}

/// Asks the plugins of a network whether they can connect pods (1.1).
pub(crate) fn status(settings: &NetSettings, network: &str) -> Result<(), CniError> {
    let list = conf::load(&settings.cni_conf_dirs, network)?;
    call_all(settings, &list, Command::Status, &[])
}

fn call_all(
    settings: &NetSettings,
    list: &NetworkList,
    command: Command,
    more: &[(&str, Value)],
) -> Result<(), CniError> {
    if list.version() < (1, 1) {
        return Ok(());
    }
    let call = Invocation {
        pod: "",
        netns: None,
        args: "",
        bin_dirs: &settings.cni_bin_dirs,
        deadline: settings.plugin_deadline.min(Duration::from_secs(30)),
    };
    for plugin in &list.plugins {
        let mut input = list.plugin_input(plugin);
        input.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let failed = |cause| CniError::Plugin { network: list.name.clone(), cause };
        call.run(command, plugin, &Value::Object(input)).map_err(failed)?;
    }
    Ok(())
}

fn arguments(request: &NetRequest) -> Result<String, CniError> {
    let mut text = "IgnoreUnknown=1".to_owned();
    for (name, value) in &request.cni_args {
        // Plugins split at each of them, and would refuse DEL as well.
        let bad = ['=', ';', '\0'];
        if name.is_empty() || name.contains(bad) || value.contains(bad) {
            return Err(CniError::Argument(name.clone()));
        }
        text.push_str(&format!(";{name}={value}"));
    }
    Ok(text)
}

fn port_mappings(ports: &[PortMapping]) -> Value {
    let one = |port: &PortMapping| {
        json!({
            "hostPort": port.host_port,
            "containerPort": port.container_port,
            "protocol": port.protocol,
            "hostIP": port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        })
    };
    ports.iter().map(one).collect()
}

/// What the request asks of plugins that declare the capability for it. What
/// was asked by name and can't be had is an error; name servers are an offer.
fn capabilities(list: &NetworkList, request: &NetRequest) -> Result<Map<String, Value>, CniError> {
    let mut all = Map::new();
    let mut ask = |capability: &'static str, what, value: Value| {
        if !list.plugins.iter().any(|plugin| conf::has(plugin, capability)) {
            let network = list.name.clone();
            return Err(CniError::Capability { network, capability, what });
        }
        all.insert(capability.to_owned(), value);
        Ok(())
    };
    if !request.ports.is_empty() {
        ask("portMappings", "published ports", port_mappings(&request.ports))?;
    }
    if let Some(ip) = request.ip {
        ask("ips", "a fixed address", json!([ip]))?;
    }
    if let Some(mac) = request.mac {
        ask("mac", "a fixed MAC address", json!(mac))?;
    }
    if let Some(bandwidth) = request.bandwidth {
        ask("bandwidth", "a limit of traffic", json!(bandwidth))?;
    }
    let dns = &request.dns;
    if !dns.nameservers.is_empty() || !dns.search.is_empty() {
        let value = json!({
            "servers": dns.nameservers, "searches": dns.search, "options": dns.options,
        });
        all.insert("dns".to_owned(), value);
    }
    Ok(all)
}
