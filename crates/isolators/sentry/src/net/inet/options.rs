//! Options of IP, IPv6, TCP and UDP that are numbers: their range and first value.
//!
//! Most have no effect where no packets are; they are accepted, kept and told as on
//! Linux's loopback interface.

use std::collections::BTreeMap;

use rustix::io::Errno;

/// `SOL_SOCKET`
pub const SOCKET: i32 = 1;
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
/// `IPV6_ADDRFORM`
pub const ADDRESS_FORM: i32 = 1;

/// `SO_LOCK_FILTER`
pub const LOCK_FILTER: i32 = 44;
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
/// `IP_MULTICAST_ALL`
pub const MULTICAST_ALL: i32 = 49;
/// `UDP_CORK`
pub const CORK: i32 = 1;
/// `UDP_SEGMENT`
pub const SEGMENT: i32 = 103;
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

struct Row(i32, i32, i32, Values);

/// What may be set.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// On or off: whatever is not zero is on.
    Switch,
    /// From the first to the last.
    Range(i32, i32),
    /// `TCP_LINGER2`: seconds; zero is the first value, less than that none.
    Linger,
    /// `TCP_DEFER_ACCEPT`: seconds, as those that so many repetitions take.
    Repetitions,
}

use Values::{Linger, Range, Repetitions, Switch};

const ANY: Values = Range(i32::MIN, i32::MAX);

/// Level, option, first value, what may be set.
const ROWS: &[Row] = &[
    Row(SOCKET, 1, 0, Switch),              // DEBUG
    Row(SOCKET, 11, 0, Switch),             // NO_CHECK
    Row(SOCKET, 41, 0, Switch),             // WIFI_STATUS
    Row(SOCKET, 43, 0, Switch),             // NOFCS
    Row(SOCKET, 44, 0, Switch),             // LOCK_FILTER
    Row(SOCKET, 46, 0, Range(0, i32::MAX)), // BUSY_POLL
    Row(SOCKET, 49, -1, ANY),               // INCOMING_CPU
    Row(SOCKET, 62, 0, Range(0, i32::MAX)), // BINDTOIFINDEX
    Row(SOCKET, 69, 0, Switch),             // PREFER_BUSY_POLL
    Row(IP, 1, 0, ANY),                     // TOS
    Row(IP, 2, 64, Range(-1, 255)),         // TTL
    Row(IP, 6, 0, Switch),                  // RECVOPTS
    Row(IP, 7, 0, Switch),                  // RETOPTS
    Row(IP, 8, 0, Switch),                  // PKTINFO
    Row(IP, 10, 1, Range(0, 5)),            // MTU_DISCOVER
    Row(IP, 11, 0, Switch),                 // RECVERR
    Row(IP, 12, 0, Switch),                 // RECVTTL
    Row(IP, 13, 0, Switch),                 // RECVTOS
    Row(IP, 15, 0, Switch),                 // FREEBIND
    Row(IP, 24, 0, Switch),                 // BIND_ADDRESS_NO_PORT
    Row(IP, 32, 0, ANY),                    // MULTICAST_IF
    Row(IP, 33, 1, Range(-1, 255)),         // MULTICAST_TTL
    Row(IP, 34, 1, Switch),                 // MULTICAST_LOOP
    Row(IP, 49, 1, Range(0, 1)),            // MULTICAST_ALL
    Row(IP, 20, 0, Switch),                 // RECVORIGDSTADDR
    Row(IP, 50, 0, ANY),                    // UNICAST_IF
    Row(IPV6, 16, 64, Range(-1, 255)),      // UNICAST_HOPS
    Row(IPV6, 17, 0, ANY),                  // MULTICAST_IF
    Row(IPV6, 18, 1, Range(-1, 255)),       // MULTICAST_HOPS
    Row(IPV6, 19, 1, Range(0, 1)),          // MULTICAST_LOOP
    Row(IPV6, 23, 1, Range(0, 5)),          // MTU_DISCOVER
    Row(IPV6, 24, 0, ANY),                  // MTU
    Row(IPV6, 25, 0, Switch),               // RECVERR
    Row(IPV6, 26, 0, Switch),               // V6ONLY
    Row(IPV6, 29, 1, Switch),               // MULTICAST_ALL
    Row(IPV6, 53, 0, Switch),               // RECVHOPOPTS, of which there are none
    Row(IPV6, 56, 0, Switch),               // RECVRTHDR
    Row(IPV6, 58, 0, Switch),               // RECVDSTOPTS
    Row(IPV6, 60, 0, Switch),               // RECVPATHMTU
    Row(IPV6, 70, 1, Switch),               // AUTOFLOWLABEL
    Row(IPV6, 76, 0, ANY),                  // UNICAST_IF
    Row(IPV6, 49, 0, Switch),               // RECVPKTINFO
    Row(IPV6, 51, 0, Switch),               // RECVHOPLIMIT
    Row(IPV6, 62, 0, Switch),               // DONTFRAG
    Row(IPV6, 66, 0, Switch),               // RECVTCLASS
    Row(IPV6, 67, 0, Range(-1, 255)),       // TCLASS
    Row(IPV6, 78, 0, Switch),               // FREEBIND
    Row(TCP, 1, 0, Switch),                 // NODELAY
    Row(TCP, 2, 536, Range(0, 32_767)),     // MAXSEG
    Row(TCP, 3, 0, Switch),                 // CORK
    Row(TCP, 4, 7200, Range(1, 32_767)),    // KEEPIDLE
    Row(TCP, 5, 75, Range(1, 32_767)),      // KEEPINTVL
    Row(TCP, 6, 9, Range(1, 127)),          // KEEPCNT
    Row(TCP, 7, 6, Range(1, 127)),          // SYNCNT
    Row(TCP, 8, 60, Linger),                // LINGER2
    Row(TCP, 9, 0, Repetitions),            // DEFER_ACCEPT
    Row(TCP, 10, 0, ANY),                   // WINDOW_CLAMP
    Row(TCP, 12, 1, Switch),                // QUICKACK
    Row(TCP, 16, 0, Range(0, 1)),           // THIN_LINEAR_TIMEOUTS
    Row(TCP, 18, 0, Range(0, i32::MAX)),    // USER_TIMEOUT
    Row(TCP, 23, 0, Range(0, i32::MAX)),    // FASTOPEN
    Row(TCP, 25, 0, ANY),                   // NOTSENT_LOWAT
    Row(TCP, 30, 0, Range(0, 1)),           // FASTOPEN_CONNECT
    Row(TCP, 36, 0, Range(0, 1)),           // INQ
    Row(UDP_LITE, 10, 0, Range(0, 65_535)), // SEND_CSCOV
    Row(UDP_LITE, 11, 0, Range(0, 65_535)), // RECV_CSCOV
    Row(UDP, CORK, 0, Switch),
    Row(UDP, 101, 0, Switch),           // NO_CHECK6_TX
    Row(UDP, 102, 0, Switch),           // NO_CHECK6_RX
    Row(UDP, 103, 0, Range(0, 65_535)), // SEGMENT
    Row(UDP, 104, 0, Switch),           // GRO
];

