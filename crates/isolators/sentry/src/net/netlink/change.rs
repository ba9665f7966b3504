//! Requests that change links, addresses and routes, as rtnetlink(7) has them.

use std::sync::Arc;

use rustix::io::Errno;

use super::message::{Request, flag as request_flag, kind};
use super::{Asker, change_links, ip, word};
use crate::net::Network;
use crate::net::links::{Address, Links, Route};

/// What became of a request; `None` if it changes nothing.
pub(super) fn serve(
    request: &Request<'_>,
    network: &Arc<Network>,
    who: &Asker<'_>,
) -> Option<Result<(), Errno>> {
    // Four kinds for each thing: new, delete, get, set.
    if request.kind % 4 == 2 {
        return None;
    }
    let may = who.permit_change(network);
    if may.is_err() && change_links::is_same(request, network) {
        return Some(who.permit_as_it_is(network));
    }
    let done = may.and_then(|()| match request.kind {
        kind::NEW_LINK | kind::SET_LINK => change_links::set(request, network, who),
        kind::DELETE_LINK => change_links::delete(request, network),
        kind::NEW_ADDRESS | kind::DELETE_ADDRESS => {
            network.change(|links| change_address(request, links))
        }
        kind::NEW_ROUTE | kind::DELETE_ROUTE => {
            network.change(|links| change_route(request, links))
        }
        _ => Err(Errno::OPNOTSUPP),
    });
    Some(done)
}

/// `struct ifaddrmsg` and what comes behind it.
fn change_address(request: &Request<'_>, links: &mut Links) -> Result<(), Errno> {
    const FIXED: usize = 8;
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    let [family, prefix, _, _, ..] = request.body else { return Err(Errno::INVAL) };
    let (family, prefix) = (*family, *prefix);
    let own = request.attribute(FIXED, LOCAL);
    let own = own.or_else(|| request.attribute(FIXED, ADDRESS).filter(|_| family == 10));
    let (longest, is_v6) = match family {
        2 => (32, false),
        10 => (128, true),
        _ => return Err(Errno::OPNOTSUPP),
    };
    let own = own.and_then(ip).filter(|own| own.is_ipv6() == is_v6).ok_or(Errno::INVAL)?;
    if prefix > longest {
        return Err(Errno::INVAL);
    }
    let link = word(request.body, 4);
    if request.kind == kind::DELETE_ADDRESS {
        return links.remove_address(link, own, prefix);
    }
    let again = request.flags & request_flag::REPLACE != 0;
    links.add_address(link, Address { ip: own, prefix }, again)
}

/// `struct rtmsg` and what comes behind it: unicast routes of the main table.
fn change_route(request: &Request<'_>, links: &mut Links) -> Result<(), Errno> {
    const FIXED: usize = 12;
    const MAIN: u32 = 254;
    const UNICAST: u8 = 1;
    const METRIC_OF_V6: u32 = 1024;
    let [family, prefix, from, _, table, _, _, kind, _, _, _, _, ..] = request.body else {
        return Err(Errno::INVAL);
    };
    let new = request.kind == kind::NEW_ROUTE;
    let (longest, is_v6) = match family {
        2 => (32, false),
        10 => (128, true),
        _ => return Err(Errno::OPNOTSUPP),
    };
    let number = |wanted| request.attribute(FIXED, wanted).map(|b| word(b, 0));
    let table = number(15).unwrap_or_else(|| (*table).into());
    // Several ways to one network, and routes by what sends, are not to be had.
    let plain = *from == 0 && request.attribute(FIXED, 9).is_none();
    if !plain || !matches!(table, 0 | MAIN) || *kind != UNICAST && (new || *kind != 0) {
        return Err(Errno::OPNOTSUPP);
    }
    let address = |wanted| match request.attribute(FIXED, wanted).map(ip) {
        Some(Some(ip)) if ip.is_ipv6() == is_v6 => Ok(Some(ip)),
        Some(_) => Err(Errno::INVAL),
        None => Ok(None),
    };
    let any = crate::net::inet::address::any(is_v6);
    let to = Address { ip: address(1)?.unwrap_or(any), prefix: *prefix };
    if *prefix > longest || to.network() != to.ip {
        return Err(Errno::INVAL);
    }
    let metric = number(6).filter(|metric| *metric != 0);
    let usual = if is_v6 && new { METRIC_OF_V6 } else { 0 };
    let (link, metric) = (number(4).unwrap_or(0), metric.unwrap_or(usual));
    let route = Route { to, gateway: address(5)?, link, metric, own: false };
    if !new {
        return links.remove_route(&route);
    }
    let has = |flag: u16| request.flags & flag != 0;
    let known = links.routes.iter().any(|own| own.to == to && own.metric == metric);
    if !known && !has(request_flag::CREATE) {
        return Err(Errno::NOENT);
    }
    links.add_route(route, has(request_flag::REPLACE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Credentials;

    fn ask(
        network: &Arc<Network>,
        kind: u16,
        flags: u16,
        body: &[u8],
    ) -> Option<Result<(), Errno>> {
        let mut bytes = u32::try_from(16 + body.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(body);
        let (request, _) = Request::parse(&bytes).unwrap();
        let root = Credentials::of(0, 0, Vec::new());
        let find = &|_| Err(Errno::SRCH);
        serve(&request, network, &Asker { sender: &root, opener: None, find })
    }

    #[test]
    fn the_loopback_interface_is_changed() {
        let first = Arc::new(Network::default());
        assert_eq!(ask(&first, kind::NEW_LINK, 0, &[0; 16]), Some(Err(Errno::PERM)));
        assert_eq!(ask(&first, 18, 0, &[0; 16]), None);
        let own = first.apart(&None);
        let address = [2, 8, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 127, 0, 0, 1];
        assert_eq!(ask(&own, kind::NEW_ADDRESS, 0, &address), Some(Ok(())));
        assert_eq!(ask(&own, kind::NEW_ADDRESS, 0, &address), Some(Err(Errno::EXIST)));
        let up = [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(ask(&own, kind::NEW_LINK, 0, &up), Some(Ok(())));
        assert!(own.is_own("127.0.0.1".parse().unwrap()));
        assert_eq!(ask(&own, kind::DELETE_LINK, 0, &up), Some(Err(Errno::OPNOTSUPP)));
        let other = [0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(ask(&own, kind::SET_LINK, 0, &other), Some(Err(Errno::NODEV)));
        assert_eq!(ask(&own, 24, 0, &[0; 12]), Some(Err(Errno::OPNOTSUPP)));
        let nowhere = [2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0, 8, 0, 4, 0, 9, 0, 0, 0];
        assert_eq!(ask(&own, 24, 0x400, &nowhere), Some(Err(Errno::NODEV)));
        assert_eq!(ask(&own, 25, 0, &nowhere), Some(Err(Errno::SRCH)));
        for length in 0..16 {
            assert_ne!(ask(&own, kind::NEW_ADDRESS, 0, &address[..length]), Some(Ok(())));
        }
    }
}
