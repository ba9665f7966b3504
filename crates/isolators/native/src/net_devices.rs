//! `linux.netDevices`: moving network devices into the container
//! (config-linux.md, "Network Devices").
//!
//! They are not brought back: when the namespace ends, the kernel returns
//! physical devices to the initial one and destroys virtual ones.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use caisson_runtime_spec::NetDevice;
use caisson_sys::netlink::{Netlink, Request, attributes, u32_at};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netlink::{GET_ADDRESS, GET_LINK, NEW_ADDRESS, NEW_LINK};
use crate::step::{Cause as _, Context, StepError};

/// `struct ifinfomsg` and `struct ifaddrmsg`, in bytes.
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_NEW_IFINDEX: u16 = 49;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;

const NLM_F_EXCL_CREATE: u16 = 0x600;
const IFF_UP: u32 = 1;
const IFA_F_PERMANENT: u32 = 0x80;
/// `IFA_F_{NODAD,HOMEADDRESS,MANAGETEMPADDR,NOPREFIXROUTE,MCAUTOJOIN}`: what
/// somebody chose for an address; the others are its state.
const IFA_F_CHOSEN: u32 = 0x02 | 0x10 | 0x100 | 0x200 | 0x400;
const RT_SCOPE_UNIVERSE: u8 = 0;

/// A device that may be moved.
struct Plan<'a> {
    name: &'a str,
    wanted: &'a str,
    index: u32,
    addresses: Vec<Vec<u8>>,
}

/// Moves every device into the network namespace of `pid`, renamed if asked,
/// with its permanent global addresses, and brings it up. Nothing is moved
/// unless all can be found and have free names.
pub(crate) fn move_all(devices: &BTreeMap<String, NetDevice>, pid: i32) -> Result<(), StepError> {
    if devices.is_empty() {
        return Ok(());
    }
    let namespace = open_namespace(&format!("/proc/{pid}/ns/net"))?;
    let own = open_namespace("/proc/self/ns/net")?;
    let inode = |fd: &OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    if inode(&namespace) == inode(&own) {
        return Err(StepError::new(
            "config.json: linux.netDevices",
            "the container has no network namespace of its own to move them to",
        ));
    }
    let mut host = Netlink::route().context(|| "open a netlink socket")?;
    let mut inside = open_in(&namespace, &own)?;
    let mut taken = links(&mut inside)?;
    let addresses = host
        .list(&Request::new(GET_ADDRESS, &[0; ADDRESS_HEADER]))
        .context(|| "list the host's network addresses")?;
    let mut plans = Vec::with_capacity(devices.len());
    for (name, device) in devices {
        plans.push(plan(&mut host, name, device, &taken, &addresses)?);
    }
    for plan in &plans {
        let index = move_one(&mut host, &mut inside, plan, &namespace, &taken)
            .context(|| format!("move network device {:?} into the container", plan.name))?;
        taken.push((index, plan.wanted.to_owned()));
    }
    Ok(())
}

fn open_namespace(path: &str) -> Result<OwnedFd, StepError> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("open network namespace {path}"))
}

/// A socket stays in the namespace in which it was made.
fn open_in(namespace: &OwnedFd, own: &OwnedFd) -> Result<Netlink, StepError> {
    let enter =
        |fd: &OwnedFd| move_into_link_name_space(fd.as_fd(), Some(LinkNameSpaceType::Network));
    enter(namespace).context(|| "enter the container's network namespace")?;
    let socket = Netlink::route();
    enter(own).context(|| "return to the runtime's network namespace")?;
    socket.context(|| "open a netlink socket in the container's network namespace")
}

/// Index and name of every link.
fn links(netlink: &mut Netlink) -> Result<Vec<(u32, String)>, StepError> {
    let step = || "list the container's network devices";
    let all = netlink.list(&Request::new(GET_LINK, &[0; LINK_HEADER])).context(step)?;
    let link = |body: &Vec<u8>| {
        let name = attributes(body, LINK_HEADER).find(|(kind, _)| *kind == IFLA_IFNAME)?.1;
        let name = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name));
        Some((u32_at(body, 4)?, name.into_owned()))
    };
    Ok(all.iter().filter_map(link).collect())
}

fn plan<'a>(
    host: &mut Netlink,
    name: &'a str,
    device: &'a NetDevice,
    taken: &[(u32, String)],
    addresses: &[Vec<u8>],
) -> Result<Plan<'a>, StepError> {
    let step = || format!("move network device {name:?} into the container");
    let by_name = Request::new(GET_LINK, &[0; LINK_HEADER]).attribute(IFLA_IFNAME, &c_name(name));
    let link = host.get(&by_name).map_err(|error| match error {
        Errno::NODEV => "the host has no device of this name".to_owned(),
        other => other.cause(),
    });
    let link = link.context(step)?;
    let index = u32_at(&link, 4).ok_or("the kernel did not name its index").context(step)?;
    let wanted = device.name.as_deref().unwrap_or(name);
    // With %d the kernel finds a free name.
    if !wanted.contains("%d") && taken.iter().any(|(_, other)| other == wanted) {
        let cause = format!("a device named {wanted:?} is in its network namespace already");
        return Err(StepError::new(step(), cause));
    }
    // Read now: IPv6 addresses don't survive the device's going down.
    let addresses = addresses.iter().filter_map(|address| kept_address(address, index)).collect();
    Ok(Plan { name, wanted, index, addresses })
}

