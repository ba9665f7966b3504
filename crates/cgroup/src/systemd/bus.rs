//! A connection to a D-Bus server: authentication, calls, signals.

use super::wire::{self, Incoming, METHOD_CALL, METHOD_RETURN, Outgoing, WireError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Why talking to systemd failed.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No connection.
    #[error("can't connect to D-Bus at {address}: {source}")]
    Connect {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// An address of a kind other than `unix:path=` and `unix:abstract=`.
    #[error("unsupported D-Bus address {0:?}")]
    Address(String),
    /// No address for the user's bus.
    #[error(
        "can't find the user's D-Bus: neither DBUS_SESSION_BUS_ADDRESS nor $XDG_RUNTIME_DIR/bus"
    )]
    NoUserBus,
    /// The server refused the user.
    #[error("D-Bus authentication as uid {uid} failed: {answer:?}")]
    Authentication {
        /// The user id that was claimed.
        uid: u32,
        /// The server's answer.
        answer: String,
    },
    /// The connection broke.
    #[error("D-Bus connection failed during {during}: {source}")]
    Io {
        /// The call or signal that was waited for.
        during: String,
        /// Why.
        source: std::io::Error,
    },
    /// No answer in time.
    #[error("timed out waiting for {0} over D-Bus")]
    TimedOut(String),
    /// The answer is no D-Bus message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The method answered with an error.
    #[error("{method}: {name}: {message}")]
    Method {
        /// The method.
        method: String,
        /// D-Bus error name.
        name: String,
        /// Its text.
        message: String,
    },
}

/// An authenticated connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    received: Vec<u8>,
    /// Signals that came while an answer was waited for.
    signals: VecDeque<Incoming>,
}

/// Longest line of the authentication dialogue that is accepted.
const MAX_LINE: usize = 4096;

impl Bus {
    /// Connects to `unix:path=…` or `unix:abstract=…` and authenticates with
    /// the process's effective uid. `deadline` bounds all later waits, too.
    pub(super) fn connect(address: &str, deadline: Instant) -> Result<Bus, BusError> {
        let stream = open(address)?;
        let mut bus = Bus { stream, serial: 0, received: Vec::new(), signals: VecDeque::new() };
        let uid = rustix::process::geteuid().as_raw();
        let mut hex = String::new();
        for byte in uid.to_string().bytes() {
            hex.push_str(&format!("{byte:02x}"));
        }
        bus.send(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes(), "authentication")?;
        let answer = bus.line(deadline)?;
        if !answer.starts_with("OK ") {
            return Err(BusError::Authentication { uid, answer });
        }
        bus.send(b"BEGIN\r\n", "authentication")?;
        Ok(bus)
    }

    fn send(&mut self, bytes: &[u8], during: &str) -> Result<(), BusError> {
        self.stream
            .write_all(bytes)
            .map_err(|source| BusError::Io { during: during.to_owned(), source })
    }

    fn line(&mut self, deadline: Instant) -> Result<String, BusError> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                return Ok(
                    String::from_utf8_lossy(line.get(..end).unwrap_or_default()).into_owned()
                );
            }
            if self.received.len() > MAX_LINE {
                return Err(WireError("endless line in authentication").into());
            }
            self.receive(deadline, "authentication")?;
        }
    }

    /// Reads what is there, after waiting for it.
    fn receive(&mut self, deadline: Instant, during: &str) -> Result<(), BusError> {
        let io = |source| BusError::Io { during: during.to_owned(), source };
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(BusError::TimedOut(during.to_owned())),
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(io(errno.into())),
        }
        let mut buffer = [0_u8; 8192];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(io(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.received.extend_from_slice(buffer.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(io(error)),
        }
    }

    pub(super) fn message(
        &mut self,
        deadline: Instant,
        during: &str,
    ) -> Result<Incoming, BusError> {
        loop {
            if let Some(length) = wire::message_length(&self.received)?
                && self.received.len() >= length
            {
                let bytes: Vec<u8> = self.received.drain(..length).collect();
                return Ok(wire::decode(&bytes)?);
            }
            self.receive(deadline, during)?;
        }
    }

    /// Sends a message and returns its serial.
    pub(super) fn post(&mut self, mut message: Outgoing<'_>) -> Result<u32, BusError> {
        self.serial += 1;
        message.serial = self.serial;
        let during = message.member.to_owned();
        self.send(&message.encode(), &during)?;
        Ok(self.serial)
    }

    /// Calls a method and waits for its answer.
    pub(super) fn call(
        &mut self,
        message: Outgoing<'_>,
        deadline: Instant,
    ) -> Result<Incoming, BusError> {
        let method = format!("{}.{}", message.interface, message.member);
        let serial = self.post(Outgoing { kind: METHOD_CALL, ..message })?;
        loop {
            let answer = self.message(deadline, &method)?;
            match answer.kind {
                wire::SIGNAL => self.signals.push_back(answer),
                METHOD_RETURN if answer.reply_serial == serial => return Ok(answer),
                wire::ERROR if answer.reply_serial == serial => {
                    let mut text = "";
                    if answer.signature.starts_with('s') {
                        text = wire::Decoder::new(&answer.body).string()?;
                    }
                    return Err(BusError::Method {
                        method,
                        message: text.to_owned(),
                        name: answer.error_name.clone(),
                    });
                }
                _ => {}
            }
        }
    }

    /// Waits for the next signal.
    pub(super) fn signal(&mut self, deadline: Instant, during: &str) -> Result<Incoming, BusError> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(signal);
        }
        loop {
            let message = self.message(deadline, during)?;
            if message.kind == wire::SIGNAL {
                return Ok(message);
            }
        }
    }
}

/// Tries each address of a `;`-separated list. A full accept queue (EAGAIN) is
/// retried for some seconds, as systemd is slow to accept under load.
fn open(addresses: &str) -> Result<UnixStream, BusError> {
    let mut last = BusError::Address(addresses.to_owned());
    for address in addresses.split(';') {
        let Some(parameters) = address.strip_prefix("unix:") else { continue };
        let mut pause = Duration::from_millis(100);
        loop {
            match open_one(parameters) {
                Ok(Some(stream)) => return Ok(stream),
                Ok(None) => break,
                Err(source)
                    if source.kind() == std::io::ErrorKind::WouldBlock
                        && pause < Duration::from_secs(5) =>
                {
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                Err(source) => {
                    last = BusError::Connect { address: address.to_owned(), source };
                    break;
                }
            }
        }
    }
    Err(last)
}

fn open_one(parameters: &str) -> std::io::Result<Option<UnixStream>> {
    use std::os::linux::net::SocketAddrExt as _;
    for parameter in parameters.split(',') {
        match parameter.split_once('=') {
            Some(("path", path)) => return UnixStream::connect(unescape(path)).map(Some),
            Some(("abstract", name)) => {
                let name = std::os::unix::net::SocketAddr::from_abstract_name(unescape(name))?;
                return UnixStream::connect_addr(&name).map(Some);
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Undoes `%xx` in a value of an address.
fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        match after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}
