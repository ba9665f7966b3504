//! A socket of any family, and the file that stands for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::io::Errno;

use crate::signal::owner::Owner;
use crate::syscalls::Call;
use crate::task::waiter::{Waiter, lock};
use crate::vfs::{Asks, Attributes, File, Kept, Kind, Ready};

use super::Network;
use super::host::HostSocket;
use super::inbox::{Inbox, Packet, Received};
use super::inet::options::Numbers;
use super::inet::{Tcp, Udp};
use super::netlink::Netlink;
use super::pair::Reach;
use super::unix::Unix;

/// `SOCK_*`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `SOCK_STREAM`
    Stream = 1,
    /// `SOCK_DGRAM`
    Datagram = 2,
    /// `SOCK_SEQPACKET`
    Records = 5,
}

/// Something to be sent.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Bytes and descriptors; when it was sent, what is left of them: of sockets of the
    /// host's perhaps a part, else nothing.
    pub packet: Packet,
    /// Where to, if not where the socket is connected to.
    pub to: Option<Vec<u8>>,
    /// Hops that a datagram may make, and its traffic class, if not as the options say.
    pub hops: (Option<u8>, Option<u8>),
    /// How long the datagrams are that it is cut into, if not as the options say.
    pub segment: Option<u16>,
    /// Whether it is the beginning of a datagram (`MSG_MORE`).
    pub more: bool,
    /// Whether its last byte is urgent data.
    pub urgent: bool,
    /// Whether something of the call was sent.
    pub begun: bool,
}

/// `SO_LINGER` and the like.
#[derive(Clone, Debug)]
pub struct Options {
    /// `SO_REUSEADDR`
    pub reuse_address: bool,
    /// `SO_REUSEPORT`
    pub reuse_port: bool,
    /// `SO_KEEPALIVE`
    pub keep_alive: bool,
    /// `SO_BROADCAST`
    pub broadcast: bool,
    /// `SO_DONTROUTE`
    pub no_route: bool,
    /// `SO_OOBINLINE`
    pub urgent_inline: bool,
    /// `SO_PASSCRED`
    pub pass_credentials: bool,
    /// `SO_TIMESTAMP` and its relatives: which one.
    pub timestamp: u32,
    /// `SO_LINGER`, in seconds.
    pub linger: Option<u32>,
    /// `SO_PRIORITY`
    pub priority: u32,
    /// `SO_MARK`
    pub mark: u32,
    /// `SO_RCVLOWAT`
    pub low_water: u32,
    /// `SO_SNDBUF`, as getsockopt(2) tells it.
    pub send_buffer: u32,
    /// `SO_RCVBUF`, as getsockopt(2) tells it.
    pub receive_buffer: u32,
    /// `SO_SNDTIMEO`
    pub send_timeout: Option<Duration>,
    /// `SO_RCVTIMEO`
    pub receive_timeout: Option<Duration>,
    /// `TCP_CONGESTION`, of which there is none: packets are sent as fast as they are taken.
    pub congestion: &'static str,
    /// Those of IP, TCP and UDP.
    pub numbers: Numbers,
}

/// `net.core.wmem_default`
pub const BUFFER: u32 = 212_992;

impl Default for Options {
    fn default() -> Self {
        Options {
            reuse_address: false,
            reuse_port: false,
            keep_alive: false,
            broadcast: false,
            no_route: false,
            urgent_inline: false,
            pass_credentials: false,
            timestamp: 0,
            linger: None,
            priority: 0,
            mark: 0,
            low_water: 1,
            send_buffer: BUFFER,
            receive_buffer: BUFFER,
            send_timeout: None,
            receive_timeout: None,
            congestion: "cubic",
            numbers: Numbers::default(),
        }
    }
}

/// What a socket is of.
#[derive(Debug)]
pub enum Body {
    /// `AF_UNIX`
    Unix(Arc<Unix>),
    /// TCP
    Tcp(Arc<Tcp>),
    /// UDP
    Udp(Arc<Udp>),
    /// `AF_NETLINK`
    Netlink(Arc<Netlink>),
    /// TCP or UDP of the host's.
    Host(Arc<HostSocket>),
}

