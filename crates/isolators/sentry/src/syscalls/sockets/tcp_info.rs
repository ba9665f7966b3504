//! `TCP_INFO`: what is known of a connection. What counts packets is zero, as connections on this
//! machine have none, and the stack counts none.

use std::time::Duration;

use crate::net::{Socket, Tcp};

/// Bytes of `struct tcp_info` of Linux 6.1.
const SIZE: usize = 232;
/// Where 32-bit words are, in bytes.
mod word {
    pub(super) const RESEND_TIME: usize = 8;
    pub(super) const SEND_SIZE: usize = 16;
    pub(super) const RECEIVE_SIZE: usize = 20;
    pub(super) const UNCONFIRMED: usize = 24;
    pub(super) const SELECTIVELY: usize = 28;
    pub(super) const PATH_SIZE: usize = 60;
    pub(super) const ROUND_TRIP: usize = 68;
    pub(super) const VARIES: usize = 72;
    pub(super) const SLOW_START: usize = 76;
    pub(super) const WINDOW: usize = 80;
    pub(super) const OWN_SIZE: usize = 84;
    pub(super) const REORDERED: usize = 88;
    pub(super) const NOT_SENT: usize = 144;
    pub(super) const LEAST_ROUND_TRIP: usize = 148;
}
/// Where 64-bit words are.
mod long {
    pub(super) const MOST_PACE: usize = 112;
    pub(super) const CONFIRMED: usize = 120;
    pub(super) const RECEIVED: usize = 128;
    pub(super) const SENT: usize = 200;
}
/// `tcpi_options`: selective confirmation, scaled windows; stamps.
const OPTIONS: u8 = 6;
const STAMPS: u8 = 1;

/// How much of a connection's data a packet has, and how long packets are: on this machine as
/// its loopback interface would have it, with stamps.
fn sizes(socket: &Socket, tcp: &Tcp, by_packets: bool) -> (u32, u32) {
    const STAMPS: u32 = 12;
    const LOOPBACK: u32 = 65_535;
    let to = tcp.remote_ever().ip().to_canonical();
    let head = if to.is_ipv4() { 40 } else { 60 };
    if !by_packets {
        return (LOOPBACK - head - STAMPS, LOOPBACK);
    }
    let links = socket.network.links();
    let link = links.route(to).and_then(|route| links.by_index(route.link));
    let length = link.map_or(1500, |link| link.mtu);
    (length.saturating_sub(head).max(1), length)
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// The `struct tcp_info` of a socket.
pub(super) fn of(socket: &Socket, tcp: &Tcp) -> Vec<u8> {
    let facts = tcp.facts();
    let mut bytes = vec![0; SIZE];
    let mut put = |at: usize, value: &[u8]| {
        if let Some(room) = bytes.get_mut(at..at + value.len()) {
            room.copy_from_slice(value);
        }
    };
    let word_of = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
    put(0, &[tcp.number()]);
    put(word::WINDOW, &10_u32.to_le_bytes());
    put(word::REORDERED, &3_u32.to_le_bytes());
    put(long::MOST_PACE, &u64::MAX.to_le_bytes());
    if let Some((waiting, most)) = facts.backlog {
        put(word::UNCONFIRMED, &word_of(waiting as u64).to_le_bytes());
        put(word::SELECTIVELY, &word_of(most as u64).to_le_bytes());
        return bytes;
    }
    put(word::SLOW_START, &0x7fff_ffff_u32.to_le_bytes());
    let (joined, active) = facts.connected;
    if !joined {
        let first = [
            (word::RESEND_TIME, 1_000_000),
            (word::SEND_SIZE, 536),
            (word::VARIES, 250_000),
            (word::LEAST_ROUND_TRIP, u32::MAX),
        ];
        first.iter().for_each(|(at, value): &(usize, u32)| put(*at, &value.to_le_bytes()));
        return bytes;
    }
    let (size, path) = sizes(socket, tcp, facts.by_packets);
    let (left, sent, confirmed) = facts.sent;
    let times = facts.times.unwrap_or_default();
    let resend = times.smoothed + (times.varies * 4).max(Duration::from_millis(200));
    let window = u32::try_from(facts.limit).unwrap_or(u32::MAX) / size;
    let words = [
        (word::RESEND_TIME, micros(resend)),
        (word::SEND_SIZE, size),
        (word::RECEIVE_SIZE, size),
        (word::UNCONFIRMED, word_of(sent.div_ceil(size.into()))),
        (word::PATH_SIZE, path),
        (word::ROUND_TRIP, micros(times.smoothed)),
        (word::VARIES, micros(times.varies)),
        (word::WINDOW, window.max(10)),
        (word::OWN_SIZE, size),
        (word::NOT_SENT, word_of(left)),
        (word::LEAST_ROUND_TRIP, micros(times.least)),
    ];
    words.iter().for_each(|(at, value)| put(*at, &value.to_le_bytes()));
    // Its first packet was confirmed, too.
    let longs = [
        (long::CONFIRMED, confirmed + u64::from(active)),
        (long::RECEIVED, facts.received),
        (long::SENT, confirmed + sent),
    ];
    longs.iter().for_each(|(at, value)| put(*at, &value.to_le_bytes()));
    put(5, &[if facts.by_packets { OPTIONS } else { OPTIONS | STAMPS }]);
    bytes
}
