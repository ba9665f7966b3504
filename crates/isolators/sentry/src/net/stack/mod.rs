//! The network of other machines: our own TCP/IP (smoltcp) on an interface of the
//! host's, in a thread of its own.
//!
//! The guest's sockets know nothing of it: the thread moves bytes between its sockets
//! and the inboxes. A connection that comes in gets a socket when its first packet
//! comes, if somebody listens and has room, so listeners cost nothing.

mod arrivals;
mod cut;
mod datagrams;
mod device;
mod flow;
mod silence;
mod train;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::{raw, tcp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpProtocol, IpVersion};

use crate::kernel::Kernel;
use crate::task::waiter::{Waiter, lock};

use super::inet::Tcp;
use super::links::{Link, Links};
use super::netlink::host::Host;
use arrivals::{Expected, Segment};
use datagrams::Datagram;
use device::Frames;
use flow::Flow;

/// The thread's stack: an interface has buffers for fragments in itself.
const STACK: usize = 8 << 20;
/// Frames that are processed before anything else is looked at.
const BURST: usize = 64;

/// An interface of the host's that is the sandbox's.
#[derive(Debug)]
pub struct Outside {
    /// Interfaces and routes; the last interface is this one.
    pub links: Links,
    /// Its packets.
    pub socket: OwnedFd,
    /// Wakes the thread.
    pub wake: OwnedFd,
    /// While it is open, no other sandbox takes the interface.
    pub claim: OwnedFd,
}

/// Why there is no way to other machines.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The host refuses.
    #[error("use the {space}: {step}: {errno}")]
    Step {
        /// Which namespace.
        space: String,
        /// What was tried.
        step: &'static str,
        /// What the host said.
        errno: Errno,
    },
    /// There is nothing to take over, or too much.
    #[error(
        "the {space} has {found} interfaces of Ethernet that are up, and the sandbox takes \
         exactly one; use no network, or another namespace"
    )]
    Interfaces {
        /// Which namespace.
        space: String,
        /// How many there are.
        found: usize,
    },
    /// There is an interface, but it is another sandbox's.
    #[error(
        "interface {link} of the {space} is another sandbox's: sandboxes can't share a \
         network namespace yet"
    )]
    Taken {
        /// Which namespace.
        space: String,
        /// The interface.
        link: String,
    },
}

impl Outside {
    /// Enters a network namespace, and takes its interface over: from here on the host's
    /// kernel has no address there. The caller must have a single thread, and stays in
    /// the namespace.
    ///
    /// # Errors
    /// [`OutsideError`]
    pub fn take(path: &std::path::Path) -> Result<Self, OutsideError> {
        Self::enter(path)?;
        let name = format!("network namespace {}", path.display());
        let none = OutsideError::Interfaces { space: name.clone(), found: 0 };
        Self::of_present(&name)?.ok_or(none)
    }

    /// Enters a network namespace. The caller must have a single thread.
    ///
    /// # Errors
    /// [`OutsideError`]
    pub fn enter(path: &std::path::Path) -> Result<(), OutsideError> {
        use rustix::fs::{Mode, OFlags};
        use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
        let name = format!("network namespace {}", path.display());
        let fail = |step| {
            let space = name.clone();
            move |errno| OutsideError::Step { space, step, errno }
        };
        let space = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(fail("open it"))?;
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(fail("enter it"))
    }

