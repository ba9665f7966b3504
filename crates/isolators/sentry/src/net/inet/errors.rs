//! Why datagrams did not arrive, as a UDP socket is told: `IP_RECVERR`, `MSG_ERRQUEUE`.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::address;
use super::options::{IP, IPV6};

/// `SO_EE_ORIGIN_ICMP`, `SO_EE_ORIGIN_ICMP6`
const ORIGIN: [u8; 2] = [2, 3];
/// `IP_RECVERR`, `IPV6_RECVERR`
pub const OPTIONS: [(i32, i32); 2] = [(IP, 11), (IPV6, 25)];
/// What is kept for one socket.
const MOST: usize = 64;
/// Bytes of a datagram that a message of ICMP tells at most, over IPv4 and IPv6.
const TOLD: [usize; 2] = [520, 1184];

/// What a message of ICMP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Its type and code.
    pub kind: (u8, u8),
    /// What calls say.
    pub errno: Errno,
    /// Whether one that does not ask for errors is told, too, if it is connected.
    pub hard: bool,
}

impl Cause {
    /// Of a type and a code; `None` if it tells of no datagram.
    #[must_use]
    pub fn of(kind: (u8, u8), is_v6: bool) -> Option<Self> {
        let (errno, hard) = match (is_v6, kind) {
            (false, (3, code)) => match code {
                0 | 11 => (Errno::NETUNREACH, false),
                1 | 12 => (Errno::HOSTUNREACH, false),
                2 => (Errno::NOPROTOOPT, true),
                3 => (Errno::CONNREFUSED, true),
                5 => (Errno::OPNOTSUPP, false),
                6 | 9 => (Errno::NETUNREACH, true),
                7 => (Errno::HOSTDOWN, true),
                8 => (Errno::NONET, true),
                10 | 13..=15 => (Errno::HOSTUNREACH, true),
                // That it was too long concerns who looks for the way's size.
                _ => return None,
            },
            (false, (11, _)) => (Errno::HOSTUNREACH, false),
            (false, (12, _)) | (true, (4, _)) => (Errno::PROTO, true),
            (true, (1, code)) => match code {
                0 => (Errno::NETUNREACH, false),
                1 | 5 | 6 => (Errno::ACCESS, true),
                2 | 3 => (Errno::HOSTUNREACH, false),
                4 => (Errno::CONNREFUSED, true),
                _ => return None,
            },
            (true, (3, _)) => (Errno::HOSTUNREACH, false),
            _ => return None,
        };
        Some(Cause { kind, errno, hard })
    }

    /// That nobody takes it.
    #[must_use]
    pub fn refused(is_v6: bool) -> Self {
        let kind = if is_v6 { (1, 4) } else { (3, 3) };
        Cause { kind, errno: Errno::CONNREFUSED, hard: true }
    }
}

/// A datagram that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub cause: Cause,
    /// Where it was to go.
    pub to: SocketAddr,
    /// Who says so.
    pub by: IpAddr,
    /// How it began.
    pub bytes: Vec<u8>,
}

impl Lost {
    /// The control message with `struct sock_extended_err` and who says so.
    #[must_use]
    pub fn control(&self) -> Vec<u8> {
        let is_v6 = self.to.is_ipv6();
        let ((level, option), origin) = if is_v6 {
            let ([_, option], [_, origin]) = (OPTIONS, ORIGIN);
            (option, origin)
        } else {
            let ([option, _], [origin, _]) = (OPTIONS, ORIGIN);
            (option, origin)
        };
        let (kind, code) = self.cause.kind;
        let mut body = self.cause.errno.raw_os_error().to_le_bytes().to_vec();
        body.extend([origin, kind, code, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        body.extend(address::bytes(SocketAddr::new(self.by, 0), is_v6));
        let mut whole = (body.len() as u64 + 16).to_le_bytes().to_vec();
        whole.extend(level.to_le_bytes());
        whole.extend(option.to_le_bytes());
        whole.extend(body);
        whole
    }
}

/// Those of a socket.
#[derive(Debug, Default)]
pub struct Errors {
    /// Whether it asks for them, over IPv4 and IPv6.
    asks: [bool; 2],
    lost: VecDeque<Lost>,
}

impl Errors {
    /// It asks for them from now on, or no longer.
    pub fn ask(&mut self, is_v6: bool, on: bool) {
        if let Some(asks) = self.asks.get_mut(usize::from(is_v6)) {
            *asks = on;
        }
        if !on {
            self.lost.clear();
        }
    }

    /// Whether it asks.
    #[must_use]
    pub fn asks(&self, is_v6: bool) -> bool {
        self.asks.get(usize::from(is_v6)).copied().unwrap_or(false)
    }

    /// Keeps one, if there is room.
    pub fn add(&mut self, mut lost: Lost) {
        let [four, six] = TOLD;
        lost.bytes.truncate(if lost.to.is_ipv6() { six } else { four });
        if self.lost.len() < MOST {
            self.lost.push_back(lost);
        }
    }

    /// The first one, and what the next one says.
    pub fn take(&mut self) -> Option<(Lost, Option<Errno>)> {
        let first = self.lost.pop_front()?;
        Some((first, self.lost.front().map(|next| next.cause.errno)))
    }

    /// Whether there is one.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.lost.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_order_and_with_an_end() {
        let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let cause = Cause::refused(false);
        let mut errors = Errors::default();
        errors.ask(false, true);
        assert!(errors.asks(false) && !errors.asks(true));
        for number in 0..100 {
            errors.add(Lost { cause, to, by: to.ip(), bytes: vec![number; 600] });
        }
        let (first, next) = errors.take().unwrap();
        assert_eq!((first.bytes.len(), first.bytes[0], next), (520, 0, Some(Errno::CONNREFUSED)));
        assert_eq!(first.control().len(), 48);
        assert_eq!((1..200).filter(|_| errors.take().is_some()).count(), MOST - 1);
        assert_eq!(Cause::of((11, 0), false).map(|c| c.errno), Some(Errno::HOSTUNREACH));
        assert_eq!(Cause::of((0, 0), false), None);
    }
}
