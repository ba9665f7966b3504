//! Options of IP, IPv6, TCP and UDP that are numbers: their range and first value.
//!
//! Most have no effect where no packets are; they are accepted, kept and told as on
//! Linux's loopback interface.

use std::collections::BTreeMap;

use rustix::io::Errno;

/// `IPPROTO_IP`
pub const IP: i32 = 0;
/// `IPPROTO_TCP`
pub const TCP: i32 = 6;
/// `IPPROTO_UDP`
pub const UDP: i32 = 17;
/// `IPPROTO_UDPLITE`
pub const UDP_LITE: i32 = 136;
/// `IPPROTO_IPV6`
pub const IPV6: i32 = 41;

/// `TCP_NODELAY`
pub const NO_DELAY: i32 = 1;
/// `TCP_KEEPIDLE`
pub const KEEP_IDLE: i32 = 4;
/// `TCP_KEEPINTVL`
pub const KEEP_INTERVAL: i32 = 5;
/// `TCP_KEEPCNT`
pub const KEEP_COUNT: i32 = 6;
/// `TCP_SYNCNT`
pub const SYN_COUNT: i32 = 7;
/// `TCP_USER_TIMEOUT`
pub const USER_TIMEOUT: i32 = 18;
/// `TCP_INFO`
pub const INFO: i32 = 11;
/// `TCP_CONGESTION`
pub const CONGESTION: i32 = 13;
/// `IP_PKTINFO`
pub const PACKET_INFO: i32 = 8;
/// `IP_MULTICAST_IF`
pub const MULTICAST_INTERFACE: i32 = 32;
/// `IP_ADD_MEMBERSHIP`
pub const JOIN: i32 = 35;
/// `IP_DROP_MEMBERSHIP`
pub const LEAVE: i32 = 36;
/// `IPV6_JOIN_GROUP`
pub const JOIN6: i32 = 20;
/// `IPV6_LEAVE_GROUP`
pub const LEAVE6: i32 = 21;
/// `IPV6_V6ONLY`
pub const ONLY_V6: i32 = 26;
/// `IPV6_RECVPKTINFO`
pub const RECEIVE_PACKET_INFO6: i32 = 49;

struct Row(i32, i32, i32, std::ops::RangeInclusive<i32>);

const BOOL: std::ops::RangeInclusive<i32> = 0..=1;
const ANY: std::ops::RangeInclusive<i32> = i32::MIN..=i32::MAX;

