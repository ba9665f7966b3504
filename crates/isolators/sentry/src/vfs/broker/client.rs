//! The sentry's side: what it asks the broker for.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::super::Attributes;
use super::line::{Answer, Line, ended};
use super::{ATTRIBUTES, EXTENDED, Found, Opens, Operation, ProcessFile, READS, Request};
use crate::platform::{HostPid, HostTid};

/// What is told of a file: how it was found, and its attributes.
type Told = Option<(u8, Attributes)>;

/// The sentry's side.
#[derive(Debug)]
pub struct BrokerClient {
    pub(super) line: Arc<Line>,
    /// Brokers of a sandbox's containers: handles go from one to another.
    all: Arc<Mutex<Vec<Weak<Line>>>>,
    requests: AtomicU64,
}

impl BrokerClient {
    /// A copy of the socket, for another process to ask by.
    ///
    /// # Errors
    /// If the host has no descriptor.
    pub fn socket(&self) -> Result<OwnedFd, Errno> {
        rustix::io::fcntl_dupfd_cloexec(&*lock(&self.line.socket), 3)
    }

    /// Over a socket whose other end is the broker's.
    #[must_use]
    pub fn over(socket: OwnedFd) -> Self {
        let line = Line::over(socket);
        let all = Arc::new(Mutex::new(vec![Arc::downgrade(&line)]));
        BrokerClient { line, all, requests: AtomicU64::new(0) }
    }

    /// Over that of a further container, which has files of this one's, too, and the other
    /// way round.
    #[must_use]
    pub fn and(&self, socket: OwnedFd) -> Self {
        let line = Line::over(socket);
        let mut all = lock(&self.all);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&line));
        drop(all);
        BrokerClient { line, all: Arc::clone(&self.all), requests: AtomicU64::new(0) }
    }

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
    ) -> Result<Answer, Errno> {
        let [first, second] = names.map(<[u8]>::to_vec);
        let request = Request { operation: operation as u8, numbers, first, second };
        self.ask_all(|line| line.talk(&request, with, room))
    }

    /// Asks its own broker, and then those of others.
    fn ask_all(
        &self,
        ask: impl Fn(&Line) -> Result<Option<Answer>, Errno>,
    ) -> Result<Answer, Errno> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(answer) = ask(&self.line).map_err(ended)? {
            return Ok(answer);
        }
        let all = lock(&self.all).clone();
        let others = all.iter().filter_map(Weak::upgrade);
        let mut others = others.filter(|other| !Arc::ptr_eq(other, &self.line));
        let found = others.find_map(|other| match ask(&other) {
            // Nor is it this one's, or that has ended.
            Err(Errno::PIPE | Errno::CONNRESET) => None,
            answer => answer.transpose(),
        });
        found.unwrap_or(Err(Errno::XDEV))
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

    /// Gives the broker the procfs of the sentry's PID namespace, once, or says that it gets
    /// none. To be called before the sentry can ask.
    ///
    /// # Errors
    /// `EBUSY` if it was called before.
    pub fn keep_processes(&self, procfs: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        self.ask(Operation::KeepProcesses, [0; 5], [b"", b""], procfs.as_slice()).map(drop)
    }

    /// What the host says of a process of that namespace, or of a thread of it, to be read.
    ///
    /// # Errors
    /// `ENOENT` if there is none; `EXDEV` if no broker has been given the procfs.
    pub fn process_file(
        &self,
        pid: HostPid,
        thread: Option<HostTid>,
        which: ProcessFile,
    ) -> Result<OwnedFd, Errno> {
        let number = |number: i32| u64::try_from(number).map_err(|_| Errno::SRCH);
        let thread = thread.filter(|thread| !thread.leads(pid));
        let thread = thread.map_or(Ok(0), |thread| number(thread.process().number()))?;
        let numbers = [number(pid.number())?, which as u64, thread, 0, 0];
        self.ask(Operation::OpenProcess, numbers, [b"", b""], &[])?.ok_or(Errno::IO)
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
        Ok((Found { handle, reads: *reads == READS, attributes }, descriptors.pop()))
    }

    /// A handle (`O_PATH`) of `name` in `directory`; of a link itself. One that can be read, if
    /// it is of what `opens` says and the host lets it.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn lookup(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        opens: Opens,
    ) -> Result<Found, Errno> {
        let numbers = [opens as u64, 0, 0, 0, 0];
        self.find(Operation::Lookup, numbers, [name, b""], &[directory]).map(|(found, _)| found)
    }

    /// The same of up to 16 names at once, each to be opened; `None` for those that are not
    /// there, or that [`Self::lookup`] is to be asked for.
    ///
    /// # Errors
    /// If nothing can be told.
    pub fn lookup_all(
        &self,
        directory: BorrowedFd<'_>,
        names: &[Vec<u8>],
    ) -> Result<Vec<Option<Found>>, Errno> {
        let (told, with) = self.ask_of_all(Operation::LookupAll, directory, names)?;
        // With too few descriptors nobody knows whose they are.
        if told.iter().flatten().count() != with.len() {
            return Err(Errno::IO);
        }
        let mut with = with.into_iter();
        let found = told.into_iter().map(|told| {
            let ((how, attributes), handle) = (told?, with.next()?);
            Some(Found { handle, reads: how == READS, attributes })
        });
        Ok(found.collect())
    }

    /// Asks of several names: what is told of each, if anything is, and descriptors.
    fn ask_of_all(
        &self,
        operation: Operation,
        directory: BorrowedFd<'_>,
        names: &[Vec<u8>],
    ) -> Result<(Vec<Told>, Vec<OwnedFd>), Errno> {
        let asked = names.join(&0);
        let room = names.len() * (1 + ATTRIBUTES);
        let (told, with) = self.exchange(operation, [0; 5], [&asked, b""], &[directory], room)?;
        let told = told.chunks_exact(1 + ATTRIBUTES).map(|one| match one.split_first() {
            Some((how @ 1.., attributes)) => Some((*how, Attributes::from_stat_bytes(attributes)?)),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        if told.len() == names.len() { Ok((told, with)) } else { Err(Errno::IO) }
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
        let (told, _) = self.ask_of_all(Operation::Stat, directory, names)?;
        Ok(told.into_iter().map(|told| told.map(|(_, attributes)| attributes)).collect())
    }

    /// Opens what a handle stands for: a regular file or directory.
    ///
    /// # Errors
    /// As open(2); `ENXIO` for anything else.
    pub fn open(&self, handle: BorrowedFd<'_>, flags: u32) -> Result<OwnedFd, Errno> {
        self.ask_descriptor(Operation::Open, [u64::from(flags), 0, 0, 0, 0], b"", handle)
    }

    /// A file that is open, of the roots or in memory, open for reading only: for who is to
    /// have no more of it, whatever else he does with the descriptor.
    ///
    /// # Errors
    /// As open(2).
    pub fn read_only(&self, file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        self.ask_descriptor(Operation::ReadOnly, [0; 5], b"", file)
    }

    /// Has all that was written to the file system of a file or directory reach its disk.
    /// All else is asked meanwhile.
    ///
    /// # Errors
    /// As syncfs(2).
    pub fn sync_all(&self, handle: BorrowedFd<'_>) -> Result<(), Errno> {
        let file = self.open(handle, 0)?;
        let request = Request { operation: Operation::SyncAll as u8, ..Request::default() };
        self.ask_all(|line| line.sync(&request, file.as_fd())).map(drop)
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
