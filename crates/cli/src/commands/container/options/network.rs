//! Networks, names and ports.

use caisson_node::request::{ContainerRequest, NetworkRequest};

/// Options about the network.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub(super) struct NetworkOptions {
    /// bridge, host, none, container:NAME, cni or cni:NAME
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Option<String>,
    /// Publish a port: [[IP:][HOST-PORT]:]PORT[/udp], also ranges
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,
    /// Publish every port that the image exposes
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Say that it serves a port
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
    /// Host name inside
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,
    /// NIS domain name inside
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// Another line of /etc/hosts; `host-gateway` is the host's address
    #[arg(long, value_name = "NAME:IP")]
    add_host: Vec<String>,
    /// Name server, in place of the host's
    #[arg(long, value_name = "IP")]
    dns: Vec<String>,
    /// Domain to search, in place of the host's
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Resolver option, in place of the host's
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Another name on its network
    #[arg(long, value_name = "NAME")]
    network_alias: Vec<String>,
    /// A fixed hardware address
    #[arg(long, value_name = "MAC")]
    mac_address: Option<String>,
    /// A fixed IPv4 address
    #[arg(long, value_name = "IP")]
    ip: Option<String>,
}

impl NetworkOptions {
    pub(super) fn apply(&self, request: &mut ContainerRequest) {
        request.hostname.clone_from(&self.hostname);
        request.domainname.clone_from(&self.domainname);
        request.network = NetworkRequest {
            mode: self.network.clone(),
            publish: self.publish.clone(),
            publish_all: self.publish_all,
            expose: self.expose.clone(),
            dns: self.dns.clone(),
            dns_search: self.dns_search.clone(),
            dns_options: self.dns_option.clone(),
            extra_hosts: self.add_host.clone(),
            aliases: self.network_alias.clone(),
            mac_address: self.mac_address.clone(),
            ip: self.ip.clone(),
        };
    }
}