/// Level, option, first value, what may be set. Of those that are on or off, whatever
/// is not zero is on.
const ROWS: &[Row] = &[
    Row(IP, 1, 0, 0..=255),           // TOS
    Row(IP, 2, 64, -1..=255),         // TTL
    Row(IP, 6, 0, BOOL),              // RECVOPTS
    Row(IP, 7, 0, BOOL),              // RETOPTS
    Row(IP, 8, 0, BOOL),              // PKTINFO
    Row(IP, 10, 1, 0..=5),            // MTU_DISCOVER
    Row(IP, 11, 0, BOOL),             // RECVERR
    Row(IP, 12, 0, BOOL),             // RECVTTL
    Row(IP, 13, 0, BOOL),             // RECVTOS
    Row(IP, 15, 0, BOOL),             // FREEBIND
    Row(IP, 24, 0, BOOL),             // BIND_ADDRESS_NO_PORT
    Row(IP, 33, 1, -1..=255),         // MULTICAST_TTL
    Row(IP, 34, 1, BOOL),             // MULTICAST_LOOP
    Row(IP, 49, 1, BOOL),             // MULTICAST_ALL
    Row(IP, 50, 0, ANY),              // UNICAST_IF
    Row(IPV6, 16, 64, -1..=255),      // UNICAST_HOPS
    Row(IPV6, 17, 0, ANY),            // MULTICAST_IF
    Row(IPV6, 18, 1, -1..=255),       // MULTICAST_HOPS
    Row(IPV6, 19, 1, BOOL),           // MULTICAST_LOOP
    Row(IPV6, 23, 1, 0..=5),          // MTU_DISCOVER
    Row(IPV6, 24, 0, ANY),            // MTU
    Row(IPV6, 25, 0, BOOL),           // RECVERR
    Row(IPV6, 26, 0, BOOL),           // V6ONLY
    Row(IPV6, 49, 0, BOOL),           // RECVPKTINFO
    Row(IPV6, 51, 0, BOOL),           // RECVHOPLIMIT
    Row(IPV6, 62, 0, BOOL),           // DONTFRAG
    Row(IPV6, 66, 0, BOOL),           // RECVTCLASS
    Row(IPV6, 67, 0, -1..=255),       // TCLASS
    Row(IPV6, 78, 0, BOOL),           // FREEBIND
    Row(TCP, 1, 0, BOOL),             // NODELAY
    Row(TCP, 2, 536, 0..=32_767),     // MAXSEG
    Row(TCP, 3, 0, BOOL),             // CORK
    Row(TCP, 4, 7200, 1..=32_767),    // KEEPIDLE
    Row(TCP, 5, 75, 1..=32_767),      // KEEPINTVL
    Row(TCP, 6, 9, 1..=127),          // KEEPCNT
    Row(TCP, 7, 6, 1..=127),          // SYNCNT
    Row(TCP, 8, 60, ANY),             // LINGER2
    Row(TCP, 9, 0, ANY),              // DEFER_ACCEPT
    Row(TCP, 10, 0, ANY),             // WINDOW_CLAMP
    Row(TCP, 12, 1, BOOL),            // QUICKACK
    Row(TCP, 18, 0, 0..=i32::MAX),    // USER_TIMEOUT
    Row(TCP, 23, 0, 0..=i32::MAX),    // FASTOPEN
    Row(TCP, 25, 0, ANY),             // NOTSENT_LOWAT
    Row(TCP, 30, 0, BOOL),            // FASTOPEN_CONNECT
    Row(TCP, 36, 0, BOOL),            // INQ
    Row(UDP_LITE, 10, 0, 0..=65_535), // SEND_CSCOV
    Row(UDP_LITE, 11, 0, 0..=65_535), // RECV_CSCOV
    Row(UDP, 1, 0, BOOL),             // CORK
    Row(UDP, 104, 0, BOOL),           // GRO
];

/// What was set, by level and option.
#[derive(Clone, Debug, Default)]
pub struct Numbers(BTreeMap<(i32, i32), i32>);

impl Numbers {
    fn row(level: i32, option: i32) -> Result<&'static Row, Errno> {
        let row = ROWS.iter().find(|r| r.0 == level && r.1 == option);
        row.ok_or(Errno::NOPROTOOPT)
    }

    /// The value of an option.
    ///
    /// # Errors
    /// `ENOPROTOOPT`
    pub fn get(&self, level: i32, option: i32) -> Result<i32, Errno> {
        let row = Self::row(level, option)?;
        Ok(self.0.get(&(level, option)).copied().unwrap_or(row.2))
    }

    /// Sets it.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `EINVAL`
    pub fn set(&mut self, level: i32, option: i32, value: i32) -> Result<(), Errno> {
        let row = Self::row(level, option)?;
        let value = if row.3 == BOOL { i32::from(value != 0) } else { value };
        if !row.3.contains(&value) {
            return Err(Errno::INVAL);
        }
        // Minus one is the first value.
        let value = if value == -1 && row.3.start() == &-1 { row.2 } else { value };
        self.0.insert((level, option), value);
        Ok(())
    }

    /// Whether one that can be on or off is on.
    #[must_use]
    pub fn is_on(&self, level: i32, option: i32) -> bool {
        self.get(level, option).is_ok_and(|v| v != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_have_no_effect_is_refused() {
        // UDP_SEGMENT: whoever relies on it would send too long datagrams.
        assert_eq!(Numbers::default().set(UDP, 103, 1200), Err(Errno::NOPROTOOPT));
        assert_eq!(Numbers::default().set(TCP, NO_DELAY, 5), Ok(()));
    }
}
