//! The broker: a process of its own that opens files beneath the container's
//! root, and hands their descriptors to the sentry.
//!
//! A request names a directory by descriptor and one name in it, never a path,
//! so there is nothing to resolve. The broker trusts the sentry with nothing: a name
//! is a single component, links are never followed, and a descriptor counts only
//! if it is on a mount of the roots that the broker was given.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::task::waiter::lock;

use super::Attributes;

mod server;
mod tree;
mod wall;

pub use server::Broker;
pub use tree::served_tree;

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum StartBrokerError {
    /// The host refuses something.
    #[error("start the broker of files: {step}: {errno}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the host said.
        errno: Errno,
    },
    /// It can't be confined.
    #[error("start the broker of files: {0}")]
    Wall(#[from] crate::wall::WallError),
}

/// What the broker can do. Names are single components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Operation {
    Lookup = 1,
    Open,
    Create,
    MakeDirectory,
    Remove,
    Rename,
    Symlink,
    Link,
    ChangeMode,
    ChangeOwner,
    SetTimes,
    MakeNode,
    CreateUnnamed,
    GetExtended,
    ListExtended,
    SetExtended,
    RemoveExtended,
    Stat,
}

/// Bytes of a file's attributes in an answer: `struct stat`.
const ATTRIBUTES: usize = 144;
/// Names that one request asks of at most.
pub(super) const MOST_ASKED: usize = 128;

/// A file that was found or made.
#[derive(Debug)]
pub struct Found {
    /// By which it is named from now on.
    pub handle: OwnedFd,
    /// Whether that also reads it.
    pub reads: bool,
    /// As they are now.
    pub attributes: Attributes,
}

/// A request: operation, four numbers, one or two names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    operation: u8,
    numbers: [u64; 5],
    first: Vec<u8>,
    second: Vec<u8>,
}

/// Bytes of an extended attribute's value, or of all names.
const EXTENDED: usize = 64 << 10;
const MESSAGE: usize = 1 + 5 * 8 + 2 + 256 + EXTENDED;

impl Request {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.operation];
        self.numbers.iter().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()));
        let length = u16::try_from(self.first.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&self.first);
        bytes.extend_from_slice(&self.second);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (operation, mut rest) = bytes.split_first()?;
        let mut numbers = [0; 5];
        for number in &mut numbers {
            let (word, after) = rest.split_first_chunk()?;
            *number = u64::from_le_bytes(*word);
            rest = after;
        }
        let (length, rest) = rest.split_first_chunk()?;
        let (first, second) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let (first, second) = (first.to_vec(), second.to_vec());
        Some(Request { operation: *operation, numbers, first, second })
    }
}

/// The sentry's side.
#[derive(Debug)]
pub struct BrokerClient {
    socket: Mutex<OwnedFd>,
    requests: AtomicU64,
}

/// Both sides, before the process is made.
///
/// # Errors
/// If there is no socket.
pub fn pair() -> Result<(BrokerClient, OwnedFd), StartBrokerError> {
    let kind = SocketType::SEQPACKET;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
        .map_err(|errno| StartBrokerError::Step { step: "socketpair", errno })?;
    Ok((BrokerClient { socket: Mutex::new(ours), requests: AtomicU64::new(0) }, theirs))
}

