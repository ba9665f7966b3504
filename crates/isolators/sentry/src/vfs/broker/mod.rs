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

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::Attributes;

mod client;
mod line;
mod names;
mod processors;
mod server;
mod stored;
mod syncer;
mod told;
mod tree;
mod wall;

pub use client::BrokerClient;
pub use line::asked_brokers;
pub use names::Opens;
pub use server::Broker;
pub use stored::StoreMaker;
pub(super) use stored::is_name as is_stored_name;
pub use tree::served_tree;
pub(super) use tree::store_tree;

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
    KeepProcesses,
    OpenProcess,
    ReadOnly,
    /// The line of the thread that waits for disks.
    SyncLine,
    /// Only there.
    SyncAll,
    LookupAll,
    CreateStored,
}

/// What the host says of a process of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ProcessFile {
    /// `/proc/<pid>/status`
    Status = 1,
    /// `/proc/<pid>/smaps`
    Smaps,
    /// `/proc/<pid>/schedstat`
    Schedule,
    /// `/proc/<pid>/pagemap`
    Pages,
}

/// Bytes of a file's attributes in an answer: `struct stat`.
const ATTRIBUTES: usize = 144;
/// Names that one request asks of at most.
pub(super) const MOST_ASKED: usize = 128;
/// What an answer says of a file that was found: that its handle is but that, or reads it, too.
const NAMES: u8 = 1;
const READS: u8 = 2;
/// Names that one request looks up at most.
pub(super) const MOST_FOUND: usize = 16;

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

/// A request: operation, numbers, one or two names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    operation: u8,
    numbers: [u64; 5],
    first: Vec<u8>,
    second: Vec<u8>,
}

/// What an answer begins with where a request is about something of another broker's: nothing
/// that a host says.
const NOT_MINE: i32 = -1;
/// Bytes of an extended attribute's value, or of all names.
const EXTENDED: usize = 64 << 10;
const MESSAGE: usize = 1 + 2 + 5 * 8 + 2 + 256 + EXTENDED;

impl Request {
    /// With the processor where who asks waits.
    fn encode(&self, processor: u16) -> Vec<u8> {
        let mut bytes = vec![self.operation];
        bytes.extend_from_slice(&processor.to_le_bytes());
        self.numbers.iter().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()));
        let length = u16::try_from(self.first.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&self.first);
        bytes.extend_from_slice(&self.second);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<(u16, Self)> {
        let (operation, rest) = bytes.split_first()?;
        let (processor, mut rest) = rest.split_first_chunk()?;
        let processor = u16::from_le_bytes(*processor);
        let mut numbers = [0; 5];
        for number in &mut numbers {
            let (word, after) = rest.split_first_chunk()?;
            *number = u64::from_le_bytes(*word);
            rest = after;
        }
        let (length, rest) = rest.split_first_chunk()?;
        let (first, second) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let (first, second) = (first.to_vec(), second.to_vec());
        Some((processor, Request { operation: *operation, numbers, first, second }))
    }
}

/// Both sides, before the process is made.
///
/// # Errors
/// If there is no socket.
pub fn pair() -> Result<(BrokerClient, OwnedFd), StartBrokerError> {
    let (ours, theirs) = line()?;
    Ok((BrokerClient::over(ours), theirs))
}

/// Both ends of a line.
fn line() -> Result<(OwnedFd, OwnedFd), StartBrokerError> {
    let kind = SocketType::SEQPACKET;
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
        .map_err(|errno| StartBrokerError::Step { step: "socketpair", errno })
}

fn send(socket: &OwnedFd, bytes: &[u8], with: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FOUND))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(Errno::INVAL);
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