/// A socket.
#[derive(Debug)]
pub struct Socket {
    /// `AF_*` that it was made of.
    pub(super) family: u16,
    /// `SOCK_*`
    pub kind: u32,
    /// `IPPROTO_*`
    pub protocol: i32,
    /// Its number in `/proc/net`.
    pub inode: u64,
    /// What every family has.
    pub options: Mutex<Options>,
    /// What it is of.
    pub body: Body,
    /// The network that it was made in, which is there as long as it is.
    pub network: Arc<Network>,
    /// Attributes of the file that stands for it.
    pub kept: Kept,
    /// Its body goes on without it.
    given_back: AtomicBool,
}

impl Socket {
    /// A new one.
    #[must_use]
    pub fn new(
        network: &Arc<Network>,
        (family, kind, protocol): (u16, u32, i32),
        body: Body,
    ) -> Arc<Self> {
        static INODE: AtomicU64 = AtomicU64::new(20_000);
        let inode = INODE.fetch_add(1, Ordering::Relaxed);
        let (options, network) = (Mutex::default(), Arc::clone(network));
        let given_back = AtomicBool::new(false);
        let kept = Kept::new(8, inode, Kind::Socket as u32 | 0o777, (0, 0));
        Arc::new(Socket { family, kind, protocol, inode, options, body, network, kept, given_back })
    }

    /// Puts a connection back that nobody got, before those that wait.
    pub fn give_back(&self, listener: &Socket) {
        self.given_back.store(true, Ordering::SeqCst);
        match (&listener.body, &self.body) {
            (Body::Unix(listener), Body::Unix(own)) => listener.give_back(own),
            (Body::Tcp(listener), Body::Tcp(own)) => listener.give_back(own),
            _ => {}
        }
    }

    /// One that came from it.
    #[must_use]
    pub fn beside(&self, body: Body) -> Arc<Self> {
        Socket::new(&self.network, (self.family(), self.kind, self.protocol), body)
    }

    /// Receives up to `room` bytes, or looks at them.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing.
    pub fn receive(&self, room: usize, peek: bool) -> Result<Received, Errno> {
        match &self.body {
            Body::Unix(unix) => {
                let apart = lock(&self.options).pass_credentials;
                unix.receive(room, peek, apart)
            }
            Body::Tcp(tcp) => tcp.receive(room, peek),
            Body::Udp(udp) => udp.receive(room, peek),
            Body::Netlink(netlink) => netlink.receive(room, peek),
            Body::Host(host) => host.receive(room, peek),
        }
    }

    /// Of what was received last, or looked at, only so many pieces could be written to the
    /// receiver's memory: a stream keeps the others. How many bytes count as received; a
    /// datagram is lost.
    pub fn take_back(&self, received: Received, whole: usize, peek: bool) -> usize {
        match &self.body {
            Body::Unix(unix) if unix.kind == Type::Stream => {
                unix.inbox.take_back(received, whole, peek)
            }
            Body::Tcp(tcp) => tcp.inbox.take_back(received, whole, peek),
            _ => 0,
        }
    }

    /// [`Tcp::send`], if what is sent arrives still: links between programs' networks are put
    /// down, moved and deleted.
    ///
    /// # Errors
    /// The same; `EHOSTUNREACH`, sooner than on Linux, which sends again for a while.
    pub fn send_by(
        &self,
        tcp: &Tcp,
        packet: &mut Packet,
        (urgent, begun): (bool, bool),
    ) -> Result<(), Errno> {
        let network = &self.network;
        if network.number.is_some()
            && let Ok(to) = tcp.remote()
            && let Reach::Nobody = network.reach(tcp.local().ip(), to.ip(), tcp.device())
        {
            return Err(Errno::HOSTUNREACH);
        }
        tcp.send(packet, urgent, begun)
    }

    /// Sends to where it is connected.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room.
    pub fn send(&self, message: &mut Outgoing) -> Result<(), Errno> {
        match &self.body {
            Body::Unix(unix) => unix.send(message, None),
            Body::Tcp(tcp) => self.send_by(tcp, &mut message.packet, (message.urgent, false)),
            // With an address only, which the call has to look up.
            Body::Udp(_) | Body::Netlink(_) => Err(Errno::DESTADDRREQ),
            Body::Host(host) => {
                let bytes = &mut message.packet.bytes;
                let sent = host.send(bytes)?;
                bytes.drain(..sent.min(bytes.len()));
                Ok(())
            }
        }
    }

