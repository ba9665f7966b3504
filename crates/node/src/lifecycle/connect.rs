//! A container's network, and the files of names that follow from it.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use caisson_net::{
    DnsConfig, ExtraHost, HostsRequest, NetRequest, NetResult, NetworkMode, PortMapping, Protocol,
};
use caisson_sys::unshare::{Unshare, unshare};
use rustix::fs::{Mode, OFlags, open};

use super::error::StartError;
use crate::engine::Engine;
use crate::metadata::{ContainerRecord, NetworkRecord};
use crate::oci_spec::{EtcFiles, NetworkNamespace};

/// A network that was set up.
pub(super) struct Connection {
    pub(super) namespace: NetworkNamespace,
    /// The namespace, for the supervisor to inherit.
    pub(super) netns: Option<OwnedFd>,
    pub(super) result: NetResult,
    pub(super) mode: NetworkMode,
}

/// Gets a network namespace: a thread of its own makes it and ends, so that
/// ours stays where it is.
fn new_namespace() -> std::io::Result<OwnedFd> {
    let make = || -> std::io::Result<OwnedFd> {
        unshare(Unshare::Network)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(open("/proc/thread-self/ns/net", flags, Mode::empty())?)
    };
    let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn(make)?;
    thread.join().map_err(|_| std::io::Error::other("the thread ended early"))?
}

impl Engine {
    /// Connects a container that is about to start.
    pub(super) fn connect(&self, record: &ContainerRecord) -> Result<Connection, StartError> {
        let request = &record.document.request.network;
        let mode: NetworkMode = match request.mode.as_deref() {
            None => NetworkMode::Bridge,
            Some(text) => text.parse().map_err(StartError::NetworkOption)?,
        };
        let (namespace, netns, result) = match &mode {
            NetworkMode::Host => (NetworkNamespace::Host, None, NetResult::default()),
            // A new namespace's loopback is brought up by whoever makes it.
            NetworkMode::None => (NetworkNamespace::New, None, NetResult::default()),
            NetworkMode::Container(name) => {
                let path = self.namespace_of(name, "net")?;
                (NetworkNamespace::Join(path), None, NetResult::default())
            }
            NetworkMode::Bridge | NetworkMode::Cni(_) => {
                let netns = new_namespace().map_err(StartError::Namespace)?;
                let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
                let wanted = net_request(record, mode.clone())?;
                let result =
                    self.network()?.setup(&record.id, netns.as_fd(), Path::new(&path), &wanted)?;
                let join =
                    NetworkNamespace::Join(caisson_shim::NamespaceKind::Net.path().to_owned());
                (join, Some(netns), result)
            }
        };
        Ok(Connection { namespace, netns, result, mode })
    }

    /// Writes the files of names into the container's directory.
    pub(super) fn write_names(
        &self,
        record: &ContainerRecord,
        connection: &Connection,
        hostname: &str,
    ) -> Result<EtcFiles, StartError> {
        let dir = self.paths.container(&record.id);
        if let NetworkMode::Container(lender) = &connection.mode {
            // Its names are those of the container whose network it shares.
            let lender = self.metadata().find(lender)?;
            let dir = self.paths.container(&lender.id);
            return Ok(EtcFiles {
                hosts: Some(dir.join("hosts")),
                hostname: Some(dir.join("hostname")),
                resolv_conf: Some(dir.join("resolv.conf")),
            });
        }
        let request = &record.document.request.network;
        let extra: Vec<ExtraHost> =
            request.extra_hosts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let addresses: Vec<IpAddr> = connection
            .result
            .interfaces
            .iter()
            .flat_map(|interface| interface.addresses.iter().map(|address| address.address))
            .collect();
        let host = connection.mode == NetworkMode::Host;
        let hosts = caisson_net::hosts(&HostsRequest {
            hostname,
            aliases: &request.aliases,
            addresses: &addresses,
            extra: &extra,
            host_gateway: connection.result.host_gateway,
            host_network: host,
        })?;
        let resolv_conf = caisson_net::resolv_conf(&dns(record)?, &connection.result.dns, !host)?;
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            // In place: the container may hold the file mounted.
            std::fs::write(&path, text)
                .and_then(|()| {
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
                    std::fs::set_permissions(&path, mode)
                })
                .map_err(|source| StartError::File { path: path.clone(), source })?;
            Ok::<_, StartError>(Some(path))
        };
        Ok(EtcFiles {
            hosts: write("hosts", &hosts)?,
            hostname: write("hostname", &format!("{hostname}\n"))?,
            resolv_conf: write("resolv.conf", &resolv_conf)?,
        })
    }
}

/// What is kept of a connection.
pub(super) fn network_record(connection: &Connection) -> NetworkRecord {
    NetworkRecord {
        mode: connection.mode.to_string(),
        interfaces: connection.result.interfaces.clone(),
        ports: connection.result.ports.clone(),
    }
}

fn dns(record: &ContainerRecord) -> Result<DnsConfig, StartError> {
    let request = &record.document.request.network;
    let address = |text: &String| {
        text.parse().map_err(|_| StartError::NetworkOption(format!("--dns {text:?} is no address")))
    };
    Ok(DnsConfig {
        nameservers: request.dns.iter().map(address).collect::<Result<_, _>>()?,
        search: request.dns_search.clone(),
        options: request.dns_options.clone(),
    })
}

fn net_request(record: &ContainerRecord, mode: NetworkMode) -> Result<NetRequest, StartError> {
    let request = &record.document.request.network;
    let mut ports = Vec::new();
    for text in &request.publish {
        ports.extend(PortMapping::parse(text)?);
    }
    if request.publish_all {
        for text in &record.document.program.exposed_ports {
            let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            // An image's text: what can't be published is left out.
            let (Ok(container_port), Ok(protocol)) =
                (port.parse::<u16>(), protocol.parse::<Protocol>())
            else {
                continue;
            };
            let published = |mapping: &PortMapping| {
                (mapping.container_port, mapping.protocol) == (container_port, protocol)
            };
            if container_port != 0 && !ports.iter().any(published) {
                ports.push(PortMapping { host_ip: None, host_port: 0, container_port, protocol });
            }
        }
    }
    let option = |what: &str, text: &str, reason: String| {
        StartError::NetworkOption(format!("{what} {text:?}: {reason}"))
    };
    Ok(NetRequest {
        mode,
        ports,
        ip: match request.ip.as_deref() {
            Some(text) => {
                Some(text.parse().map_err(|_| option("--ip", text, "no IPv4 address".to_owned()))?)
            }
            None => None,
        },
        mac: match request.mac_address.as_deref() {
            Some(text) => Some(text.parse().map_err(|e| option("--mac-address", text, e))?),
            None => None,
        },
        dns: dns(record)?,
        ..NetRequest::default()
    })
}