    /// The same of the network namespace that this process is in, called `space` in
    /// messages; `None` if there is no interface of Ethernet that is up.
    ///
    /// # Errors
    /// [`OutsideError`]
    pub fn of_present(space: &str) -> Result<Option<Self>, OutsideError> {
        let space = || space.to_owned();
        let fail = |step| move |errno| OutsideError::Step { space: space(), step, errno };
        let host = Host::new().map_err(fail("make a netlink socket"))?;
        let links = host.links().map_err(fail("read addresses and routes"))?;
        let link = match links.links.as_slice() {
            [_, link] => link,
            [_] | [] => return Ok(None),
            more => {
                return Err(OutsideError::Interfaces { space: space(), found: more.len() - 1 });
            }
        };
        let claim = claim(&link.name).map_err(|errno| match errno {
            Errno::ADDRINUSE => OutsideError::Taken { space: space(), link: link.name.clone() },
            errno => OutsideError::Step { space: space(), step: "claim it", errno },
        })?;
        let socket = crate::platform::open_packet_socket(link.index)
            .map_err(fail("open a packet socket"))?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = eventfd(0, flags).map_err(fail("make an eventfd"))?;
        host.note(link, &links).map_err(fail("note its addresses"))?;
        host.take_addresses(link).map_err(fail("take its addresses"))?;
        Ok(Some(Outside { links, socket, wake, claim }))
    }
}

/// A name that one socket in the network namespace can have (unix(7), abstract).
fn claim(link: &str) -> Result<OwnedFd, Errno> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};
    let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    let name = format!("caisson-sentry/{link}");
    bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
    Ok(socket)
}

enum Command {
    Connect(Arc<Tcp>, SocketAddr, SocketAddr),
    Send(Datagram),
    /// A packet of ICMP, and whether it is of IPv6.
    Whole(bool, Vec<u8>),
}

/// The way to the stack's thread.
pub struct Stack {
    commands: Mutex<VecDeque<Command>>,
    wake: Arc<OwnedFd>,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").finish_non_exhaustive()
    }
}

/// Datagrams that may wait for the thread.
const COMMANDS: usize = 4096;

fn poke(wake: &OwnedFd) {
    // It is full only if the thread is to wake anyway.
    let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
}

impl Stack {
    fn give(&self, command: Command) {
        lock(&self.commands).push_back(command);
        poke(&self.wake);
    }

    /// Connects a socket that has begun to connect.
    pub fn connect(&self, tcp: &Arc<Tcp>, local: SocketAddr, remote: SocketAddr) {
        self.give(Command::Connect(Arc::clone(tcp), local, remote));
    }

    /// What a socket's options say is new.
    pub fn look_again(&self) {
        poke(&self.wake);
    }

    /// Sends a datagram; it is lost if too many wait.
    pub fn send(&self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>, hops: u8) {
        if lock(&self.commands).len() < COMMANDS {
            self.give(Command::Send(Datagram { from, to, bytes, hops }));
        }
    }
}

impl Stack {
    /// Sends a packet of ICMP; it is lost if too many wait.
    pub fn send_whole(&self, is_v6: bool, packet: Vec<u8>) {
        if lock(&self.commands).len() < COMMANDS {
            self.give(Command::Whole(is_v6, packet));
        }
    }
}

/// Addresses of a connection: ours and the other's.
type Ends = (SocketAddr, SocketAddr);

/// What the thread has.
struct Engine {
    kernel: Arc<Kernel>,
    stack: Arc<Stack>,
    frames: Frames,
    interface: Interface,
    sockets: SocketSet<'static>,
    datagrams: [SocketHandle; 2],
    messages: [SocketHandle; 2],
    flows: HashMap<Ends, Flow>,
    poke: Arc<Waiter>,
    /// The interface's number.
    link: u32,
}

fn now() -> Instant {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Instant::from_micros(now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000))
}

