//! `NETLINK_ROUTE`: what is asked about links, addresses and routes.

use std::net::IpAddr;

use rustix::io::Errno;

use crate::net::Network;
use crate::net::links::{self, Address, Kind, LOOPBACK, Link, Links, Route};

use super::message::{Answer, Request, flag, kind};
use super::{ip, link_of};

/// Answers to a request.
pub(super) fn serve(request: &Request<'_>, network: &Network, port: u32) -> Vec<Vec<u8>> {
    let links = &*network.links();
    if !request.dumps() {
        let one = match request.kind {
            kind::GET_LINK => one_link(request, (network, links), port),
            kind::GET_ROUTE => one_route(request, links, port),
            _ => Err(Errno::OPNOTSUPP),
        };
        let (mut answers, result) = match one {
            Ok(answer) => (vec![answer], Ok(())),
            Err(errno) => (Vec::new(), Err(errno)),
        };
        answers.extend(request.acknowledge(result, port));
        return answers;
    }
    let family = request.body.first().copied().unwrap_or(0);
    let wanted = |ip: IpAddr| family == 0 || family == family_of(ip);
    let mut answers = Vec::new();
    match request.kind {
        kind::GET_LINK => {
            let all = links.links.iter();
            answers.extend(all.map(|l| link(request, (network, l), flag::MULTI, port)));
        }
        kind::GET_ADDRESS => {
            for link in &links.links {
                let addresses = link.addresses.iter().filter(|a| wanted(a.ip));
                answers.extend(addresses.map(|a| address(request, link, a, port)));
            }
        }
        kind::GET_ROUTE => {
            let routes = links.routes.iter().filter(|r| wanted(r.to.ip));
            answers.extend(routes.map(|r| route(request, links, r, flag::MULTI, port)));
        }
        // Neighbours, rules, queues: none that anybody could see.
        _ => {}
    }
    // Several messages to a datagram, as they come from Linux.
    let mut all = answers.concat();
    let last = request.done(port);
    if all.len() > 16_000 {
        answers.push(last);
        return answers;
    }
    if all.is_empty() {
        return vec![last];
    }
    let first = std::mem::take(&mut all);
    vec![first, last]
}

fn family_of(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 2 } else { 10 }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn link(
    request: &Request<'_>,
    (network, link): (&Network, &Link),
    flags: u16,
    port: u32,
) -> Vec<u8> {
    let mut answer = Answer::new(request, kind::NEW_LINK, flags, port);
    let hardware: u16 = if link.loopback { 772 } else { 1 };
    answer.put(&[0, 0]);
    answer.put(&hardware.to_le_bytes());
    answer.put(&link.index.to_le_bytes());
    let now = link.flags();
    answer.put(&now.to_le_bytes());
    answer.put(&[0; 4]);
    answer.text(3, &link.name);
    answer.number(13, 1000);
    // Operational state: up; unknown for those that have none; down, or the other end is.
    let carried = now & links::flag::LOWER_UP != 0;
    let state = match (link.up, link.loopback || link.kind == Kind::Dummy) {
        (true, true) => 0,
        (true, false) if carried => 6,
        _ => 2,
    };
    answer.attribute(16, &[state]);
    answer.attribute(17, &[0]);
    answer.number(4, link.mtu);
    answer.number(27, 0);
    answer.attribute(33, &[u8::from(carried || link.loopback)]);
    let unused = !link.up && link.addresses.is_empty();
    answer.text(6, if unused { "noop" } else { "noqueue" });
    answer.attribute(1, &link.hardware);
    answer.attribute(2, &if link.loopback { [0; 6] } else { [0xff; 6] });
    if let Kind::Pair(end) = &link.kind
        && let Some((other, index)) = end.other()
    {
        answer.number(5, index);
        if !std::ptr::eq(&raw const *other, network) {
            let number = network.numbers.for_link(&other);
            answer.number(37, number.cast_unsigned());
        }
    }
    let kind = match link.kind {
        Kind::Plain => None,
        Kind::Dummy => Some("dummy"),
        Kind::Pair(_) => Some("veth"),
    };
    if let Some(kind) = kind {
        answer.nested(18, 1, kind);
    }
    // Counters: `struct rtnl_link_stats64`.
    answer.attribute(23, &[0; 24 * 8]);
    answer.finish()
}

fn one_link(
    request: &Request<'_>,
    (network, links): (&Network, &Links),
    port: u32,
) -> Result<Vec<u8>, Errno> {
    let found = link_of(request, links)?.ok_or(Errno::NODEV)?;
    Ok(link(request, (network, found), 0, port))
}

/// How far an address is good: this machine, this link, everywhere.
fn scope(ip: IpAddr) -> u8 {
    match ip {
        ip if ip.is_loopback() => 254,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => 253,
        _ => 0,
    }
}