/// The seconds that as many repetitions take as are needed for so many: each waits twice as
/// long as the one before, up to two minutes.
fn repeated(seconds: i32) -> i32 {
    let (mut all, mut wait) = (i32::from(seconds > 0), 1_i32);
    for _ in 0..254 {
        if all >= seconds {
            break;
        }
        wait = (wait * 2).min(120);
        all += wait;
    }
    all
}

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
        let value = match row.3 {
            Switch => i32::from(value != 0),
            // Minus one is the first value.
            Range(-1, _) if value == -1 => row.2,
            Range(first, last) if (first..=last).contains(&value) => value,
            Range(..) => return Err(Errno::INVAL),
            Linger if value < 0 => -1,
            Linger if value == 0 => row.2,
            Linger => value.min(120),
            Repetitions => repeated(value),
        };
        self.0.insert((level, option), value);
        Ok(())
    }

    /// The value, if it was set.
    #[must_use]
    pub fn was_set(&self, level: i32, option: i32) -> Option<i32> {
        self.0.get(&(level, option)).copied()
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
    fn values_are_in_their_ranges() {
        let mut numbers = Numbers::default();
        let mut becomes = |level, option, value| {
            numbers.set(level, option, value).map(|()| numbers.get(level, option).unwrap())
        };
        assert_eq!(becomes(TCP, NO_DELAY, 5), Ok(1));
        assert_eq!(becomes(IP, 2, -1), Ok(64));
        assert_eq!(becomes(IP, 49, 2), Err(Errno::INVAL));
        assert_eq!(becomes(TCP, 8, 1000), Ok(120));
        for (wanted, told) in [(-1, 0), (0, 0), (1, 1), (2, 3), (7, 7), (8, 15), (255, 367)] {
            assert_eq!(becomes(TCP, 9, wanted), Ok(told));
        }
        assert_eq!(becomes(TCP, 9, i32::MAX), Ok(repeated(i32::MAX)));
        assert_eq!(Numbers::default().set(SOCKET, 60, 1), Err(Errno::NOPROTOOPT));
    }
}
