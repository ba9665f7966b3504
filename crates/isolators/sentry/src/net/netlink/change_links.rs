//! Requests that make, change, move and delete links.

use std::sync::Arc;

use rustix::io::Errno;

use super::message::{Request, attribute, flag as request_flag, kind};
use super::{Asker, Named, link_of, word};
use crate::net::Network;
use crate::net::links::{Kind, Link, flag};
use crate::net::pair::{End, changing, check_name, new_link};

/// Bytes of `struct ifinfomsg`.
const FIXED: usize = 16;

/// `IFLA_*`
mod of {
    pub(super) const HARDWARE: u16 = 1;
    pub(super) const NAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const INFO: u16 = 18;
    pub(super) const PROCESS: u16 = 19;
    pub(super) const NETWORK: u16 = 28;
    /// `IFLA_INFO_KIND`, `IFLA_INFO_DATA`
    pub(super) const KIND: u16 = 1;
    pub(super) const DATA: u16 = 2;
    /// `VETH_INFO_PEER`
    pub(super) const PEER: u16 = 1;
}

fn text(value: &[u8]) -> &[u8] {
    value.split(|b| *b == 0).next().unwrap_or_default()
}

/// The link that a request is about.
fn found(request: &Request<'_>, network: &Network) -> Result<Option<u32>, Errno> {
    if request.body.len() < FIXED {
        return Err(Errno::INVAL);
    }
    link_of(request, &network.links()).map(|link| link.map(|link| link.index))
}

/// The network that attributes name, in which the sender may change links.
fn network_of(attributes: &[u8], who: &Asker<'_>) -> Result<Option<Arc<Network>>, Errno> {
    let Some(named) = Named::of(attributes, of::PROCESS, of::NETWORK) else { return Ok(None) };
    let network = (who.find)(named)?;
    who.permit_change(&network)?;
    Ok(Some(network))
}

pub(super) fn delete(request: &Request<'_>, network: &Network) -> Result<(), Errno> {
    network.delete_link(found(request, network)?.ok_or(Errno::NODEV)?)
}

/// Whether a request asks for a link to be up, or down, and no more, and it is.
pub(super) fn is_same(request: &Request<'_>, network: &Network) -> bool {
    if !matches!(request.kind, kind::NEW_LINK | kind::SET_LINK) || request.body.len() != FIXED {
        return false;
    }
    let (wanted, which) = (word(request.body, 8), word(request.body, 12));
    let links = network.links();
    let link = link_of(request, &links).ok().flatten();
    which == flag::UP && link.is_some_and(|link| link.up == (wanted & flag::UP != 0))
}

/// `RTM_NEWLINK`, `RTM_SETLINK`
pub(super) fn set(
    request: &Request<'_>,
    network: &Arc<Network>,
    who: &Asker<'_>,
) -> Result<(), Errno> {
    let new = request.kind == kind::NEW_LINK;
    let has = |flag: u16| new && request.flags & flag != 0;
    let index = match found(request, network) {
        Err(Errno::INVAL) if new && request.body.len() >= FIXED => None,
        other => other?,
    };
    let Some(mut index) = index else {
        let creates = has(request_flag::CREATE);
        return if creates { make(request, network, who) } else { Err(Errno::NODEV) };
    };
    if has(request_flag::EXCLUSIVE) {
        return Err(Errno::EXIST);
    }
    let attributes = request.body.get(FIXED..).unwrap_or_default();
    let mut network = Arc::clone(network);
    if let Some(to) = network_of(attributes, who)? {
        let name = attribute(attributes, of::NAME).map(text).map(check_name).transpose()?;
        index = network.move_link(index, &to, name)?;
        network = to;
    }
    network.change(|links| {
        if let Some(name) = attribute(attributes, of::NAME).map(text)
            && links.by_index(index).is_some_and(|link| link.name.as_bytes() != name)
        {
            let name = check_name(name)?;
            if links.by_name(name.as_bytes()).is_some() {
                return Err(Errno::EXIST);
            }
            links.of_mut(index)?.name = name;
        }
        adjust(links.of_mut(index)?, attributes)?;
        let (wanted, mask) = (word(request.body, 8), word(request.body, 12));
        if mask & flag::UP != 0 || mask == 0 && wanted != 0 {
            links.set_up(index, wanted & flag::UP != 0)?;
        }
        Ok(())
    })
}

/// Largest packet and hardware address.
fn adjust(link: &mut Link, attributes: &[u8]) -> Result<(), Errno> {
    if let Some(mtu) = attribute(attributes, of::MTU) {
        link.set_mtu(word(mtu, 0))?;
    }
    if let Some(address) = attribute(attributes, of::HARDWARE).filter(|_| !link.loopback) {
        let address: [u8; 6] = address.try_into().map_err(|_| Errno::INVAL)?;
        if address == [0; 6] || address.first().is_some_and(|first| first & 1 != 0) {
            return Err(Errno::ADDRNOTAVAIL);
        }
        link.hardware = address;
    }
    Ok(())
}

/// A link as attributes ask for it.
fn made(attributes: &[u8], kind: (Kind, &str), network: &Network) -> Result<Link, Errno> {
    let name = match attribute(attributes, of::NAME).map(text) {
        Some(name) if name.ends_with(b"%d") => {
            let prefix = check_name(name.get(..name.len() - 2).unwrap_or_default())?;
            check_name(network.links().free_name(&prefix).as_bytes())?
        }
        Some(name) => check_name(name)?,
        None => network.links().free_name(kind.1),
    };
    let mut link = new_link(name, kind.0)?;
    adjust(&mut link, attributes)?;
    Ok(link)
}

fn make(request: &Request<'_>, network: &Arc<Network>, who: &Asker<'_>) -> Result<(), Errno> {
    let attributes = request.body.get(FIXED..).unwrap_or_default();
    let info = attribute(attributes, of::INFO).unwrap_or_default();
    let wanted = attribute(info, of::KIND).map(text).unwrap_or_default();
    let own = network_of(attributes, who)?.unwrap_or_else(|| Arc::clone(network));
    let ups = |up: u32, network: &Network, index: u32| {
        let up = up & flag::UP != 0;
        network.change(|links| links.set_up(index, up))
    };
    match wanted {
        b"dummy" => {
            let _changing = changing();
            let index = own.add_link(made(attributes, (Kind::Dummy, "dummy"), &own)?)?;
            ups(word(request.body, 8), &own, index)
        }
        b"veth" => {
            let peer = attribute(info, of::DATA).and_then(|data| attribute(data, of::PEER));
            let (head, rest) = match peer {
                Some(peer) => peer.split_at_checked(FIXED).ok_or(Errno::INVAL)?,
                None => (&[][..], &[][..]),
            };
            let there = network_of(rest, who)?.unwrap_or_else(|| Arc::clone(network));
            let _changing = changing();
            let [first, second] = End::two()?;
            let away = Kind::Pair(second.clone());
            // Neither is taken for lost before both are there.
            first.stand(&own, 0);
            second.stand(&there, 0);
            let other = there.add_link(made(rest, (Kind::Pair(second), "veth"), &there)?)?;
            let link = made(attributes, (Kind::Pair(first), "veth"), &own);
            let added = link.and_then(|link| own.add_link(link));
            let index = added.inspect_err(|_| {
                let _ = there.forget_link(other, &away);
            })?;
            ups(word(head, 8), &there, other)?;
            ups(word(request.body, 8), &own, index)
        }
        _ => Err(Errno::OPNOTSUPP),
    }
}