fn address(request: &Request<'_>, link: &Link, address: &Address, port: u32) -> Vec<u8> {
    /// `IFA_F_PERMANENT`
    const PERMANENT: u8 = 0x80;
    let mut answer = Answer::new(request, kind::NEW_ADDRESS, flag::MULTI, port);
    answer.put(&[family_of(address.ip), address.prefix, PERMANENT, scope(address.ip)]);
    answer.put(&link.index.to_le_bytes());
    let ip = octets(address.ip);
    answer.attribute(1, &ip);
    if address.ip.is_ipv4() {
        answer.attribute(2, &ip);
        let from_host = !link.loopback && link.kind == Kind::Plain;
        if let (true, Some(all)) = (from_host, address.broadcast()) {
            answer.attribute(4, &all.octets());
        }
        answer.text(3, &link.name);
    }
    answer.number(8, PERMANENT.into());
    // Preferred and valid for ever; when it was made and changed.
    let forever = [u32::MAX, u32::MAX, 0, 0].map(u32::to_le_bytes).concat();
    answer.attribute(6, &forever);
    answer.finish()
}

fn route(request: &Request<'_>, links: &Links, route: &Route, flags: u16, port: u32) -> Vec<u8> {
    const MAIN: u8 = 254;
    const BOOT: u8 = 3;
    const KERNEL: u8 = 2;
    const UNICAST: u8 = 1;
    /// `RTNH_F_LINKDOWN`
    const LINK_DOWN: u32 = 16;
    let family = family_of(route.to.ip);
    let direct = route.gateway.is_none();
    let scope = if direct && family == 2 { 253 } else { 0 };
    let protocol = if route.own { KERNEL } else { BOOT };
    let mut answer = Answer::new(request, kind::NEW_ROUTE, flags, port);
    answer.put(&[family, route.to.prefix, 0, 0, MAIN, protocol, scope, UNICAST, 0, 0, 0, 0]);
    answer.number(15, MAIN.into());
    if route.to.prefix > 0 {
        answer.attribute(1, &octets(route.to.ip));
    }
    if let Some(gateway) = route.gateway {
        answer.attribute(5, &octets(gateway));
    }
    // Who asks for the way to one address is told his own.
    let tells = family == 2 && (route.own || flags & flag::MULTI == 0);
    if let (true, Some(source)) = (tells, links.source(route, route.to.ip)) {
        answer.attribute(7, &octets(source));
    }
    if links.by_index(route.link).is_some_and(|link| !link.is_carried()) {
        answer.mark(8, LINK_DOWN);
    }
    if route.metric > 0 {
        answer.number(6, route.metric);
    }
    answer.number(4, route.link);
    answer.finish()
}

/// `ip route get`
fn one_route(request: &Request<'_>, links: &Links, port: u32) -> Result<Vec<u8>, Errno> {
    const FIXED: usize = 12;
    let ip = request.attribute(FIXED, 1).and_then(ip).ok_or(Errno::INVAL)?;
    let whole = if ip.is_ipv4() { 32 } else { 128 };
    let to = Address { ip, prefix: whole };
    let found = if links.is_own(ip) {
        Route { to, gateway: None, link: LOOPBACK, metric: 0, own: true }
    } else {
        Route { to, ..*links.route(ip).ok_or(Errno::NETUNREACH)? }
    };
    Ok(route(request, links, &found, 0, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: u16, flags: u16, body: &[u8]) -> Vec<Vec<u8>> {
        let mut bytes = u32::try_from(16 + body.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(body);
        let (request, rest) = Request::parse(&bytes).unwrap();
        assert!(rest.is_empty());
        serve(&request, &Network::default(), 1)
    }

    fn kind_of(message: &[u8]) -> u16 {
        u16::from_le_bytes([message[4], message[5]])
    }

    #[test]
    fn the_loopback_interface_is_told() {
        let links = ask(kind::GET_LINK, flag::DUMP, &[0; 16]);
        assert_eq!((links.len(), kind_of(&links[0]), kind_of(&links[1])), (2, kind::NEW_LINK, 3));
        assert!(links[0].windows(3).any(|w| w == b"lo\0"));
        let both = ask(kind::GET_ADDRESS, flag::DUMP, &[0; 8]);
        let one = ask(kind::GET_ADDRESS, flag::DUMP, &[2, 0, 0, 0, 0, 0, 0, 0]);
        assert!(both[0].len() > one[0].len());
        assert_eq!(ask(kind::GET_ROUTE, flag::DUMP, &[0; 12]).len(), 1);
        let none = ask(kind::GET_LINK, 0, &[0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&none[0][16..20], &(-19_i32).to_le_bytes());
    }

    #[test]
    fn what_is_cut_off_is_no_request() {
        for length in 0..16 {
            assert!(Request::parse(&[1; 16][..length]).is_none());
        }
        assert!(Request::parse(&[255; 64]).is_none());
        let (request, _) =
            Request::parse(&[16, 0, 0, 0, 26, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(request.attribute(12, 1), None);
    }
}
