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
use crate::net::links::LOOPBACK;
use crate::net::{Body, HostSocket, Socket, SocketFile, Tcp, Type};
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
            let socket = SocketFile(socket);
            copy(&socket, &HostStream::new(stream, &kernel.files.poller));
            // Whoever listens hears of the end, unless he is gone.
            let _ = socket.0.shutdown(true, true);
        }
        Err(errno) => answer(connection, &failed(&step, &cause(errno))),
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

fn connect(kernel: &Kernel, to: SocketAddr) -> Result<Arc<Socket>, Errno> {
    let family = if to.is_ipv6() { address::V6 } else { address::V4 };
    let body = if let Some(poller) = kernel.network.host_sockets() {
        let name = address::bytes(to, to.is_ipv6());
        let host = HostSocket::new(poller, family, Type::Stream, TCP)?;
        match host.connect(&name) {
            Err(Errno::INPROGRESS) => patiently(|w| host.watch(w), || host.outcome(&name))?,
            other => other?,
        }
        Body::Host(host)
    } else {
        let ports = &kernel.network.inet.tcp;
        let tcp = Tcp::new(to.is_ipv6(), ports);
        let from = SocketAddr::new(to.ip(), 0);
        if tcp.connect(to, from, (ports, LOOPBACK))? == Progress::Started {
            patiently(|w| tcp.watch(w), || tcp.outcome())?;
        }
        Body::Tcp(tcp)
    };
    Ok(Socket::new(&kernel.network, (family, Type::Stream as u32, TCP), body))
}

/// Until both have nothing more to say, or the stream's other end is gone.
fn copy(socket: &SocketFile, stream: &HostStream) {
    let waiter = Arc::new(Waiter::default());
    let (mut out, mut into) = (Vec::new(), Vec::new());
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
        if into.is_empty()
            && !in_ended
            && stream.ready().intersects(Ready::IN | Ready::HUP | Ready::ERR)
        {
            match stream.read(&mut buffer, 0) {
                Ok(0) => {
                    in_ended = true;
                    // Who is gone does not need to hear of it.
                    let _ = socket.0.shutdown(false, true);
                }
                Ok(count) => into.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return,
            }
        }
        if !into.is_empty() {
            match socket.write(&into, 0, false) {
                Ok(count) => {
                    into.drain(..count.min(into.len()));
                    moved = true;
                }
                Err(Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
        if out.is_empty() && !out_ended {
            match socket.read(&mut buffer, 0) {
                Ok(0) => {
                    if stream.end_writing().is_err() {
                        return;
                    }
                    out_ended = true;
                }
                Ok(count) => out.extend_from_slice(buffer.get(..count).unwrap_or_default()),
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
        if in_ended && into.is_empty() && out.is_empty() {
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
