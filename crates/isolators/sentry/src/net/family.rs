//! Of which family a socket is, which one of `AF_INET6` need not be for good.

use std::net::SocketAddr;

use rustix::io::Errno;

use super::inet::address;
use super::inet::options::{UDP, UDP_LITE};
use super::socket::{Body, Socket};

impl Socket {
    /// `AF_*`
    #[must_use]
    pub fn family(&self) -> u16 {
        let is_v6 = match &self.body {
            Body::Tcp(tcp) => tcp.is_v6(),
            Body::Udp(udp) => udp.is_v6(),
            _ => return self.family,
        };
        if is_v6 { address::V6 } else { address::V4 }
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `ENOTCONN`; `ENOPROTOOPT` unless it is of TCP or UDP.
    pub fn remote(&self) -> Result<SocketAddr, Errno> {
        match &self.body {
            Body::Tcp(tcp) => tcp.remote(),
            Body::Udp(udp) if matches!(self.protocol, UDP | UDP_LITE) => udp.remote(),
            _ => Err(Errno::NOPROTOOPT),
        }
    }

    /// Is of `AF_INET` from now on, if it is connected by that (`IPV6_ADDRFORM`).
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`; as [`Self::remote`].
    pub fn become_v4(&self) -> Result<(), Errno> {
        if !self.remote()?.is_ipv4() {
            return Err(Errno::ADDRNOTAVAIL);
        }
        match &self.body {
            Body::Tcp(tcp) => tcp.become_v4(),
            Body::Udp(udp) => udp.become_v4(),
            _ => {}
        }
        Ok(())
    }
}
