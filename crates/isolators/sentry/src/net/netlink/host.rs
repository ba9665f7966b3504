//! What the host's kernel says of the network namespace that this process is in. Used
//! before the wall goes up.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use crate::net::links::{Address, Kind, Link, Links, Route};

use super::message::{Request, flag, kind};
use super::{ip, note, word};

/// A way to ask it.
pub struct Host(OwnedFd);

/// A name, without its end mark.
fn text(bytes: &[u8]) -> String {
    let name = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    String::from_utf8_lossy(name).into_owned()
}

/// Adds an attribute to a message.
fn put(body: &mut Vec<u8>, kind: u16, value: &[u8]) -> Result<(), Errno> {
    let length = u16::try_from(value.len() + 4).map_err(|_| Errno::INVAL)?;
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(&kind.to_le_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
    Ok(())
}

impl Host {
    /// In the present namespace.
    ///
    /// # Errors
    /// What the host says.
    pub fn new() -> Result<Self, Errno> {
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        socket_with(family, kind, SocketFlags::CLOEXEC, None).map(Host)
    }

    /// Asks, and runs `each` on the answers.
    fn ask(
        &self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut each: impl FnMut(&Request<'_>),
    ) -> Result<(), Errno> {
        let length = u32::try_from(16 + body.len()).map_err(|_| Errno::INVAL)?;
        let mut request = length.to_le_bytes().to_vec();
        request.extend_from_slice(&kind.to_le_bytes());
        request.extend_from_slice(&(flag::REQUEST | flags).to_le_bytes());
        request.extend_from_slice(&[0; 8]);
        request.extend_from_slice(body);
        send(&self.0, &request, SendFlags::empty())?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let (length, _) = recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((answer, after)) = Request::parse(rest) {
                rest = after;
                match answer.kind {
                    kind::DONE => return Ok(()),
                    kind::ERROR => {
                        let errno = word(answer.body, 0).cast_signed();
                        return if errno == 0 {
                            Ok(())
                        } else {
                            Err(Errno::from_raw_os_error(-errno))
                        };
                    }
                    _ => each(&answer),
                }
            }
        }
    }

    /// Interfaces of Ethernet that are up, with their addresses and routes, behind the
    /// loopback interface. One that a sandbox took over has what was noted then.
    ///
    /// # Errors
    /// What the host says.
    pub fn links(&self) -> Result<Links, Errno> {
        const ETHERNET: u16 = 1;
        const UP: u32 = 1;
        let (mut links, mut aliases) = (Links::default(), Vec::new());
        self.ask(kind::GET_LINK, flag::DUMP, &[0; 16], |answer| {
            let hardware = answer.body.get(2..4).and_then(|b| b.try_into().ok());
            let ethernet = hardware.map(u16::from_le_bytes) == Some(ETHERNET);
            if answer.kind != kind::NEW_LINK || !ethernet || word(answer.body, 8) & UP == 0 {
                return;
            }
            let attribute = |wanted| answer.attribute(16, wanted).unwrap_or_default();
            let index = word(answer.body, 4);
            aliases.push((index, text(attribute(20))));
            links.links.push(Link {
                index,
                name: text(attribute(3)),
                mtu: word(attribute(4), 0),
                hardware: attribute(1).try_into().unwrap_or_default(),
                loopback: false,
                up: true,
                addresses: Vec::new(),
                kind: Kind::Plain,
            });
        })?;
        self.ask(kind::GET_ADDRESS, flag::DUMP, &[0; 8], |answer| {
            let index = word(answer.body, 4);
            let found = links.links.iter_mut().find(|l| l.index == index && !l.loopback);
            // The own address, where it differs from that of the other end.
            let own = answer.attribute(8, 2).or_else(|| answer.attribute(8, 1)).and_then(ip);
            let prefix = answer.body.get(1).copied().unwrap_or(0);
            if let (kind::NEW_ADDRESS, Some(link), Some(ip)) = (answer.kind, found, own) {
                link.addresses.push(Address { ip, prefix });
            }
        })?;
        self.ask(kind::GET_ROUTE, flag::DUMP, &[0; 12], |answer| {
            const MAIN: u8 = 254;
            const UNICAST: u8 = 1;
            let [family, prefix, _, _, table, _, _, kind, ..] = answer.body else { return };
            let link = answer.attribute(12, 4).map_or(0, |b| word(b, 0));
            let known = links.by_index(link).is_some_and(|l| !l.loopback);
            if answer.kind != kind::NEW_ROUTE || (*table, *kind) != (MAIN, UNICAST) || !known {
                return;
            }
            let any = super::super::inet::address::any(*family == 10);
            let to = answer.attribute(12, 1).and_then(ip).unwrap_or(any);
            let gateway = answer.attribute(12, 5).and_then(ip);
            let metric = answer.attribute(12, 6).map_or(0, |b| word(b, 0));
            links.routes.push(Route {
                to: Address { ip: to, prefix: *prefix },
                gateway,
                link,
                metric,
                own: gateway.is_none(),
            });
        })?;
        for (index, alias) in aliases {
            let taken = |l: &&mut Link| l.index == index && l.addresses.is_empty();
            if let Some(link) = links.links.iter_mut().find(taken)
                && let Some((addresses, routes)) = note::read(&alias, index)
            {
                link.addresses = addresses;
                links.routes.extend(routes);
            }
        }
        Ok(links)
    }

    /// Notes what an interface has, for who comes after. Where that is too long for
    /// a note, who comes after finds nothing.
    ///
    /// # Errors
    /// What the host says.
    pub fn note(&self, link: &Link, links: &Links) -> Result<(), Errno> {
        let Some(note) = note::write(link, links) else { return Ok(()) };
        let mut body = vec![0; 16];
        if let Some(index) = body.get_mut(4..8) {
            index.copy_from_slice(&link.index.to_le_bytes());
        }
        // IFLA_IFALIAS
        put(&mut body, 20, note.as_bytes())?;
        self.ask(kind::SET_LINK, flag::ACKNOWLEDGE, &body, |_| {})
    }

    /// Takes the addresses off an interface, so that the host's kernel does not answer
    /// in the sandbox's place.
    ///
    /// # Errors
    /// What the host says.
    pub fn take_addresses(&self, link: &Link) -> Result<(), Errno> {
        for address in &link.addresses {
            let (family, octets) = match address.ip {
                IpAddr::V4(ip) => (2, ip.octets().to_vec()),
                IpAddr::V6(ip) => (10, ip.octets().to_vec()),
            };
            let mut body = vec![family, address.prefix, 0, 0];
            body.extend_from_slice(&link.index.to_le_bytes());
            // IFA_LOCAL
            put(&mut body, 2, &octets)?;
            match self.ask(kind::DELETE_ADDRESS, flag::ACKNOWLEDGE, &body, |_| {}) {
                // It is only noted, or went with another one of its network.
                Ok(()) | Err(Errno::ADDRNOTAVAIL) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
