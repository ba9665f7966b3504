//! What listens to a shim for as long as it lives.
//!
//! A shim writes its log to a FIFO in its first bundle, where it waits for a
//! reader, and tells of events on a socket. The keeper is a process of ours
//! that takes both: the log goes to a file, of which only the beginning is kept;
//! events are acknowledged, and what they tell is found out otherwise. It ends
//! with the shim, which it sees by a connection.

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use caisson_containerd::client::Connection;
use caisson_containerd::start::Endpoint;
use caisson_containerd::ttrpc::{response, take_frame};
use caisson_foreign::process::Identity;
use caisson_foreign::step::Context as _;
use caisson_isolator::SandboxError;
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use caisson_sys::descriptors::close_all_except;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags, openat, unlinkat};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
    bind, listen, recv, send, socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::fifos;
use crate::state::StateDir;

/// The FIFO of a shim's log, in the bundle that it is started for.
const FIFO: &str = "log";
/// So much of a log is kept.
const LOG_LIMIT: usize = 1 << 20;
/// So many connections a shim may have, and so much it may say in one go.
const MOST_CONNECTIONS: usize = 8;
const LONGEST_EVENT: usize = 1 << 20;
const CONNECTING: Duration = Duration::from_secs(20);

/// The caller's end of it.
#[derive(Debug)]
pub(crate) struct Keeper {
    told: OwnedFd,
    pub(crate) process: Option<Identity>,
}

impl Keeper {
    /// Posts one, for a shim that is going to be started in `bundle`.
    pub(crate) fn post(bundle: &StateDir, events: &Path, log: &Path) -> Result<Self, SandboxError> {
        let step = || "listen to the shim";
        let fifo = fifos::make(&bundle.path().join(FIFO))?;
        let listener = listen_at(events).context(|| format!("listen at {}", events.display()))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o600);
        let log = openat(CWD, log, flags | OFlags::CLOEXEC, mode)
            .context(|| format!("open {}", log.display()))?;
        let (tidings, told) = pipe_with(PipeFlags::CLOEXEC).context(step)?;
        match clone3(CloneFlags::empty(), None).context(step)? {
            Side::Parent { pid, .. } => Ok(Self { told, process: Identity::of_child(pid) }),
            Side::Child => {
                let keep = [fifo.as_fd(), listener.as_fd(), log.as_fd(), tidings.as_fd()];
                let _ = rustix::thread::set_name(c"caisson-keeper");
                let ready = close_all_except(0, &keep).is_ok();
                let mut watch = Watch {
                    fifo,
                    listener,
                    log: std::fs::File::from(log),
                    logged: 0,
                    tidings: Some(tidings),
                    address: Vec::new(),
                    shim: None,
                    connections: Vec::new(),
                };
                while ready && watch.go_on() {}
                exit_now(0);
            }
        }
    }

    /// Tells it where the shim listens. Without this it ends with its caller.
    pub(crate) fn watch(self, endpoint: &Endpoint) -> Result<(), SandboxError> {
        let mut told = std::fs::File::from(self.told);
        told.write_all(endpoint.address.as_bytes()).context(|| "listen to the shim")
    }
}

fn listen_at(path: &Path) -> rustix::io::Result<OwnedFd> {
    let _ = unlinkat(CWD, path, rustix::fs::AtFlags::empty());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // In a directory that only root can enter.
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, 16)?;
    Ok(socket)
}

/// The keeper's own state.
struct Watch {
    fifo: OwnedFd,
    listener: OwnedFd,
    log: std::fs::File,
    logged: usize,
    /// Where the address comes from, until it has come.
    tidings: Option<OwnedFd>,
    address: Vec<u8>,
    shim: Option<Connection>,
    connections: Vec<(OwnedFd, Vec<u8>)>,
}

impl Watch {
    /// Takes what has come; false once the shim is gone.
    fn go_on(&mut self) -> bool {
        if self.wait().is_err() {
            return false;
        }
        self.take_log();
        if !self.take_tidings() {
            return false;
        }
        let gone = self.shim.as_mut().is_some_and(|shim| shim.await_end(Instant::now()));
        if gone {
            self.take_log();
            return false;
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = accept_with(&self.listener, flags) {
            // What is too many is closed.
            if self.connections.len() < MOST_CONNECTIONS {
                self.connections.push((socket, Vec::new()));
            }
        }
        self.connections.retain_mut(|(socket, incoming)| acknowledge(socket, incoming));
        true
    }

    fn wait(&self) -> rustix::io::Result<()> {
        let all = [Some(self.fifo.as_fd()), Some(self.listener.as_fd())];
        let others = [
            self.tidings.as_ref().map(OwnedFd::as_fd),
            self.shim.as_ref().map(std::os::fd::AsFd::as_fd),
        ];
        let connections = self.connections.iter().map(|(socket, _)| Some(socket.as_fd()));
        let mut wanted: Vec<PollFd<'_>> = all
            .into_iter()
            .chain(others)
            .chain(connections)
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        retry_on_intr(|| poll(&mut wanted, None)).map(drop)
    }

    /// Reads the address; false if there is not going to be a shim.
    fn take_tidings(&mut self) -> bool {
        let Some(tidings) = &self.tidings else { return true };
        let mut wanted = [PollFd::new(tidings, PollFlags::IN)];
        let now = rustix::time::Timespec::default();
        if !matches!(poll(&mut wanted, Some(&now)), Ok(1..)) {
            return true;
        }
        let mut chunk = [0_u8; 256];
        match retry_on_intr(|| rustix::io::read(tidings, &mut chunk)) {
            Ok(0) => {}
            Ok(count) => {
                self.address.extend(chunk.get(..count).unwrap_or_default());
                return true;
            }
            Err(_) => return false,
        }
        self.tidings = None;
        let address = String::from_utf8_lossy(&self.address);
        self.shim = Connection::open(&address, Instant::now() + CONNECTING).ok();
        self.shim.is_some()
    }

    fn take_log(&mut self) {
        let mut chunk = [0_u8; 8192];
        while let Ok(count @ 1..) = retry_on_intr(|| rustix::io::read(&self.fifo, &mut chunk)) {
            let room = LOG_LIMIT.saturating_sub(self.logged);
            let kept = chunk.get(..count.min(room)).unwrap_or_default();
            self.logged += kept.len();
            // A full disk is no reason to hold the shim up.
            let _ = self.log.write_all(kept);
        }
    }
}

/// Answers what the shim has said on a connection; false once that is over.
fn acknowledge(socket: &OwnedFd, incoming: &mut Vec<u8>) -> bool {
    let mut chunk = [0_u8; 8192];
    match retry_on_intr(|| recv(socket, &mut chunk, RecvFlags::empty())) {
        Ok((0, _)) => return false,
        Ok((count, _)) => incoming.extend(chunk.get(..count).unwrap_or_default()),
        Err(Errno::AGAIN) => return true,
        Err(_) => return false,
    }
    loop {
        match take_frame(incoming) {
            Ok(Some(frame)) if frame.is_request => {
                let taken = response(frame.stream, Ok(&[]));
                // One that does not read its answers is let go of.
                let sent = send(socket, &taken, SendFlags::NOSIGNAL);
                if sent != Ok(taken.len()) {
                    return false;
                }
            }
            Ok(None) => return incoming.len() <= LONGEST_EVENT,
            _ => return false,
        }
    }
}
