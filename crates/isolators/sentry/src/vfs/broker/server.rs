//! The broker's own side: what it does in its process.

use std::cell::OnceCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::platform::affinity;
use crate::task::waiter::lock;

use super::super::Kind;
use super::names::{Opens, beneath, component, hand_over, own_attribute, readable_attribute};
use super::processors::Processors;
use super::stored;
use super::syncer::Mounts;
use super::told::{Told, is_interface, is_stored, mount_of, told, told_of};
use super::{
    ATTRIBUTES, EXTENDED, Found, MESSAGE, MOST_ASKED, MOST_FOUND, NAMES, NOT_MINE, Operation,
    ProcessFile, READS, Request, StartBrokerError, receive, send,
};

/// Handles of a root's mounts that the broker will serve; a guest with more of them
/// than this in its roots does without the others.
const MOST_MOUNTS: usize = 4096;

/// What a request brings.
enum Answer {
    Done,
    /// It is about something of another broker's.
    NotMine,
    Descriptor(OwnedFd),
    Found(Found),
    /// Those of several names that were found.
    All(Vec<Option<Found>>),
    /// A new file, open, and what was found under its name.
    Both(OwnedFd, Found),
    Bytes(Vec<u8>),
    /// The line to the thread that waits for disks.
    SyncLine,
}

/// The process's side.
#[derive(Debug)]
pub struct Broker {
    socket: OwnedFd,
    /// `/proc/self/fd` of the broker's own: how a descriptor is opened anew.
    own: OwnedFd,
    /// The mounts that it serves, by their numbers.
    mounts: Mounts,
    /// The sentry's end of the line to the thread that waits for disks; kept, as who asks for it
    /// may have no room for it.
    syncs: OwnedFd,
    /// A procfs of the sentry's PID namespace, `subset=pid`: of two files of each process
    /// in it, handles to read are given.
    processes: OnceCell<Option<OwnedFd>>,
    /// Where files are made in which the sentry keeps what is written to overlays.
    store: Option<OwnedFd>,
}

impl Broker {
    /// Makes this process the broker of these roots, and confines it. It has a single
    /// thread so far and is the first process of its own namespaces; descriptors but those given
    /// are closed, so whoever owns one must not use it any more. In `store`, if there is one, it
    /// makes files without a name, and does nothing else.
    ///
    /// # Errors
    /// If it can't be confined.
    pub fn enter(
        socket: OwnedFd,
        roots: &[OwnedFd],
        store: Option<OwnedFd>,
    ) -> Result<Self, StartBrokerError> {
        crate::panic_report::end_quietly();
        let mut keep: Vec<BorrowedFd<'_>> = roots.iter().chain(&store).map(AsFd::as_fd).collect();
        keep.push(socket.as_fd());
        let own = super::wall::enter(&keep)?;
        let mut broker = Broker::over(socket, own, roots, true)?;
        if let Some(store) = &store {
            // Its files are opened anew, to be read alone. Of its directories nobody has one.
            let mount =
                mount_of(store).map_err(|errno| StartBrokerError::Step { step: "statx", errno })?;
            lock(&broker.mounts).insert(mount);
        }
        broker.store = store;
        affinity::remember();
        super::wall::close()?;
        Ok(broker)
    }

    /// Over a handle of this process's `/proc/self/fd`; confines the thread that waits for disks
    /// if `confined`, and not this one.
    pub(super) fn over(
        socket: OwnedFd,
        own: OwnedFd,
        roots: &[OwnedFd],
        confined: bool,
    ) -> Result<Self, StartBrokerError> {
        let mounts = roots.iter().map(mount_of).collect::<Result<_, _>>();
        let mounts = mounts.map_err(|errno| StartBrokerError::Step { step: "statx", errno })?;
        let mounts = Arc::new(Mutex::new(mounts));
        let syncs = super::syncer::start(&mounts, confined)?;
        Ok(Broker { socket, own, mounts, syncs, processes: OnceCell::new(), store: None })
    }

