//! What an interface had before a sandbox took it over: noted in the interface's alias,
//! for the sandbox that comes after, since the host's kernel has forgotten it.
//!
//! `caisson-sentry 10.9.0.2/24 0.0.0.0/0>10.9.0.1*0`: addresses, and routes to a network
//! `>` by a gateway, if any, `*` with a metric.

use std::net::IpAddr;

use crate::net::links::{Address, Link, Links, Route};

const MARK: &str = "caisson-sentry";
/// `IFALIASZ`, with the end mark.
const LONGEST: usize = 255;

/// The note; `None` if it is too long for an alias.
pub(super) fn write(link: &Link, links: &Links) -> Option<String> {
    let mut text = MARK.to_owned();
    for Address { ip, prefix } in &link.addresses {
        text += &format!(" {ip}/{prefix}");
    }
    for route in links.routes.iter().filter(|route| route.link == link.index) {
        let Address { ip, prefix } = route.to;
        let gateway = route.gateway.map(|ip| ip.to_string()).unwrap_or_default();
        text += &format!(" {ip}/{prefix}>{gateway}*{}", route.metric);
    }
    (text.len() <= LONGEST).then_some(text)
}

/// What was noted of interface `link`; `None` if that is no note of ours.
pub(super) fn read(text: &str, link: u32) -> Option<(Vec<Address>, Vec<Route>)> {
    let (mut addresses, mut routes) = (Vec::new(), Vec::new());
    for word in text.strip_prefix(MARK)?.split_whitespace() {
        match word.split_once('>') {
            None => addresses.push(address(word)?),
            Some((to, by)) => {
                let (gateway, metric) = by.split_once('*')?;
                let gateway: Option<IpAddr> = match gateway {
                    "" => None,
                    gateway => Some(gateway.parse().ok()?),
                };
                let metric = metric.parse().ok()?;
                let own = gateway.is_none();
                routes.push(Route { to: address(to)?, gateway, link, metric, own });
            }
        }
    }
    Some((addresses, routes))
}

fn address(text: &str) -> Option<Address> {
    let (ip, prefix) = text.split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    let prefix = prefix.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    (prefix <= most).then_some(Address { ip, prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_and_nothing_else_is() {
        let address = |text| address(text).unwrap();
        let link = Link {
            index: 4,
            name: "eth0".into(),
            mtu: 1500,
            hardware: [2; 6],
            loopback: false,
            up: true,
            addresses: vec![address("10.9.0.2/24"), address("fd09::2/64")],
            kind: crate::net::links::Kind::Plain,
        };
        let route = |to, gateway: Option<&str>, link| Route {
            to: address(to),
            gateway: gateway.map(|ip| ip.parse().unwrap()),
            link,
            metric: 7,
            own: gateway.is_none(),
        };
        let own = [route("10.9.0.0/24", None, 4), route("::/0", Some("fd09::1"), 4)];
        let routes = [own[0], own[1], route("10.0.0.0/8", None, 5)].to_vec();
        let mut links = Links { links: vec![link.clone()], routes, last: 1 };
        let text = write(&link, &links).unwrap();
        assert_eq!(read(&text, 4), Some((link.addresses.clone(), own.to_vec())));
        links.routes = vec![own[1]; 30];
        assert_eq!(write(&link, &links), None);
        for other in [
            "",
            "uplink of rack 4",
            "caisson-sentry 10.9.0.2",
            "caisson-sentry 10.9.0.2/33",
            "caisson-sentry ::/0>x*0",
            "caisson-sentry ::/0>",
        ] {
            assert_eq!(read(other, 4), None, "{other}");
        }
    }
}