impl BrokerClient {
    fn ask(
        &self,
        operation: Operation,
        numbers: [u64; 5],
        names: [&[u8]; 2],
        with: &[BorrowedFd<'_>],
    ) -> Result<Option<OwnedFd>, Errno> {
        let (_, mut descriptors) = self.exchange(operation, numbers, names, with, 0)?;
        Ok(descriptors.pop())
    }

    /// Asks, and gets up to `room` bytes and descriptors.
    fn exchange(
        &self,
        operation: Operation,
        numbers: [u64; 5],
        names: [&[u8]; 2],
        with: &[BorrowedFd<'_>],
        room: usize,
    ) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
        let [first, second] = names.map(<[u8]>::to_vec);
        let request = Request { operation: operation as u8, numbers, first, second };
        let mut answer = vec![0; 4 + room];
        self.requests.fetch_add(1, Ordering::Relaxed);
        let socket = lock(&self.socket);
        send(&socket, &request.encode(), with)?;
        let (length, descriptors) = receive(&socket, &mut answer)?;
        drop(socket);
        answer.truncate(length);
        let (errno, bytes) = answer.split_first_chunk().ok_or(Errno::IO)?;
        match i32::from_le_bytes(*errno) {
            0 => Ok((bytes.to_vec(), descriptors)),
            errno => Err(Errno::from_raw_os_error(errno)),
        }
    }

    fn ask_descriptor(
        &self,
        operation: Operation,
        numbers: [u64; 5],
        name: &[u8],
        with: BorrowedFd<'_>,
    ) -> Result<OwnedFd, Errno> {
        self.ask(operation, numbers, [name, b""], &[with])?.ok_or(Errno::IO)
    }

    /// How much was asked.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The same as [`Self::exchange`] where the answer is one file, and perhaps another
    /// descriptor of it.
    fn find(
        &self,
        operation: Operation,
        numbers: [u64; 5],
        names: [&[u8]; 2],
        with: &[BorrowedFd<'_>],
    ) -> Result<(Found, Option<OwnedFd>), Errno> {
        let room = 1 + ATTRIBUTES;
        let (told, mut descriptors) = self.exchange(operation, numbers, names, with, room)?;
        let (reads, attributes) = told.split_first().ok_or(Errno::IO)?;
        let attributes = Attributes::from_stat_bytes(attributes).ok_or(Errno::IO)?;
        let handle = descriptors.pop().ok_or(Errno::IO)?;
        Ok((Found { handle, reads: *reads != 0, attributes }, descriptors.pop()))
    }

    /// A handle (`O_PATH`) of `name` in `directory`; of a link itself. With `opens` one that
    /// can be read, if it is a regular file or directory and the host lets it.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn lookup(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        opens: bool,
    ) -> Result<Found, Errno> {
        let numbers = [opens.into(), 0, 0, 0, 0];
        self.find(Operation::Lookup, numbers, [name, b""], &[directory]).map(|(found, _)| found)
    }

    /// Attributes of up to 128 names in `directory`, of links themselves; `None` for
    /// those that are not there or that [`Self::lookup`] is to be asked for.
    ///
    /// # Errors
    /// If nothing can be told.
    pub fn stat(
        &self,
        directory: BorrowedFd<'_>,
        names: &[Vec<u8>],
    ) -> Result<Vec<Option<Attributes>>, Errno> {
        let asked = names.join(&0);
        let room = names.len() * (1 + ATTRIBUTES);
        let operation = Operation::Stat;
        let (told, _) = self.exchange(operation, [0; 5], [&asked, b""], &[directory], room)?;
        let told = told.chunks_exact(1 + ATTRIBUTES).map(|one| match one.split_first() {
            Some((1, attributes)) => Attributes::from_stat_bytes(attributes),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        if told.len() == names.len() { Ok(told) } else { Err(Errno::IO) }
    }

    /// Opens what a handle stands for: a regular file or directory.
    ///
    /// # Errors
    /// As open(2); `ENXIO` for anything else.
    pub fn open(&self, handle: BorrowedFd<'_>, flags: u32) -> Result<OwnedFd, Errno> {
        self.ask_descriptor(Operation::Open, [u64::from(flags), 0, 0, 0, 0], b"", handle)
    }

    /// Makes a regular file that must not be there yet; returns it open for
    /// reading and writing, and its handle.
    ///
    /// # Errors
    /// As open(2).
    pub fn create(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        mode: u32,
        owner: (u32, u32),
    ) -> Result<(OwnedFd, Found), Errno> {
        let numbers = [u64::from(mode), owner.0.into(), owner.1.into(), 0, 0];
        let create = Operation::Create;
        let (found, file) = self.find(create, numbers, [name, b""], &[directory])?;
        Ok((file.ok_or(Errno::IO)?, found))
    }

    /// Makes a regular file without a name; returns it open for reading and writing.
    ///
    /// # Errors
    /// As open(2) with `O_TMPFILE`.
    pub fn create_unnamed(
        &self,
        directory: BorrowedFd<'_>,
        mode: u32,
        owner: (u32, u32),
    ) -> Result<OwnedFd, Errno> {
        let numbers = [u64::from(mode), owner.0.into(), owner.1.into(), 0, 0];
        self.ask_descriptor(Operation::CreateUnnamed, numbers, b"", directory)
    }

    /// Makes a directory; returns it open for reading.
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn make_directory(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        mode: u32,
        owner: (u32, u32),
    ) -> Result<Found, Errno> {
        let numbers = [u64::from(mode), owner.0.into(), owner.1.into(), 0, 0];
        let make = Operation::MakeDirectory;
        self.find(make, numbers, [name, b""], &[directory]).map(|(found, _)| found)
    }

    /// Removes a name; of an empty directory if `is_directory`.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn remove(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        is_directory: bool,
    ) -> Result<(), Errno> {
        let numbers = [is_directory.into(), 0, 0, 0, 0];
        self.ask(Operation::Remove, numbers, [name, b""], &[directory]).map(drop)
    }

    /// Renames, with flags of renameat2(2).
    ///
    /// # Errors
    /// As renameat2(2).
    pub fn rename(
        &self,
        from: (BorrowedFd<'_>, &[u8]),
        to: (BorrowedFd<'_>, &[u8]),
        flags: u32,
    ) -> Result<(), Errno> {
        let numbers = [flags.into(), 0, 0, 0, 0];
        self.ask(Operation::Rename, numbers, [from.1, to.1], &[from.0, to.0]).map(drop)
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// As symlink(2).
    pub fn symlink(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        target: &[u8],
        owner: (u32, u32),
    ) -> Result<Found, Errno> {
        let numbers = [0, owner.0.into(), owner.1.into(), 0, 0];
        let make = Operation::Symlink;
        self.find(make, numbers, [name, target], &[directory]).map(|(found, _)| found)
    }

    /// Makes a FIFO or a socket, as the mode says.
    ///
    /// # Errors
    /// As mknod(2); `EPERM` for anything else.
    pub fn make_node(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        mode: u32,
        owner: (u32, u32),
    ) -> Result<Found, Errno> {
        let numbers = [mode.into(), owner.0.into(), owner.1.into(), 0, 0];
        let make = Operation::MakeNode;
        self.find(make, numbers, [name, b""], &[directory]).map(|(found, _)| found)
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// As link(2).
    pub fn link(
        &self,
        file: BorrowedFd<'_>,
        directory: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<Found, Errno> {
        let make = Operation::Link;
        self.find(make, [0; 5], [name, b""], &[file, directory]).map(|(found, _)| found)
    }

    /// An extended attribute `user.*` of a file or directory.
    ///
    /// # Errors
    /// As getxattr(2).
    pub fn extended(&self, file: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let get = Operation::GetExtended;
        self.exchange(get, [0; 5], [name, b""], &[file], EXTENDED).map(|(value, _)| value)
    }

    /// Names of all extended attributes, each with its zero.
    ///
    /// # Errors
    /// As listxattr(2).
    pub fn extended_names(&self, file: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
        let list = Operation::ListExtended;
        self.exchange(list, [0; 5], [b"", b""], &[file], EXTENDED).map(|(names, _)| names)
    }

    /// Sets an extended attribute `user.*`, or removes it; `must_be`: whether it must be there,
    /// or must not.
    ///
    /// # Errors
    /// As setxattr(2).
    pub fn set_extended(
        &self,
        file: BorrowedFd<'_>,
        name: &[u8],
        value: Option<&[u8]>,
        must_be: Option<bool>,
    ) -> Result<(), Errno> {
        let how = match must_be {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        };
        let operation =
            if value.is_some() { Operation::SetExtended } else { Operation::RemoveExtended };
        let names = [name, value.unwrap_or_default()];
        self.ask(operation, [how, 0, 0, 0, 0], names, &[file]).map(drop)
    }

    /// chmod(2) of a handle.
    ///
    /// # Errors
    /// As chmod(2).
    pub fn change_mode(&self, file: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
        let numbers = [mode.into(), 0, 0, 0, 0];
        self.ask(Operation::ChangeMode, numbers, [b"", b""], &[file]).map(drop)
    }

    /// chown(2) of a handle; `u32::MAX` leaves one as it is.
    ///
    /// # Errors
    /// As chown(2).
    pub fn change_owner(&self, file: BorrowedFd<'_>, user: u32, group: u32) -> Result<(), Errno> {
        let numbers = [0, user.into(), group.into(), 0, 0];
        self.ask(Operation::ChangeOwner, numbers, [b"", b""], &[file]).map(drop)
    }

    /// utimensat(2) of a handle: seconds and nanoseconds of both times.
    ///
    /// # Errors
    /// As utimensat(2).
    pub fn set_times(&self, file: BorrowedFd<'_>, times: [(i64, i64); 2]) -> Result<(), Errno> {
        let [accessed, modified] = times;
        let numbers = [accessed.0, accessed.1, modified.0, modified.1, 0].map(i64::cast_unsigned);
        self.ask(Operation::SetTimes, numbers, [b"", b""], &[file]).map(drop)
    }
}

fn send(socket: &OwnedFd, bytes: &[u8], with: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(Errno::INVAL);
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

fn receive(socket: &OwnedFd, into: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(into)];
    let message = loop {
        match recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    Ok((message.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::{Mode, OFlags};

    use super::server::component;
    use super::*;

    #[test]
    fn requests_survive_the_way() {
        let request = Request {
            operation: 6,
            numbers: [1, 2, 3, 4, 5],
            first: b"a".to_vec(),
            second: b"bc".to_vec(),
        };
        assert_eq!(Request::decode(&request.encode()), Some(request));
        assert_eq!(Request::decode(&[1, 2, 3]), None);
    }

    #[test]
    fn names_are_single_components() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b"] {
            assert_eq!(component(bad), Err(Errno::INVAL));
        }
        assert_eq!(component(b"..."), Ok(&b"..."[..]));
    }

    /// A thread stands in for the process.
    #[test]
    fn nothing_outside_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "text").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let (client, socket) = pair().unwrap();
        let handle = |path: &std::path::Path| {
            rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        let own = handle("/proc/self/fd".as_ref());
        let root = handle(folder.path());
        let roots = [root.try_clone().unwrap()];
        let broker = Broker::over(socket, own, &roots).unwrap();
        let server = std::thread::spawn(move || broker.serve());
        let root = root.as_fd();

        let look = |name: &[u8]| client.lookup(root, name, false);
        let file = look(b"file").unwrap().handle;
        let open = client.open(file.as_fd(), 0).unwrap();
        let mut bytes = [0; 4];
        assert_eq!(rustix::io::read(&open, &mut bytes), Ok(4));
        assert_eq!(&bytes, b"text");
        // The link itself, and it can't be opened.
        let link = look(b"link").unwrap().handle;
        assert_eq!(client.open(link.as_fd(), 0).err(), Some(Errno::NXIO));
        for name in [&b".."[..], b"../file", b"/etc/passwd", b"link/x"] {
            assert_eq!(look(name).err(), Some(Errno::INVAL), "{name:?}");
        }
        assert_eq!(look(b"none").err(), Some(Errno::NOENT));
        // Of another mount: whatever it is, it is not served.
        for path in ["/proc", "/proc/self/mem", "/dev/null"] {
            let other = handle(path.as_ref());
            assert_eq!(client.open(other.as_fd(), 0).err(), Some(Errno::XDEV), "{path}");
            assert_eq!(client.lookup(other.as_fd(), b"x", true).err(), Some(Errno::XDEV), "{path}");
            assert_eq!(client.change_mode(other.as_fd(), 0).err(), Some(Errno::XDEV), "{path}");
        }
        drop(client);
        server.join().unwrap();
    }
}
