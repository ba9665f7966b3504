//! ioctl(2) of sockets: netdevice(7).

use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use crate::syscalls::Call;
use crate::task::Caps;
use crate::task::waiter::lock;

use super::Network;
use super::inet::address;
use super::links::{Link, Links, flag};

/// `SIOCG*`, `SIOCS*`
mod request {
    pub(super) const NAME: u32 = 0x8910;
    pub(super) const LIST: u32 = 0x8912;
    pub(super) const FLAGS: u32 = 0x8913;
    pub(super) const SET_FLAGS: u32 = 0x8914;
    pub(super) const ADDRESS: u32 = 0x8915;
    pub(super) const BROADCAST: u32 = 0x8919;
    pub(super) const MASK: u32 = 0x891b;
    pub(super) const METRIC: u32 = 0x891d;
    pub(super) const MTU: u32 = 0x8921;
    pub(super) const SET_MTU: u32 = 0x8922;
    pub(super) const HARDWARE: u32 = 0x8927;
    pub(super) const INDEX: u32 = 0x8933;
    pub(super) const QUEUE: u32 = 0x8942;
}

/// `IFNAMSIZ`
const NAME: usize = 16;
/// `struct ifreq`
const REQUEST: usize = 40;

fn socket_address(ip: IpAddr) -> Vec<u8> {
    address::bytes(SocketAddr::new(ip, 0), ip.is_ipv6())
}

/// Answers a question about interfaces of a network, or puts one up or down.
///
/// # Errors
/// `ENODEV`, `EADDRNOTAVAIL`; `EPERM` for what changes one, `ENOTTY` for others.
pub fn interface(
    call: &Call<'_>,
    network: &Network,
    (request, argument): (u32, u64),
) -> Result<i64, Errno> {
    let links = network.links();
    let memory = call.memory();
    if request == request::LIST {
        return list(call, &links, argument);
    }
    // From "add a route" to "delete a multicast address": SIOCS*, SIOCADD*, SIOCDEL*.
    if !(0x890b..=0x89ff).contains(&request) {
        return Err(Errno::NOTTY);
    }
    let bytes: [u8; REQUEST] = memory.read_array(argument)?;
    let (name, value) = bytes.split_at(NAME);
    let end = name.iter().position(|b| *b == 0).unwrap_or(NAME);
    let by_name = || links.by_name(name.get(..end).unwrap_or_default()).ok_or(Errno::NODEV);
    if request == request::NAME {
        let index = value.first_chunk().copied().map_or(0, u32::from_le_bytes);
        let link = links.by_index(index).ok_or(Errno::NODEV)?;
        let mut name = link.name.clone().into_bytes();
        name.resize(NAME, 0);
        memory.write(argument, &name)?;
        return Ok(0);
    }
    let v4 = |link: &Link| link.v4().ok_or(Errno::ADDRNOTAVAIL);
    let value = match request {
        request::FLAGS => {
            let flags = by_name()?.flags() & 0xffff;
            u16::try_from(flags).unwrap_or(0).to_le_bytes().to_vec()
        }
        request::ADDRESS => socket_address(v4(by_name()?)?.ip),
        request::BROADCAST => {
            let link = by_name()?;
            let all = v4(link)?.broadcast().filter(|_| !link.loopback);
            socket_address(all.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED).into())
        }
        request::MASK => socket_address(v4(by_name()?)?.mask().into()),
        request::METRIC => by_name().map(|_| vec![0; 4])?,
        request::MTU => by_name()?.mtu.to_le_bytes().to_vec(),
        request::QUEUE => by_name().map(|_| 1000_u32.to_le_bytes().to_vec())?,
        request::INDEX => by_name()?.index.to_le_bytes().to_vec(),
        request::HARDWARE => {
            let link = by_name()?;
            let kind: u16 = if link.loopback { 772 } else { 1 };
            [&kind.to_le_bytes()[..], &link.hardware, &[0; 8]].concat()
        }
        request::SET_FLAGS => {
            let up = value.first().is_some_and(|flags| u32::from(*flags) & flag::UP != 0);
            let link = by_name()?;
            let who = lock(&call.thread.credentials).clone();
            if link.up == up {
                who.require_in(&network.owner, Caps::NET_ADMIN)?;
            } else {
                network.permit_change(&who)?;
                let index = link.index;
                network.change(|links| links.set_up(index, up))?;
            }
            return Ok(0);
        }
        request::SET_MTU => {
            network.permit_change(&lock(&call.thread.credentials))?;
            let mtu = value.first_chunk().copied().map_or(0, u32::from_le_bytes);
            let index = by_name()?.index;
            network.change(|links| links.of_mut(index)?.set_mtu(mtu))?;
            return Ok(0);
        }
        0x8914..=0x8924 | 0x890b..=0x890c => return Err(Errno::PERM),
        _ => return Err(Errno::NOTTY),
    };
    memory.write(argument.wrapping_add(NAME as u64), &value)?;
    Ok(0)
}

/// `SIOCGIFCONF`: addresses of IPv4, or how much room they need.
fn list(call: &Call<'_>, links: &Links, argument: u64) -> Result<i64, Errno> {
    let memory = call.memory();
    let room = usize::try_from(memory.read_u32(argument)?.cast_signed()).unwrap_or(0);
    let to = memory.read_u64(argument.wrapping_add(8))?;
    let mut bytes = Vec::new();
    for link in &links.links {
        for address in link.addresses.iter().filter(|a| a.ip.is_ipv4()) {
            if to != 0 && bytes.len() + REQUEST > room {
                break;
            }
            let start = bytes.len();
            bytes.extend_from_slice(link.name.as_bytes());
            bytes.resize(start + NAME, 0);
            bytes.extend_from_slice(&socket_address(address.ip));
            bytes.resize(start + REQUEST, 0);
        }
    }
    if to != 0 {
        memory.write(to, &bytes)?;
    }
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    memory.write(argument, &length.to_le_bytes())?;
    Ok(0)
}
