//! Flows that the kernel tracks, and that must be looked at anew.
//!
//! The kernel redirects a flow as it did its first packet. A UDP flow has no end
//! but a pause, so one that began before a port was published, or belongs to a
//! pod that is gone, would go astray for as long as its sender sends.

use caisson_sys::netlink::{Request, attributes};
use rustix::io::Errno;

use super::Netlink;

const SUBSYSTEM: u16 = 1;
const GET: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
const NESTED: u16 = 0x8000;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_DESTINATION: u16 = 3;
const UDP: u8 = 17;
/// `AF_INET` and `AF_INET6`
const FAMILIES: [u8; 2] = [2, 10];

impl Netlink {
    /// Forgets UDP flows to any of these ports of this machine.
    pub(crate) fn forget_udp_flows(&mut self, ports: &[u16]) -> Result<(), Errno> {
        if ports.is_empty() {
            return Ok(());
        }
        for family in FAMILIES {
            let header = [family, 0, 0, 0];
            for flow in self.0.list(&Request::new(GET, &header))? {
                let original = attributes(&flow, 4).find(|(kind, _)| *kind == TUPLE_ORIGINAL);
                let Some((_, tuple)) = original else { continue };
                if !udp_port(tuple).is_some_and(|port| ports.contains(&port)) {
                    continue;
                }
                let request = Request::new(DELETE, &header);
                match self.0.change(&request.attribute(TUPLE_ORIGINAL | NESTED, tuple), 0) {
                    // It has just ended by itself.
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Where a UDP packet of this flow goes.
fn udp_port(tuple: &[u8]) -> Option<u16> {
    let (_, protocol) = attributes(tuple, 0).find(|(kind, _)| *kind == TUPLE_PROTOCOL)?;
    let find = |wanted| attributes(protocol, 0).find(|(kind, _)| *kind == wanted);
    let (_, number) = find(PROTOCOL_NUMBER)?;
    let (_, port) = find(PROTOCOL_DESTINATION)?;
    (number.first() == Some(&UDP)).then_some(u16::from_be_bytes(port.try_into().ok()?))
}
