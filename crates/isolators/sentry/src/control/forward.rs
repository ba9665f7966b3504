//! Connections to the sandbox's own loopback, for somebody outside, who has the other end
//! of a stream that is copied to and from the connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::server::{answer, failed};
use super::{Answer, cause};
use crate::kernel::Kernel;
use crate::net::inet::options::TCP;
use crate::net::inet::{Progress, address};
use crate::net::{HostSocket, Packet, Received, Tcp, Type};
use crate::task::waiter::{Waiter, Woken};
use crate::vfs::{File as _, HostStream, Ready};

/// How long a listener whose backlog is full is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PIECE: usize = 16 << 10;

/// Connects to a port, and copies until both sides have ended.
pub(super) fn serve(
    kernel: &Arc<Kernel>,
    connection: &OwnedFd,
    port: u16,
    stream: Option<OwnedFd>,
) {
    let step = format!("connect to port {port} in the sandbox");
    let Some(stream) = stream else {
        return answer(connection, &failed(&step, "no stream came along"));
    };
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let [four, six] = loopback.map(|ip| move || connect(kernel, SocketAddr::new(ip, port)));
    match four().or_else(|errno| six().map_err(|_| errno)) {
        Ok(socket) => {
            answer(connection, &Answer::Started(0));
            copy(&socket, &HostStream::new(stream, &kernel.files.poller));
            // Whoever listens hears of the end.
            socket.shutdown(true, true);
        }
        Err(errno) => answer(connection, &failed(&step, &cause(errno))),
    }
}

/// A connection to a program inside.
enum Connection {
    Own(Arc<Tcp>),
    Host(Arc<HostSocket>),
}

impl Connection {
    fn watch(&self, waiter: &Arc<Waiter>) {
        match self {
            Connection::Own(tcp) => tcp.watch(waiter),
            Connection::Host(socket) => socket.watch(waiter),
        }
    }

    /// Sends all of a packet, or what there is room for.
    fn send(&self, packet: &mut Packet) -> Result<(), Errno> {
        match self {
            Connection::Own(tcp) => tcp.send(packet, false)?,
            Connection::Host(socket) => {
                let sent = socket.send(&packet.bytes)?;
                packet.bytes.drain(..sent.min(packet.bytes.len()));
                return Ok(());
            }
        }
        *packet = Packet::default();
        Ok(())
    }

    fn receive(&self) -> Result<Received, Errno> {
        match self {
            Connection::Own(tcp) => tcp.receive(PIECE, false),
            Connection::Host(socket) => socket.receive(PIECE, false),
        }
    }

    fn shutdown(&self, receive: bool, send: bool) {
        // Who is gone does not need to hear of it.
        let _ = match self {
            Connection::Own(tcp) => tcp.shutdown(receive, send),
            Connection::Host(socket) => socket.shutdown(receive, send),
        };
    }
}

/// Calls `f` until it says something else than `EAGAIN`.
fn patiently(
    watch: impl Fn(&Arc<Waiter>),
    mut f: impl FnMut() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let (waiter, end) = (Arc::new(Waiter::default()), Instant::now() + PATIENCE);
    loop {
        watch(&waiter);
        match f() {
            Err(Errno::AGAIN) if waiter.wait(Some(end)) == Woken::TimedOut => {
                return Err(Errno::TIMEDOUT);
            }
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
}

fn connect(kernel: &Kernel, to: SocketAddr) -> Result<Connection, Errno> {
    if let Some(poller) = kernel.network.host_sockets() {
        let name = address::bytes(to, to.is_ipv6());
        let family = if to.is_ipv6() { address::V6 } else { address::V4 };
        let socket = HostSocket::new(poller, family, Type::Stream, TCP)?;
        match socket.connect(&name) {
            Err(Errno::INPROGRESS) => patiently(|w| socket.watch(w), || socket.outcome(&name))?,
            other => other?,
        }
        return Ok(Connection::Host(socket));
    }
    let socket = Tcp::new(to.is_ipv6(), &kernel.network.inet.tcp);
    if socket.connect(to, SocketAddr::new(to.ip(), 0))? == Progress::Started {
        patiently(|w| socket.watch(w), || socket.outcome())?;
    }
    Ok(Connection::Own(socket))
}

fn bytes_of(received: &Received) -> Vec<u8> {
    let pieces = received.pieces.iter();
    pieces.flat_map(|(bytes, from)| bytes.get(*from..).unwrap_or_default()).copied().collect()
}

/// Until both have nothing more to say, or the stream's other end is gone.
fn copy(socket: &Connection, stream: &HostStream) {
    let waiter = Arc::new(Waiter::default());
    let (mut out, mut into) = (Vec::new(), Packet::default());
    let (mut in_ended, mut out_ended) = (false, false);
    let mut buffer = [0; PIECE];
    loop {
        // One that is gone would be told of at once, again and again.
        let gone = stream.ready().intersects(Ready::HUP | Ready::ERR);
        if !gone {
            stream.watch(&waiter);
        }
        socket.watch(&waiter);
        let mut moved = false;
        if into.bytes.is_empty()
            && !in_ended
            && stream.ready().intersects(Ready::IN | Ready::HUP | Ready::ERR)
        {
            match stream.read(&mut buffer, 0) {
                Ok(0) => {
                    in_ended = true;
                    socket.shutdown(false, true);
                }
                Ok(count) => into.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return,
            }
        }
        if !into.bytes.is_empty() {
            match socket.send(&mut into) {
                Ok(()) => moved = true,
                Err(Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
        if out.is_empty() && !out_ended {
            match socket.receive() {
                Ok(received) if received.length == 0 => {
                    if stream.end_writing().is_err() {
                        return;
                    }
                    out_ended = true;
                }
                Ok(received) => out = bytes_of(&received),
                Err(Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
        if !out.is_empty() {
            match stream.write(&out, 0, false) {
                Ok(count) => {
                    out.drain(..count.min(out.len()));
                    moved = true;
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return,
            }
        }
        if in_ended && into.bytes.is_empty() && out.is_empty() {
            // Nobody hears any more what the program has still to say.
            if out_ended || gone {
                return;
            }
        }
        if !moved {
            waiter.wait(None);
        }
    }
}