    /// Serves until the sentry is gone.
    pub fn serve(&self) {
        let mut buffer = vec![0; MESSAGE];
        let mut processors = Processors::default();
        while let Ok((length, descriptors)) = receive(&self.socket, &mut buffer) {
            if length == 0 {
                return;
            }
            let request = buffer.get(..length).and_then(Request::decode);
            let result = match request {
                Some((processor, request)) => {
                    processors.follow(processor);
                    self.perform(&request, descriptors)
                }
                None => Err(Errno::INVAL),
            };
            let mut answer = vec![0; 4];
            let mut with = Vec::new();
            match &result {
                Ok(Answer::Done) => {}
                Ok(Answer::NotMine) => answer = NOT_MINE.to_le_bytes().to_vec(),
                Ok(Answer::Descriptor(fd)) => with.push(fd.as_fd()),
                Ok(Answer::Found(found)) => {
                    tell(found, &mut answer);
                    with.push(found.handle.as_fd());
                }
                Ok(Answer::All(found)) => {
                    for found in found {
                        match found {
                            Some(found) => {
                                tell(found, &mut answer);
                                with.push(found.handle.as_fd());
                            }
                            None => answer.resize(answer.len() + 1 + ATTRIBUTES, 0),
                        }
                    }
                }
                Ok(Answer::Both(file, found)) => {
                    tell(found, &mut answer);
                    with.extend([file.as_fd(), found.handle.as_fd()]);
                }
                Ok(Answer::SyncLine) => with.push(self.syncs.as_fd()),
                Ok(Answer::Bytes(bytes)) => answer.extend_from_slice(bytes),
                Err(errno) => answer = errno.raw_os_error().to_le_bytes().to_vec(),
            }
            if send(&self.socket, &answer, &with).is_err() {
                return;
            }
        }
    }

    /// The path by which a descriptor of the broker's is opened anew.
    fn again(fd: &OwnedFd) -> String {
        fd.as_raw_fd().to_string()
    }