fn c_name(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

/// The message body that makes this address again, but for the index, if it is
/// the device's and to be kept.
fn kept_address(address: &[u8], index: u32) -> Option<Vec<u8>> {
    let [family, prefix, short_flags, scope, ..] = *address else { return None };
    let attribute = |wanted| attributes(address, ADDRESS_HEADER).find(|(kind, _)| *kind == wanted);
    let long_flags = attribute(IFA_FLAGS).and_then(|(_, value)| u32_at(value, 0));
    let flags = long_flags.unwrap_or(u32::from(short_flags));
    if u32_at(address, 4)? != index || scope != RT_SCOPE_UNIVERSE || flags & IFA_F_PERMANENT == 0 {
        return None;
    }
    let mut body = Vec::from([family, prefix, 0, scope, 0, 0, 0, 0]);
    let chosen = flags & IFA_F_CHOSEN;
    let mut copied = Request::new(NEW_ADDRESS, &[]).attribute(IFA_FLAGS, &chosen.to_ne_bytes());
    for kind in [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_RT_PRIORITY] {
        if let Some((_, value)) = attribute(kind) {
            copied = copied.attribute(kind, value);
        }
    }
    body.extend(copied.into_body());
    Some(body)
}

fn link_header(index: u32, flags: u32, change: u32) -> [u8; LINK_HEADER] {
    let mut header = [0; LINK_HEADER];
    let fields = [index, flags, change].map(u32::to_ne_bytes);
    for (to, from) in header.iter_mut().skip(4).zip(fields.as_flattened()) {
        *to = *from;
    }
    header
}

/// Moves and renames in one step; returns the device's index inside.
fn move_one(
    host: &mut Netlink,
    inside: &mut Netlink,
    plan: &Plan<'_>,
    namespace: &OwnedFd,
    taken: &[(u32, String)],
) -> Result<u32, StepError> {
    let is_taken = taken.iter().any(|(index, _)| *index == plan.index);
    let highest = taken.iter().map(|(index, _)| *index).max().unwrap_or(0);
    // Said aloud, so that the device is found whatever its name becomes.
    let index = if is_taken { highest.saturating_add(1) } else { plan.index };
    let request = Request::new(NEW_LINK, &link_header(plan.index, 0, 0))
        .attribute(IFLA_IFNAME, &c_name(plan.wanted))
        .attribute(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes())
        .attribute(IFLA_NEW_IFINDEX, &index.to_ne_bytes());
    host.change(&request, 0)
        .map_err(|error| match error {
            Errno::INVAL => {
                "the kernel does not let this kind of device leave its network namespace, \
                         or refuses its new name"
                    .to_owned()
            }
            other => other.cause(),
        })
        .context(|| format!("as {:?}", plan.wanted))?;
    for address in &plan.addresses {
        let mut body = address.clone();
        for (to, from) in body.iter_mut().skip(4).zip(index.to_ne_bytes()) {
            *to = from;
        }
        match inside.change(&Request::new(NEW_ADDRESS, &body), NLM_F_EXCL_CREATE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).context(|| "give back one of its addresses"),
        }
    }
    let up = Request::new(NEW_LINK, &link_header(index, IFF_UP, IFF_UP));
    inside.change(&up, 0).context(|| "bring it up")?;
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(index: u32, scope: u8, flags: u32) -> Vec<u8> {
        let mut body = Vec::from([2, 24, 0, scope]);
        body.extend(index.to_ne_bytes());
        let attributes = Request::new(NEW_ADDRESS, &[])
            .attribute(IFA_LOCAL, &[10, 0, 0, 1])
            .attribute(IFA_FLAGS, &flags.to_ne_bytes())
            .attribute(3, b"eth0\0");
        body.extend(attributes.into_body());
        body
    }

    #[test]
    fn only_permanent_global_addresses_of_the_device_are_kept() {
        assert!(kept_address(&address(7, 0, IFA_F_PERMANENT), 7).is_some());
        assert!(kept_address(&address(8, 0, IFA_F_PERMANENT), 7).is_none());
        assert!(kept_address(&address(7, 253, IFA_F_PERMANENT), 7).is_none());
        assert!(kept_address(&address(7, 0, 0), 7).is_none());
        assert!(kept_address(&[2, 24, 0], 7).is_none());
    }

    #[test]
    fn labels_and_state_do_not_travel() {
        let kept = kept_address(&address(7, 0, IFA_F_PERMANENT | 0x200), 7).unwrap();
        let all: Vec<_> = attributes(&kept, ADDRESS_HEADER).collect();
        assert_eq!(
            all,
            [(IFA_FLAGS, &0x200_u32.to_ne_bytes()[..]), (IFA_LOCAL, &[10, 0, 0, 1][..])]
        );
    }
}