/// Starts the stack of an interface.
///
/// # Errors
/// What the host says.
pub fn start(
    kernel: &Arc<Kernel>,
    link: &Link,
    routes: &Links,
    (socket, wake): (OwnedFd, OwnedFd),
) -> std::io::Result<Arc<Stack>> {
    let wake = Arc::new(wake);
    let stack = Arc::new(Stack { commands: Mutex::default(), wake: Arc::clone(&wake) });
    let mut frames = Frames::new(socket, usize::try_from(link.mtu).unwrap_or(1500));
    let mut seed = [0; 8];
    if !crate::platform::random(&mut seed) {
        return Err(std::io::Error::other("no random numbers"));
    }
    let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(link.hardware)));
    config.random_seed = u64::from_le_bytes(seed);
    let mut interface = Interface::new(config, &mut frames, now());
    interface.update_ip_addrs(|list| {
        for address in &link.addresses {
            // More than there is room for are not served.
            let _ = list.push(IpCidr::new(address.ip.into(), address.prefix));
        }
    });
    for route in routes.routes.iter().filter(|r| r.link == link.index) {
        if let Some(gateway) = route.gateway {
            let cidr = IpCidr::new(route.to.ip.into(), route.to.prefix);
            let route = smoltcp::iface::Route {
                cidr,
                via_router: IpAddress::from(gateway),
                preferred_until: None,
                expires_at: None,
            };
            interface.routes_mut().update(|list| {
                let _ = list.push(route);
            });
        }
    }
    let mut sockets = SocketSet::new(Vec::new());
    let mut raw = |version, protocol| sockets.add(datagrams::socket(version, protocol));
    let (four, six) = (IpVersion::Ipv4, IpVersion::Ipv6);
    let datagrams = [raw(four, IpProtocol::Udp), raw(six, IpProtocol::Udp)];
    let messages = [raw(four, IpProtocol::Icmp), raw(six, IpProtocol::Icmpv6)];
    let poke = Arc::new(Waiter::forwarding(Box::new(move || poke(&wake))));
    let (kernel, own) = (Arc::clone(kernel), Arc::clone(&stack));
    let flows = HashMap::new();
    let mut engine = Engine {
        kernel,
        stack: own,
        frames,
        interface,
        sockets,
        datagrams,
        messages,
        flows,
        poke,
        link: link.index,
    };
    let thread = std::thread::Builder::new().stack_size(STACK);
    thread.spawn(move || engine.run())?;
    Ok(stack)
}

impl Engine {
    fn run(&mut self) {
        loop {
            self.take_commands();
            let mut more = self.take_frames();
            let (again, due) = self.pump();
            more |= again;
            // Not poll(): it would take in frames that nobody has looked at.
            self.give_frames();
            self.interface.poll_maintenance(now());
            if more {
                continue;
            }
            let delay = self.interface.poll_delay(now(), &self.sockets).map(Duration::from);
            let due = due.map(|due| due.saturating_duration_since(std::time::Instant::now()));
            if self.wait(delay.into_iter().chain(due).min()).is_err() {
                return;
            }
        }
    }

    /// Waits for a frame, or for the guest.
    fn wait(&self, delay: Option<Duration>) -> Result<(), Errno> {
        let time = delay.map(|d| Timespec {
            tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: d.subsec_nanos().into(),
        });
        let socket = self.frames.socket();
        let mut both = [
            PollFd::new(&socket, PollFlags::IN),
            PollFd::from_borrowed_fd(self.stack.wake.as_fd(), PollFlags::IN),
        ];
        match poll(&mut both, time.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.stack.wake, &mut count);
        Ok(())
    }

    fn take_commands(&mut self) {
        loop {
            let Some(command) = lock(&self.stack.commands).pop_front() else { return };
            match command {
                Command::Connect(tcp, local, remote) => {
                    let mut socket = flow::socket(false);
                    let ends = (local, remote);
                    let remote = (IpAddress::from(remote.ip()), remote.port());
                    let local = (IpAddress::from(local.ip()), local.port());
                    let context = self.interface.context();
                    if socket.connect(context, remote, local).is_err() {
                        tcp.fail(Errno::NETUNREACH);
                        continue;
                    }
                    let handle = self.sockets.add(socket);
                    let old = self.flows.insert(ends, Flow::connecting(handle, &tcp));
                    // Its guest has closed it, and given its port away.
                    if let Some(old) = old {
                        old.abandon();
                        self.sockets.remove(old.handle);
                    }
                }
                Command::Send(datagram) => {
                    let which = usize::from(datagram.to.is_ipv6());
                    let handle = self.datagrams.get(which).copied();
                    if let (Some(handle), Some(bytes)) = (handle, datagrams::packet(&datagram)) {
                        // What has no room is lost, as on any wire.
                        let _ = self.sockets.get_mut::<raw::Socket<'_>>(handle).send_slice(&bytes);
                    }
                }
                Command::Whole(is_v6, bytes) => self.send_message(is_v6, &bytes),
            }
        }
    }

