//! Options of the host's sockets that a guest may set and ask for: those whose value is plain
//! bytes, and that concern the socket alone. The filter of `host-sockets` lets no other through.

/// A level, and its options from the first to the last of each range.
pub type Level = (u64, &'static [(u64, u64)]);

const SOL_SOCKET: u64 = 1;
const IP: u64 = 0;
const TCP: u64 = 6;
const UDP: u64 = 17;
const IPV6: u64 = 41;

const OF_IP: Level = (IP, &[(1, 4), (6, 15), (20, 25), (32, 50)]);
const OF_IPV6: Level = (
    IPV6,
    &[
        (11, 11),
        (16, 29),
        (33, 33),
        (42, 49),
        (51, 51),
        (53, 53),
        (56, 56),
        (58, 58),
        (60, 62),
        (66, 67),
        (70, 70),
        (72, 74),
        (76, 78),
    ],
);
const OF_TCP: Level = (TCP, &[(1, 13), (15, 18), (23, 28), (32, 33), (36, 37)]);
const OF_UDP: Level = (UDP, &[(1, 1), (101, 104)]);

/// Those of setsockopt(2).
///
/// `SOL_SOCKET`: REUSEADDR to KEEPALIVE but for the type and the error, OOBINLINE, `NO_CHECK`,
/// PRIORITY, LINGER, REUSEPORT, RCVLOWAT, BINDTODEVICE, TIMESTAMP, TIMESTAMPNS, TIMESTAMPING,
/// `RXQ_OVFL`. Filters are programs behind a pointer.
///
/// IP: TOS to RECVTOS, MTU, FREEBIND, MINTTL, groups, `UNICAST_IF`. From 64 on: tables.
///
/// IPv6: `UNICAST_HOPS` to V6ONLY, groups, what is received, TCLASS, FREEBIND, MINHOPCOUNT.
///
/// TCP: not the repair of connections (19 to 22, 29), connections made by sending (30),
/// protocols above (31) or pages (35).
pub const SET: &[Level] = &[
    (
        SOL_SOCKET,
        &[
            (2, 2),
            (5, 13),
            (15, 15),
            (18, 18),
            (25, 25),
            (29, 29),
            (35, 35),
            (37, 37),
            (40, 40),
            (63, 65),
        ],
    ),
    OF_IP,
    OF_IPV6,
    OF_TCP,
    OF_UDP,
];

/// Those of getsockopt(2): the same, and DEBUG, TYPE, ERROR, ACCEPTCONN, PROTOCOL, DOMAIN,
/// `INCOMING_CPU`, `INCOMING_NAPI_ID`, COOKIE.
pub const GET: &[Level] = &[
    (
        SOL_SOCKET,
        &[
            (1, 13),
            (15, 15),
            (18, 18),
            (25, 25),
            (29, 30),
            (35, 35),
            (37, 40),
            (49, 49),
            (56, 57),
            (63, 65),
        ],
    ),
    OF_IP,
    OF_IPV6,
    OF_TCP,
    OF_UDP,
];

/// Whether an option of a level is among some.
#[must_use]
pub fn has(levels: &[Level], level: i32, option: i32) -> bool {
    let number = |n: i32| u64::try_from(n).unwrap_or(u64::MAX);
    let (level, option) = (number(level), number(option));
    let ranges = levels.iter().filter(|(l, _)| *l == level).flat_map(|(_, ranges)| *ranges);
    ranges.into_iter().any(|(first, last)| (*first..=*last).contains(&option))
}