fn receive(socket: &OwnedFd, into: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FOUND))];
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
    use std::sync::Arc;

    use rustix::fs::{Mode, OFlags};

    use super::super::host::HostDirectory;
    use super::super::{Directory as _, File, HostFile, HostFs, HostNode};
    use super::names::component;
    use super::*;

    #[test]
    fn requests_survive_the_way() {
        let request = Request {
            operation: 6,
            numbers: [1, 2, 3, 4, 5],
            first: b"a".to_vec(),
            second: b"bc".to_vec(),
        };
        assert_eq!(Request::decode(&request.encode(3)), Some((3, request)));
        assert_eq!(Request::decode(&[1, 2, 3]), None);
    }

    #[test]
    fn names_are_single_components() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b"] {
            assert_eq!(component(bad), Err(Errno::INVAL));
        }
        assert_eq!(component(b"..."), Ok(&b"..."[..]));
    }

    fn handle(path: &std::path::Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    /// A thread stands in for the process.
    fn serve(folder: &std::path::Path) -> (BrokerClient, OwnedFd, std::thread::JoinHandle<()>) {
        let (client, socket) = pair().unwrap();
        let root = handle(folder);
        let roots = [root.try_clone().unwrap()];
        let broker = Broker::over(socket, handle("/proc/self/fd".as_ref()), &roots, false).unwrap();
        (client, root, std::thread::spawn(move || broker.serve()))
    }

    /// What is known is not asked for, and what was changed is.
    #[test]
    fn requests_are_few() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "text").unwrap();
        std::fs::hard_link(path("file"), path("other")).unwrap();
        let (client, root, server) = serve(folder.path());
        let fs = HostFs::new(false);
        let root = Arc::new(HostNode::root(root, &fs).unwrap());
        let asked = |count: u64, f: &mut dyn FnMut()| {
            let before = client.requests();
            f();
            assert_eq!(client.requests() - before, count);
        };
        let find = |name: &[u8]| {
            let since = root.now();
            let found = client.lookup(root.handle(&client).unwrap(), name, Opens::File).unwrap();
            Arc::new(root.found(found, since))
        };
        // Looked at, open and told of by one request.
        let mut file = None;
        asked(1, &mut || file = Some(find(b"file")));
        let (file, other) = (file.unwrap(), find(b"other"));
        let size = |node: &HostNode| node.attributes(&client).unwrap().size;
        asked(0, &mut || {
            assert_eq!((size(&file), size(&other)), (4, 4));
            let first = file.reader(&client).unwrap();
            assert!(Arc::ptr_eq(&first, &file.reader(&client).unwrap()));
        });
        // Written by one name, it is new by the other too, at every write.
        asked(1, &mut || {
            let fd = client.open(file.handle(&client).unwrap(), 2).unwrap();
            let open = HostFile::writing(&file, fd);
            for length in [9, 12] {
                open.write(b"!", length - 1, false).unwrap();
                assert_eq!((size(&file), size(&other)), (length, length));
            }
        });
        asked(0, &mut || assert_eq!(size(&other), 12));
        // A copy that an overlay may have made is opened anew.
        file.alter();
        asked(1, &mut || drop(file.reader(&client).unwrap()));
        // Many are told of by one request; a handle is asked for when it is needed.
        let names = [b"file".to_vec(), b"none".to_vec()];
        let since = root.now();
        let mut told = Vec::new();
        asked(1, &mut || told = client.stat(root.handle(&client).unwrap(), &names).unwrap());
        assert_eq!(told[1], None);
        let node = Arc::new(root.told(b"file", &told[0].unwrap(), since));
        asked(0, &mut || assert_eq!(size(&node), 12));
        asked(1, &mut || assert!(node.handle(&client).is_ok()));
        // What was told before a change is not believed after it.
        file.touch();
        let late = root.told(b"file", &told[0].unwrap(), since);
        assert!(late.is_far() && late.known_attributes().is_none());
        // Others know the folder: nothing is kept.
        fs.share();
        asked(2, &mut || (0..2).for_each(|_| drop(other.reader(&client).unwrap())));
        assert_eq!(other.known_attributes(), None);
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn who_reads_one_file_after_the_other_asks_for_many_at_once() {
        const FILES: usize = 64;
        let folder = tempfile::tempdir().unwrap();
        for n in 0..FILES {
            std::fs::write(folder.path().join(n.to_string()), n.to_string()).unwrap();
        }
        let (client, root, server) = serve(folder.path());
        let fs = HostFs::new(false);
        let root = Arc::new(HostNode::root(root, &fs).unwrap());
        let list = HostDirectory::new(&root, root.reader(&client).unwrap(), Vec::new());
        let listed = list.list(0).unwrap();
        let names = listed.into_iter().map(|listed| listed.name).filter(|n| n[0] != b'.');
        let names: Vec<Vec<u8>> = names.collect();
        let told = client.stat(root.handle(&client).unwrap(), &names).unwrap();
        let since = root.now();
        let nodes = names.iter().zip(told);
        let nodes = nodes.map(|(name, told)| Arc::new(root.told(name, &told.unwrap(), since)));
        let nodes: Vec<Arc<HostNode>> = nodes.collect();
        assert_eq!(nodes.len(), FILES);
        let read = |place: usize| {
            let mut text = [0; 8];
            let count = rustix::io::pread(nodes[place].reader(&client).unwrap(), &mut text, 0);
            text[..count.unwrap()].to_vec()
        };
        let before = client.requests();
        // This one is another file by the time that it is asked for, and has been found before.
        std::fs::rename(folder.path().join("0"), folder.path().join("new")).unwrap();
        std::fs::write(folder.path().join("0"), "other").unwrap();
        let early = || {
            let open = std::fs::read_dir("/proc/self/fd").unwrap();
            let open = open.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
            open.filter(|path| path.starts_with(folder.path())).count()
        };
        let mut let_go = false;
        for (place, name) in names.iter().enumerate() {
            if name == b"0" {
                assert_eq!(nodes[place].reader(&client).unwrap_err(), Errno::NOENT);
            } else {
                assert_eq!(&read(place), name);
            }
            if place >= FILES / 2 && !let_go {
                // What may be removed now is not held by who found it early.
                let before = early();
                root.expect_change();
                let_go = early() < before;
            }
        }
        assert!(let_go);
        let asked = client.requests() - before;
        assert!((4..=12).contains(&asked), "{asked}");
        drop(client);
        server.join().unwrap();
    }

    /// Only what is not a broker's own is asked of others.
    #[test]
    fn what_the_host_refuses_is_refused() {
        let [folder, memory] = ["/tmp", "/dev/shm"].map(|path| tempfile::tempdir_in(path).unwrap());
        let device = |folder: &tempfile::TempDir| rustix::fs::stat(folder.path()).unwrap().st_dev;
        if device(&folder) == device(&memory) {
            eprintln!("left out: one file system is all there is");
            return;
        }
        std::fs::write(folder.path().join("file"), "text").unwrap();
        let roots = [handle(folder.path()), handle(memory.path())];
        let (client, socket) = pair().unwrap();
        let broker = Broker::over(socket, handle("/proc/self/fd".as_ref()), &roots, false).unwrap();
        let server = std::thread::spawn(move || broker.serve());
        let (other, socket) = pair().unwrap();
        let end = other.socket().unwrap();
        drop(other);
        let other = client.and(end);
        // It says of everything that it is not there.
        let second = std::thread::spawn(move || {
            let mut asked = 0;
            while receive(&socket, &mut vec![0; MESSAGE]).is_ok_and(|(length, _)| length > 0) {
                asked += 1;
                let answer = Errno::NOENT.raw_os_error().to_le_bytes();
                send(&socket, &answer, &[]).unwrap();
            }
            asked
        });
        let [from, to] = [&roots[0], &roots[1]].map(AsFd::as_fd);
        assert_eq!(client.rename((from, b"file"), (to, b"file"), 0), Err(Errno::XDEV));
        assert_eq!(client.open(handle("/proc".as_ref()).as_fd(), 0).err(), Some(Errno::NOENT));
        drop((client, other));
        server.join().unwrap();
        assert_eq!(second.join().unwrap(), 1);
    }

    /// Who waits for a disk keeps nobody from anything else.
    #[test]
    fn disks_are_waited_for_aside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "text").unwrap();
        let (client, root, server) = serve(folder.path());
        let file = client.lookup(root.as_fd(), b"file", Opens::Any).unwrap().handle;
        assert_eq!(client.sync_all(file.as_fd()), Ok(()));
        assert_eq!(client.sync_all(handle("/dev/null".as_ref()).as_fd()), Err(Errno::XDEV));
        drop(client);
        server.join().unwrap();
        // One that is never answered.
        let (client, socket) = pair().unwrap();
        let (theirs, disks) = line().unwrap();
        let server = std::thread::spawn(move || {
            while let Ok((length @ 1.., with)) = receive(&socket, &mut vec![0; MESSAGE]) {
                assert!(length > 0 && with.len() <= 1);
                send(&socket, &[0; 4], &[theirs.as_fd()]).unwrap();
            }
        });
        std::thread::scope(|scope| {
            let syncing = scope.spawn(|| client.sync_all(file.as_fd()));
            let mut asked = [0; 64];
            assert!(receive(&disks, &mut asked).is_ok_and(|(length, with)| {
                length > 0 && with.len() == 1 && asked[0] == Operation::SyncAll as u8
            }));
            for _ in 0..3 {
                assert!(client.open(file.as_fd(), 0).is_ok());
            }
            assert!(!syncing.is_finished());
            send(&disks, &5_i32.to_le_bytes(), &[]).unwrap();
            assert_eq!(syncing.join().unwrap(), Err(Errno::IO));
        });
        drop(client);
        server.join().unwrap();
    }

    /// Also those below the folder, for sync(2).
    #[test]
    fn disks_are_known() {
        let (client, root, server) = serve("/dev".as_ref());
        let root = HostNode::root(root, &HostFs::new(false)).unwrap();
        let found = client.lookup(root.handle(&client).unwrap(), b"shm", Opens::Any).unwrap();
        let below = root.found(found, root.now());
        let devices = std::collections::BTreeSet::from([root.id().0, below.id().0]);
        assert!(root.fs.disks().into_iter().map(|(device, _)| device).eq(devices));
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn nothing_outside_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "text").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let (client, root, server) = serve(folder.path());
        let root = root.as_fd();

        let look = |name: &[u8]| client.lookup(root, name, Opens::Nothing);
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
            assert_eq!(
                client.lookup(other.as_fd(), b"x", Opens::Any).err(),
                Some(Errno::XDEV),
                "{path}"
            );
            assert_eq!(client.change_mode(other.as_fd(), 0).err(), Some(Errno::XDEV), "{path}");
        }
        drop(client);
        server.join().unwrap();
    }
}