    fn send_message(&mut self, is_v6: bool, bytes: &[u8]) {
        if let Some(handle) = self.messages.get(usize::from(is_v6)) {
            let _ = self.sockets.get_mut::<raw::Socket<'_>>(*handle).send_slice(bytes);
        }
    }

    /// Processes frames; whether there may be more.
    fn take_frames(&mut self) -> bool {
        for _ in 0..BURST {
            let Some(frame) = self.frames.look() else { return false };
            let arrived =
                arrivals::segment(frame).map(|segment| (segment.ends, self.hear(&segment)));
            let new = match arrived {
                Some((ends, Expected::At(handle))) => Some((ends, handle)),
                Some((_, Expected::Later)) => {
                    self.frames.lose();
                    continue;
                }
                Some((_, Expected::Not)) | None => None,
            };
            let time = now();
            self.interface.poll_ingress_single(time, &mut self.frames, &mut self.sockets);
            if let Some((ends, handle)) = new
                && self.sockets.get::<tcp::Socket<'_>>(handle).state() == tcp::State::Listen
            {
                // It was for another, or not what it seemed.
                self.flows.remove(&ends);
                self.sockets.remove(handle);
            }
            let inet = &self.kernel.network.inet;
            let mut refused = Vec::new();
            for handle in self.datagrams {
                let socket = self.sockets.get_mut::<raw::Socket<'_>>(handle);
                while let Ok(bytes) = socket.recv() {
                    refused.extend(datagrams::receive(bytes, &inet.udp, self.link).flatten());
                }
            }
            for handle in self.messages {
                let socket = self.sockets.get_mut::<raw::Socket<'_>>(handle);
                while let Ok(bytes) = socket.recv() {
                    let _ = datagrams::receive_message(bytes, inet);
                }
            }
            for packet in refused {
                self.send_message(packet.first().is_some_and(|b| b >> 4 == 6), &packet);
            }
        }
        true
    }

    /// Sends what can be sent: each round at most one frame for each socket.
    fn give_frames(&mut self) {
        for _ in 0..BURST {
            let sent = self.interface.poll_egress(now(), &mut self.frames, &mut self.sockets);
            if sent == PollResult::None {
                break;
            }
        }
        self.frames.send_all();
    }

    /// Something of TCP has come: it may ask for a connection.
    fn hear(&mut self, segment: &Segment) -> Expected {
        if segment.opens {
            return self.expect(segment.ends);
        }
        if let Some(flow) = self.flows.get_mut(&segment.ends) {
            flow.hear(self.sockets.get_mut::<tcp::Socket<'_>>(flow.handle));
        }
        Expected::Not
    }

    /// Moves what can be moved; whether there is to be another round for those that end, and
    /// when there is to be one at the latest.
    fn pump(&mut self) -> (bool, Option<std::time::Instant>) {
        let (sockets, poke) = (&mut self.sockets, &self.poke);
        let (mut again, mut due) = (false, None);
        self.flows.retain(|_, flow| {
            let goes_on = flow.pump(sockets.get_mut::<tcp::Socket<'_>>(flow.handle), poke);
            if !goes_on {
                flow.abandon();
                sockets.remove(flow.handle);
                return false;
            }
            again |= flow.has_ended();
            due = due.into_iter().chain(flow.due()).min();
            true
        });
        (again, due)
    }
}
