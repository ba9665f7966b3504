//! Sockets: what they are made of. The calls on them are in `syscalls/sockets`.

pub mod inbox;
pub mod inet;
pub mod rights;
pub mod socket;
pub mod unix;

pub use inbox::{Packet, Received, Sender};
pub use inet::{Tcp, Udp};
pub use rights::Rights;
pub use socket::{Body, Options, Outgoing, Socket, SocketFile, Type};
pub use unix::Unix;

/// The sandbox's network: names and addresses in use.
#[derive(Debug, Default)]
pub struct Network {
    /// Names of UNIX sockets.
    pub unix: unix::Names,
    /// Ports and addresses.
    pub inet: inet::Inet,
}
