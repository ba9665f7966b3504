//! Requests that change links and addresses, as rtnetlink(7) has them: those of a network's
//! loopback interface. Links of other types are not to be had, nor are routes.

use rustix::io::Errno;

use super::message::{Request, flag as request_flag, kind};
use super::{Asker, ip, link_of, word};
use crate::net::Network;
use crate::net::links::{Address, Links, flag};

/// What became of a request; `None` if it changes nothing.
pub(super) fn serve(
    request: &Request<'_>,
    network: &Network,
    who: &Asker<'_>,
) -> Option<Result<(), Errno>> {
    // Four kinds for each thing: new, delete, get, set.
    if request.kind % 4 == 2 {
        return None;
    }
    let done = who.permit_change(network).and_then(|()| match request.kind {
        kind::NEW_LINK | kind::DELETE_LINK | kind::SET_LINK => {
            network.change(|links| change_link(request, links))
        }
        kind::NEW_ADDRESS | kind::DELETE_ADDRESS => {
            network.change(|links| change_address(request, links))
        }
        _ => Err(Errno::OPNOTSUPP),
    });
    Some(done)
}

/// `struct ifinfomsg` and what comes behind it.
fn change_link(request: &Request<'_>, links: &mut Links) -> Result<(), Errno> {
    const FIXED: usize = 16;
    const MTU: u16 = 4;
    const LARGEST_MTU: u32 = 0x7fff_ffff;
    if request.body.len() < FIXED {
        return Err(Errno::INVAL);
    }
    let (wanted, mask) = (word(request.body, 8), word(request.body, 12));
    let found = match link_of(request, links) {
        Err(_) if request.kind != kind::SET_LINK => None,
        found => found?.map(|link| link.index),
    };
    let has = |flag: u16| request.kind == kind::NEW_LINK && request.flags & flag != 0;
    let Some(index) = found else {
        // There are no types of links that could be made.
        return Err(if has(request_flag::CREATE) { Errno::OPNOTSUPP } else { Errno::NODEV });
    };
    if request.kind == kind::DELETE_LINK {
        return Err(Errno::OPNOTSUPP);
    }
    if has(request_flag::EXCLUSIVE) {
        return Err(Errno::EXIST);
    }
    let link = links.of_mut(index)?;
    if let Some(mtu) = request.attribute(FIXED, MTU) {
        link.mtu = Some(word(mtu, 0)).filter(|mtu| *mtu <= LARGEST_MTU).ok_or(Errno::INVAL)?;
    }
    if wanted != 0 || mask != 0 {
        let mask = if mask == 0 { u32::MAX } else { mask };
        let flags = wanted & mask | link.flags() & !mask;
        link.set_up(flags & flag::UP != 0);
    }
    Ok(())
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
    let link = links.of_mut(word(request.body, 4))?;
    if request.kind == kind::DELETE_ADDRESS {
        return link.remove(own, prefix);
    }
    link.add(Address { ip: own, prefix }, request.flags & request_flag::REPLACE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Credentials;

    fn ask(network: &Network, kind: u16, flags: u16, body: &[u8]) -> Option<Result<(), Errno>> {
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
        let first = Network::default();
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
        for length in 0..16 {
            assert_ne!(ask(&own, kind::NEW_ADDRESS, 0, &address[..length]), Some(Ok(())));
        }
    }
}