    fn perform(&self, request: &Request, with: Vec<OwnedFd>) -> Result<Answer, Errno> {
        const LOOKUP: u8 = Operation::Lookup as u8;
        const OPEN: u8 = Operation::Open as u8;
        const CREATE: u8 = Operation::Create as u8;
        const MAKE_DIRECTORY: u8 = Operation::MakeDirectory as u8;
        const REMOVE: u8 = Operation::Remove as u8;
        const RENAME: u8 = Operation::Rename as u8;
        const SYMLINK: u8 = Operation::Symlink as u8;
        const LINK: u8 = Operation::Link as u8;
        const CHANGE_MODE: u8 = Operation::ChangeMode as u8;
        const CHANGE_OWNER: u8 = Operation::ChangeOwner as u8;
        const SET_TIMES: u8 = Operation::SetTimes as u8;
        const CREATE_UNNAMED: u8 = Operation::CreateUnnamed as u8;
        const GET_EXTENDED: u8 = Operation::GetExtended as u8;
        const LIST_EXTENDED: u8 = Operation::ListExtended as u8;
        const SET_EXTENDED: u8 = Operation::SetExtended as u8;
        const REMOVE_EXTENDED: u8 = Operation::RemoveExtended as u8;
        const MAKE_NODE: u8 = Operation::MakeNode as u8;
        const STAT: u8 = Operation::Stat as u8;
        const LOOKUP_ALL: u8 = Operation::LookupAll as u8;
        const KEEP_PROCESSES: u8 = Operation::KeepProcesses as u8;
        const OPEN_PROCESS: u8 = Operation::OpenProcess as u8;
        const READ_ONLY: u8 = Operation::ReadOnly as u8;
        const SYNC_LINE: u8 = Operation::SyncLine as u8;
        const CREATE_STORED: u8 = Operation::CreateStored as u8;
        let [number, user, group, ..] = request.numbers;
        let low = |n: u64| u32::try_from(n & 0xffff_ffff).unwrap_or(0);
        let owner = (low(user), low(group));
        match request.operation {
            KEEP_PROCESSES => return self.keep_processes(with),
            SYNC_LINE => return Ok(Answer::SyncLine),
            OPEN_PROCESS => {
                return self.process_file(number, low(user), group);
            }
            CREATE_STORED if with.is_empty() => {
                let Some(store) = &self.store else { return Ok(Answer::NotMine) };
                return stored::create(&self.own, store, &request.first).map(Answer::Descriptor);
            }
            _ => {}
        }
        let first = with.first().ok_or(Errno::INVAL)?;
        // Memory is on no mount. Who has it open for writing has read it, too.
        if request.operation == READ_ONLY && rustix::fs::fcntl_get_seals(first).is_ok() {
            return self.open(first, told(first)?.attributes.kind(), 0).map(Answer::Descriptor);
        }
        let mut kind = None;
        for handle in &with {
            let told = told(handle)?;
            if !lock(&self.mounts).contains(&told.mount) {
                return Ok(Answer::NotMine);
            }
            kind.get_or_insert(told.attributes.kind());
        }
        let kind = kind.ok_or(Errno::INVAL)?;
        let name = component(&request.first);
        match request.operation {
            LOOKUP => self.lookup(first, name?, Opens::of(number)).map(Answer::Found),
            STAT => self.stat(first, &request.first).map(Answer::Bytes),
            LOOKUP_ALL => self.lookup_all(first, &request.first).map(Answer::All),
            OPEN => self.open(first, kind, low(number)).map(Answer::Descriptor),
            READ_ONLY => self.open(first, kind, 0).map(Answer::Descriptor),
            CREATE => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW;
                let name = name?;
                let file = beneath(first, name, flags, low(number) & 0o7777)?;
                hand_over(&file, low(number), owner)?;
                Ok(Answer::Both(file, self.lookup(first, name, Opens::Nothing)?))
            }
            CREATE_UNNAMED => {
                let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(low(number) & 0o7777);
                let file = rustix::fs::openat(&self.own, Self::again(first), flags, mode)?;
                hand_over(&file, low(number), owner)?;
                Ok(Answer::Descriptor(file))
            }
            CREATE_STORED => {
                stored::create(&self.own, first, &request.first).map(Answer::Descriptor)
            }
            MAKE_DIRECTORY => {
                let mode = Mode::from_raw_mode(low(number) & 0o7777);
                rustix::fs::mkdirat(first, name?, mode)?;
                self.own(first, name?, Kind::Directory, owner)?;
                self.lookup(first, name?, Opens::Any).map(Answer::Found)
            }
            REMOVE => {
                let flags = if number != 0 { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                rustix::fs::unlinkat(first, name?, flags)?;
                Ok(Answer::Done)
            }
            RENAME => {
                let flags = RenameFlags::from_bits(low(number)).ok_or(Errno::INVAL)?;
                let second = with.get(1).ok_or(Errno::INVAL)?;
                let to = component(&request.second)?;
                rustix::fs::renameat_with(first, name?, second, to, flags)?;
                Ok(Answer::Done)
            }
            SYMLINK => {
                rustix::fs::symlinkat(request.second.as_slice(), first, name?)?;
                made(self.own(first, name?, Kind::Link, owner)?)
            }
            MAKE_NODE => {
                let (file_type, kind) = match FileType::from_raw_mode(low(number)) {
                    fifo @ FileType::Fifo => (fifo, Kind::Fifo),
                    socket @ FileType::Socket => (socket, Kind::Socket),
                    _ => return Err(Errno::PERM),
                };
                let mode = Mode::from_raw_mode(low(number) & 0o7777);
                rustix::fs::mknodat(first, name?, file_type, mode, 0)?;
                let handle = self.own(first, name?, kind, owner)?;
                // A change of owner clears these bits.
                if mode.intersects(Mode::SUID | Mode::SGID) {
                    rustix::fs::chmodat(&self.own, Self::again(&handle), mode, AtFlags::empty())?;
                }
                made(handle)
            }
            LINK => {
                let second = with.get(1).ok_or(Errno::INVAL)?;
                let flags = AtFlags::SYMLINK_FOLLOW;
                rustix::fs::linkat(&self.own, Self::again(first), second, name?, flags)?;
                self.lookup(second, name?, Opens::Nothing).map(Answer::Found)
            }
            CHANGE_MODE => {
                let mode = Mode::from_raw_mode(low(number) & 0o7777);
                rustix::fs::chmodat(&self.own, Self::again(first), mode, AtFlags::empty())?;
                Ok(Answer::Done)
            }
            CHANGE_OWNER => {
                let some = |id: u32| (id != u32::MAX).then_some(id);
                let user = some(owner.0).map(Uid::from_raw);
                let group = some(owner.1).map(Gid::from_raw);
                rustix::fs::chownat(first, "", user, group, AtFlags::EMPTY_PATH)?;
                Ok(Answer::Done)
            }
            SET_TIMES => {
                let [a, b, c, d, _] = request.numbers.map(u64::cast_signed);
                let times = Timestamps {
                    last_access: Timespec { tv_sec: a, tv_nsec: b },
                    last_modification: Timespec { tv_sec: c, tv_nsec: d },
                };
                // The kernel takes the handle of a link for the link.
                rustix::fs::utimensat(first, "", &times, AtFlags::EMPTY_PATH)?;
                Ok(Answer::Done)
            }
            GET_EXTENDED => {
                let mut value = vec![0; EXTENDED];
                let file = self.open(first, kind, 0)?;
                let count =
                    rustix::fs::fgetxattr(&file, readable_attribute(&request.first)?, &mut value)?;
                value.truncate(count);
                Ok(Answer::Bytes(value))
            }
            LIST_EXTENDED => {
                let mut names = vec![0; EXTENDED];
                let count = rustix::fs::flistxattr(self.open(first, kind, 0)?, &mut names)?;
                names.truncate(count);
                Ok(Answer::Bytes(names))
            }
            SET_EXTENDED => {
                let flags = XattrFlags::from_bits(low(number)).ok_or(Errno::INVAL)?;
                let (file, name) = (self.open(first, kind, 0)?, own_attribute(&request.first)?);
                rustix::fs::fsetxattr(&file, name, &request.second, flags)?;
                Ok(Answer::Done)
            }
            REMOVE_EXTENDED => {
                rustix::fs::fremovexattr(
                    self.open(first, kind, 0)?,
                    own_attribute(&request.first)?,
                )?;
                Ok(Answer::Done)
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn lookup(&self, directory: &OwnedFd, name: &[u8], opens: Opens) -> Result<Found, Errno> {
        if opens != Opens::Nothing
            && let Some(found) = self.open_stored(directory, name, opens)?
        {
            return Ok(found);
        }
        let handle = beneath(directory, name, OFlags::PATH | OFlags::NOFOLLOW, 0)?;
        let Told { mount, attributes } = told(&handle)?;
        if !lock(&self.mounts).contains(&mount) {
            // Beneath a root, but a file system of its own.
            if lock(&self.mounts).len() >= MOST_MOUNTS || is_interface(&handle)? {
                return Err(Errno::ACCESS);
            }
            lock(&self.mounts).insert(mount);
            return self.lookup(directory, name, opens);
        }
        Ok(Found { handle, reads: false, attributes })
    }

    /// A regular file or directory of a mount that is served, open to be read; `None` if it is
    /// not to be opened or the host does not let it.
    fn open_stored(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        opens: Opens,
    ) -> Result<Option<Found>, Errno> {
        let before = told_of(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if !opens.has(before.attributes.kind()) || !lock(&self.mounts).contains(&before.mount) {
            return Ok(None);
        }
        // The host may have put something else there meanwhile, which must not block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Ok(handle) = beneath(directory, name, flags, 0) else { return Ok(None) };
        let is_same = |told: &Told| told.mount == before.mount && opens.has(told.attributes.kind());
        let told = told(&handle).ok().filter(is_same);
        Ok(told.map(|told| Found { handle, reads: true, attributes: told.attributes }))
    }

    /// Names that are separated by zeros.
    fn lookup_all(&self, directory: &OwnedFd, names: &[u8]) -> Result<Vec<Option<Found>>, Errno> {
        let names: Vec<_> = names.split(|b| *b == 0).collect();
        if names.len() > MOST_FOUND {
            return Err(Errno::INVAL);
        }
        names
            .iter()
            .map(|name| Ok(self.lookup(directory, component(name)?, Opens::Any).ok()))
            .collect()
    }

    fn keep_processes(&self, mut with: Vec<OwnedFd>) -> Result<Answer, Errno> {
        self.processes.set(with.pop()).map_err(|_| Errno::BUSY)?;
        Ok(Answer::Done)
    }

    fn process_file(&self, pid: u64, which: u32, thread: u64) -> Result<Answer, Errno> {
        const STATUS: u32 = ProcessFile::Status as u32;
        const SMAPS: u32 = ProcessFile::Smaps as u32;
        const SCHEDULE: u32 = ProcessFile::Schedule as u32;
        const PAGES: u32 = ProcessFile::Pages as u32;
        let Some(procfs) = self.processes.get().and_then(Option::as_ref) else {
            return Ok(Answer::NotMine);
        };
        let name = match which {
            STATUS => "status",
            SMAPS => "smaps",
            SCHEDULE => "schedstat",
            PAGES => "pagemap",
            _ => return Err(Errno::INVAL),
        };
        let path = match thread {
            0 => format!("{pid}/{name}"),
            _ => format!("{pid}/task/{thread}/{name}"),
        };
        beneath(procfs, path.as_bytes(), OFlags::RDONLY, 0).map(Answer::Descriptor)
    }

    /// Gives what was made under a name its owner, by a handle, which is returned: others
    /// who have the folder may have put something else there.
    fn own(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        kind: Kind,
        (user, group): (u32, u32),
    ) -> Result<OwnedFd, Errno> {
        let made = beneath(directory, name, OFlags::PATH | OFlags::NOFOLLOW, 0)?;
        let told = told(&made)?;
        if told.attributes.kind() != kind || !lock(&self.mounts).contains(&told.mount) {
            return Err(Errno::STALE);
        }
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        rustix::fs::chownat(&made, "", user, group, AtFlags::EMPTY_PATH)?;
        Ok(made)
    }

    /// Attributes of names that are separated by zeros.
    fn stat(&self, directory: &OwnedFd, names: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut answer = Vec::new();
        for (count, name) in names.split(|b| *b == 0).enumerate() {
            let name = component(name)?;
            if count >= MOST_ASKED {
                return Err(Errno::INVAL);
            }
            let told = told_of(directory, name, AtFlags::SYMLINK_NOFOLLOW);
            let told = told.ok().filter(|told| lock(&self.mounts).contains(&told.mount));
            answer.push(told.is_some().into());
            let attributes = told.map(|told| told.attributes).unwrap_or_default();
            answer.extend_from_slice(&attributes.stat_bytes());
        }
        Ok(answer)
    }

    fn open(&self, handle: &OwnedFd, kind: Kind, flags: u32) -> Result<OwnedFd, Errno> {
        if !is_stored(kind) {
            return Err(Errno::NXIO);
        }
        let allowed =
            OFlags::RDONLY | OFlags::WRONLY | OFlags::RDWR | OFlags::DIRECTORY | OFlags::TRUNC;
        let flags = OFlags::from_bits_truncate(flags) & allowed;
        if kind == Kind::Directory && flags & !OFlags::DIRECTORY == OFlags::RDONLY {
            return beneath(handle, b".", flags, 0);
        }
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        rustix::fs::openat(&self.own, Self::again(handle), flags, Mode::empty())
    }
}

/// What an answer says of a file beside its handle.
fn tell(found: &Found, answer: &mut Vec<u8>) {
    answer.push(if found.reads { READS } else { NAMES });
    answer.extend_from_slice(&found.attributes.stat_bytes());
}

/// What was made, by its handle.
fn made(handle: OwnedFd) -> Result<Answer, Errno> {
    let attributes = told(&handle)?.attributes;
    Ok(Answer::Found(Found { handle, reads: false, attributes }))
}