    /// shutdown(2)
    ///
    /// # Errors
    /// `ENOTCONN`; `EOPNOTSUPP` of netlink.
    pub fn shutdown(&self, receive: bool, send: bool) -> Result<(), Errno> {
        match &self.body {
            Body::Unix(unix) => unix.shutdown(receive, send),
            Body::Tcp(tcp) => tcp.shutdown(receive, send),
            Body::Udp(udp) => udp.shutdown(receive, send),
            Body::Netlink(_) => Err(Errno::OPNOTSUPP),
            Body::Host(host) => host.shutdown(receive, send),
        }
    }

    /// What can be done without waiting.
    #[must_use]
    pub fn ready(&self) -> Ready {
        match &self.body {
            Body::Unix(unix) => unix.ready(),
            Body::Tcp(tcp) => tcp.ready(),
            Body::Udp(udp) => udp.ready(),
            Body::Netlink(netlink) => netlink.ready(),
            Body::Host(host) => host.ready(),
        }
    }

    /// Has the waiter called when that changes.
    pub fn watch(&self, waiter: &Arc<Waiter>) {
        match &self.body {
            Body::Unix(unix) => unix.watch(waiter),
            Body::Tcp(tcp) => tcp.watch(waiter),
            Body::Udp(udp) => udp.watch(waiter),
            Body::Netlink(netlink) => netlink.watch(waiter),
            Body::Host(host) => host.watch(waiter),
        }
    }

    /// Most bytes that one packet of a stream has; none for datagrams.
    #[must_use]
    pub fn piece(&self) -> Option<usize> {
        const MOST: usize = 64 << 10;
        if let Body::Tcp(_) | Body::Host(_) = &self.body {
            return (self.kind == Type::Stream as u32).then_some(MOST);
        }
        let half = usize::try_from(lock(&self.options).send_buffer / 2).unwrap_or(MOST);
        (self.kind == Type::Stream as u32).then(|| half.clamp(1024, MOST))
    }

    /// The error that waits to be told, `SO_ERROR`.
    #[must_use]
    pub fn take_error(&self) -> Option<Errno> {
        match &self.body {
            Body::Unix(unix) => unix.inbox.take_error(),
            Body::Tcp(tcp) => tcp.inbox.take_error(),
            Body::Udp(udp) => udp.inbox.take_error(),
            Body::Netlink(netlink) => netlink.inbox.take_error(),
            Body::Host(host) => host.take_error(),
        }
    }

    /// Takes the options of the listener that it came from, as far as Linux does.
    pub fn inherit(&self, listener: &Socket) {
        let theirs = lock(&listener.options).clone();
        let mut own = lock(&self.options);
        if let Body::Unix(_) = self.body {
            own.pass_credentials = theirs.pass_credentials;
            return;
        }
        if let Body::Tcp(tcp) = &self.body {
            tcp.follow(&theirs);
        }
        *own = theirs;
    }

    /// Whom signals tell of urgent data.
    pub fn set_owner(&self, owner: &Arc<Owner>) {
        if let Some(inbox) = self.marked_inbox() {
            inbox.set_owner(owner);
        }
    }

    /// Whether what is received next is what came behind urgent data.
    #[must_use]
    pub fn is_at_mark(&self) -> bool {
        self.marked_inbox().is_some_and(Inbox::is_at_mark)
    }

    /// What receives, if urgent data has a place there.
    fn marked_inbox(&self) -> Option<&Inbox> {
        match &self.body {
            Body::Tcp(tcp) => Some(&tcp.inbox),
            Body::Unix(unix) => Some(&unix.inbox),
            _ => None,
        }
    }

