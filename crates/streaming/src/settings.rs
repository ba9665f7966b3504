//! What can be set.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Limits and times of a server. The defaults are kubelet's and containerd's
/// where those have one.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen: a loopback address, port 0 for any. 127.0.0.1:0.
    pub address: SocketAddr,
    /// A connection on which no byte of a stream moves for so long is closed.
    /// Pings don't count. Four hours.
    pub idle_timeout: Duration,
    /// By then a client has opened the streams that its request needs, and the
    /// second one of a forwarded connection. 30 seconds.
    pub creation_timeout: Duration,
    /// After the end of a program: a connection on which its last output does
    /// not move for so long is closed. Five minutes.
    pub drain_timeout: Duration,
    /// So long a backend may go on after its client has gone, before its
    /// future is dropped. Ten seconds.
    pub vanished_grace: Duration,
    /// A request's head has come, and been answered, by then. 30 seconds.
    pub handshake_timeout: Duration,
    /// Life of a token. One minute.
    pub token_lifetime: Duration,
    /// Tokens that may be waiting at once. 1,000.
    pub max_tokens: usize,
    /// Connections at once; more wait to be accepted. 512.
    pub max_connections: usize,
    /// Streams at once of one connection. A forwarded connection takes two.
    /// 512.
    pub max_streams: usize,
    /// Bytes that a stream holds in each direction before it stops the other
    /// side. 64 KiB.
    pub buffer: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            idle_timeout: Duration::from_secs(4 * 3600),
            creation_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(300),
            vanished_grace: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(30),
            token_lifetime: Duration::from_secs(60),
            max_tokens: 1000,
            max_connections: 512,
            max_streams: 512,
            buffer: 64 * 1024,
        }
    }
}