    /// How often something arrived.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        match &self.body {
            Body::Unix(unix) => unix.inbox.arrived(),
            Body::Tcp(tcp) => tcp.inbox.arrived(),
            Body::Udp(udp) => udp.inbox.arrived(),
            Body::Netlink(netlink) => netlink.inbox.arrived(),
            Body::Host(host) => host.arrived(),
        }
    }

    /// Follows a change of `SO_SNDBUF` or `SO_RCVBUF`.
    pub fn buffers_changed(&self, sending: bool) {
        let (send, receive) = {
            let options = lock(&self.options);
            (options.send_buffer, options.receive_buffer)
        };
        let size = |n: u32| usize::try_from(n).unwrap_or(0);
        match &self.body {
            Body::Unix(unix) if sending => unix.set_limit(size(send)),
            // Both sides' buffers are one here.
            Body::Tcp(tcp) if sending => tcp.set_limit(size(send) * 2),
            Body::Udp(udp) if !sending => udp.inbox.set_limit(size(receive)),
            _ => {}
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Those who wait for it may still hold what it is of.
        if let Body::Unix(unix) = &self.body
            && !self.given_back.load(Ordering::SeqCst)
        {
            unix.close();
        }
    }
}

/// The file that stands for a socket.
pub struct SocketFile(pub Arc<Socket>);

impl File for SocketFile {
    fn waits_cleanly(&self) -> bool {
        !matches!(self.0.body, Body::Host(_))
    }

    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        let received = self.0.receive(into.len(), false)?;
        let mut at = 0;
        for (bytes, start) in &received.pieces {
            let part = bytes.get(*start..).unwrap_or_default();
            if let Some(room) = into.get_mut(at..at + part.len()) {
                room.copy_from_slice(part);
            }
            at += part.len();
        }
        Ok(at)
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        let part = self.0.piece().and_then(|most| from.get(..most)).unwrap_or(from);
        let packet = Packet { bytes: part.to_vec(), ..Packet::default() };
        let mut outgoing = Outgoing { packet, ..Outgoing::default() };
        self.0.send(&mut outgoing)?;
        Ok(part.len().saturating_sub(outgoing.packet.bytes.len()))
    }

    fn ready(&self) -> Ready {
        self.0.ready()
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.0.watch(waiter);
    }

    fn asks(&self) -> Asks {
        Asks::Owner
    }

    fn arrived(&self) -> u64 {
        self.0.arrived()
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.0.kept.now())
    }

    fn kept(&self) -> Option<&Kept> {
        Some(&self.0.kept)
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        const IN_QUEUE: u32 = 0x541b;
        const OUT_QUEUE: u32 = 0x5411;
        const AT_MARK: u32 = 0x8905;
        const NOT_SENT: u32 = 0x894b;
        let count = match (&self.0.body, request) {
            (Body::Unix(unix), IN_QUEUE) => {
                if unix.listens() {
                    return Err(Errno::INVAL);
                }
                let (all, first) = unix.inbox.bytes();
                if unix.kind == Type::Datagram { first } else { all }
            }
            (Body::Unix(unix), OUT_QUEUE) => unix.unsent(),
            (Body::Tcp(tcp), IN_QUEUE) if tcp.listens() => return Err(Errno::INVAL),
            (Body::Tcp(tcp), IN_QUEUE) => tcp.inbox.unread(),
            (Body::Tcp(tcp), OUT_QUEUE | NOT_SENT) if tcp.listens() => return Err(Errno::INVAL),
            (Body::Tcp(tcp), OUT_QUEUE | NOT_SENT) => {
                let (left, sent, _) = tcp.facts().sent;
                usize::try_from(if request == OUT_QUEUE { left + sent } else { left }).unwrap_or(0)
            }
            (Body::Unix(_) | Body::Tcp(_), AT_MARK) => self.0.is_at_mark().into(),
            (Body::Udp(udp), IN_QUEUE) => udp.inbox.bytes().1,
            (Body::Udp(_), OUT_QUEUE) => 0,
            (Body::Host(host), IN_QUEUE | OUT_QUEUE | AT_MARK) => host.number(request)?,
            _ => return super::ioctl::interface(call, &self.0.network, (request, argument)),
        };
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        call.memory().write(argument, &count.to_le_bytes())?;
        Ok(0)
    }

    fn socket(&self) -> Option<&Arc<Socket>> {
        Some(&self.0)
    }
}
