//! Open files.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::mm::Anchor;
use crate::net::Socket;
use crate::signal::owner::Owner;
use crate::syscalls::{Call, Failure};
use crate::task::Thread;
use crate::task::waiter::{Waiter, lock};

use super::file_use::FileUse;
use super::inotify::{self, Inotify, event};
use super::mount::MountUse;
use super::pipe::pipe_of;
use super::{
    Asks, Attributes, Directory, Entry, Epoll, Glance, Kept, Kind, Position, Ready, status,
};

/// What an open file is made of.
pub trait File: Send + Sync {
    /// Reads at `offset`, which a stream ignores.
    ///
    /// # Errors
    /// `EAGAIN` if it would have to wait.
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno>;

    /// The same for a caller: of signals, everyone reads his own.
    ///
    /// # Errors
    /// `EAGAIN` if it would have to wait.
    fn read_for(&self, _: &Call<'_>, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.read(into, offset)
    }

    /// Of what a stream gave last, only the first `copied` bytes could be written to the reader's
    /// memory. It keeps what Linux's keeps; how much counts as read: nothing is a fault.
    fn take_back(&self, _read: &[u8], _copied: usize) -> usize {
        0
    }

    /// Writes at `offset`, which a stream ignores; at the end, if `append`.
    ///
    /// # Errors
    /// `EAGAIN` if it would have to wait.
    fn write(&self, from: &[u8], offset: u64, append: bool) -> Result<usize, Errno>;

    /// What can be done without waiting: all, of a file that never waits.
    fn ready(&self) -> Ready {
        Ready::IN | Ready::OUT
    }

    /// The same for a thread that asks.
    fn ready_for(&self, _: &Thread) -> Ready {
        self.ready()
    }

    /// Whether that is something else for each, so that it has to be looked at anew each time.
    fn is_personal(&self) -> bool {
        false
    }

    /// Has the waiter called when that changes; who tells what is ready tells this, too.
    fn watch(&self, _: &Arc<Waiter>) {}

    /// Attributes now.
    ///
    /// # Errors
    /// What the host says.
    fn attributes(&self) -> Result<Attributes, Errno>;

    /// ioctl(2).
    ///
    /// # Errors
    /// `ENOTTY` for what it doesn't know.
    fn control(&self, _: &Call<'_>, _: u32, _: u64) -> Result<i64, Errno> {
        Err(Errno::NOTTY)
    }

    /// Asked before each try to read ([`Ready::IN`]) or write (`OUT`), and before ioctl(2)
    /// (`PRI`): a terminal stops processes of the background, and has its own idea of how
    /// long a read waits. `Some` if it is over with that result.
    ///
    /// # Errors
    /// If the caller may not, or a signal came.
    fn admit(&self, _: &Call<'_>, _: Ready, _: bool) -> Result<Option<usize>, Failure> {
        Ok(None)
    }

    /// Whether a call that would wait has done nothing to it by then: a few bytes are taken
    /// whole or not at all, and nobody is signalled first.
    fn waits_cleanly(&self) -> bool {
        true
    }

    /// Whether a read gets all that it asks for, however much.
    fn is_endless(&self) -> bool {
        false
    }

    /// Whether it tells by signals what happens.
    fn asks(&self) -> Asks {
        Asks::Never
    }

    /// How often something arrived, if that counts though there was something before.
    fn arrived(&self) -> u64 {
        0
    }

    /// Itself, where a family of calls knows its kind.
    fn own(&self) -> Option<&dyn std::any::Any> {
        None
    }

    /// The host's descriptor, if one is behind it: to map.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The host's descriptor, if its readers may have it mapped and copy from there, and what is
    /// to be known for that. It is that of all that is read.
    fn in_view(&self) -> Option<(BorrowedFd<'_>, Glance)> {
        None
    }

    /// How long it is, to who copies from that descriptor's mapping in place of reading; `None` if
    /// he is to read. What reading does beside that is done.
    fn glance(&self, _: &mut Glance) -> Option<u64> {
        None
    }

    /// To what offsets, lengths and memory are to be aligned with `O_DIRECT`; `None` if it can't be
    /// opened so.
    fn direct(&self) -> Option<u64> {
        None
    }

    /// It is about to be mapped; `shared` if writes to memory may reach it. What it returns is
    /// held for as long as it is.
    fn is_mapped(&self, _: bool) -> Anchor {
        Anchor::default()
    }

    /// Gives a regular file another size.
    ///
    /// # Errors
    /// `EINVAL` if it is none.
    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Err(Errno::INVAL)
    }

    /// fallocate(2)
    ///
    /// # Errors
    /// `ENODEV` if it is no regular file.
    fn allocate(&self, _: FallocateFlags, _: u64, _: u64) -> Result<(), Errno> {
        Err(Errno::NODEV)
    }

    /// Where data begins from `offset` on, or a hole.
    ///
    /// # Errors
    /// `ENXIO` behind the end.
    fn seek_content(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        // All of it is data.
        let size = self.attributes()?.size;
        match (offset < size, hole) {
            (false, _) => Err(Errno::NXIO),
            (true, true) => Ok(size),
            (true, false) => Ok(offset),
        }
    }

    /// Has what was written reach its disk.
    ///
    /// # Errors
    /// What the host says.
    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// sync_file_range(2)
    ///
    /// # Errors
    /// What the host says.
    fn sync_range(&self, _: u64, _: u64, _: u32) -> Result<(), Errno> {
        Ok(())
    }

    /// What could be read from a pipe, which keeps it.
    ///
    /// # Errors
    /// `EINVAL` if it is none; `EAGAIN` if it would have to wait.
    fn peek(&self, _: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    /// The set of watches, if it stands for one.
    fn inotify(&self) -> Option<&Arc<Inotify>> {
        None
    }

    /// Its attributes, if it has no name and its owner may change them.
    fn kept(&self) -> Option<&Kept> {
        None
    }

    /// What procfs calls a file without a name.
    fn label(&self) -> Option<String> {
        None
    }

    /// The socket, if it is one.
    fn socket(&self) -> Option<&Arc<Socket>> {
        None
    }
}

/// An open file description.
pub struct OpenFile {
    /// What it is made of.
    pub file: Box<dyn File>,
    /// Names, if it is a directory.
    pub directory: Option<Box<dyn Directory>>,
    /// Where it was found, if it has a name.
    pub entry: Option<Arc<Entry>>,
    /// It keeps what it is mounted in.
    pub mount_use: Option<Arc<MountUse>>,
    /// What its file is open for, if that counts.
    pub file_use: Option<Arc<FileUse>>,
    /// How it was opened.
    pub flags: AtomicU32,
    /// Position; of a directory, as [`Directory`] counts.
    pub position: Position,
    /// Whether it has one.
    pub seekable: bool,
    /// The set, if it stands for one.
    pub epoll: Option<Arc<Epoll>>,
    /// Device and inode of the file, once something of it was locked.
    pub locked: OnceLock<(u64, u64)>,
    /// Sets of epoll(7) that it is in, and under which numbers.
    pub sets: Mutex<Vec<(Weak<Epoll>, u32)>>,
    /// Whom signals tell what happens to it, once that was asked for.
    pub owner: OnceLock<Arc<Owner>>,
    /// How long what is written is said to last, once that was asked or said.
    pub hint: OnceLock<Arc<AtomicU64>>,
    /// How much was read of it that could have been copied, had it been in view.
    pub read_over: AtomicU64,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !self.is_path() {
            let what = if self.writable() { event::CLOSE_WRITE } else { event::CLOSE_NO_WRITE };
            self.tell(what);
        }
        for (set, number) in std::mem::take(&mut *lock(&self.sets)) {
            if let Some(set) = set.upgrade() {
                set.forget(number, self);
            }
        }
        if let Some(id) = self.locked.get() {
            super::locks::LOCKS.release(*id, super::locks::Owner::of_file(self));
        }
    }
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile").field("entry", &self.entry.as_ref().map(|e| e.path())).finish()
    }
}

impl OpenFile {
    /// `read_over` of what is not to be in view.
    pub const READ: u64 = u64::MAX;

    /// Whether it has a flag of open(2).
    #[must_use]
    pub fn flag(&self, flag: u32) -> bool {
        self.flags.load(Ordering::SeqCst) & flag != 0
    }

    /// Whether it is open as a name alone (`O_PATH`).
    #[must_use]
    pub fn is_path(&self) -> bool {
        self.flag(status::PATH)
    }

    /// Itself.
    ///
    /// # Errors
    /// `EBADF` if it is open as a name alone.
    pub fn opened(self: Arc<Self>) -> Result<Arc<Self>, Errno> {
        if self.is_path() { Err(Errno::BADF) } else { Ok(self) }
    }

    /// Whether it may be read.
    #[must_use]
    pub fn readable(&self) -> bool {
        self.flags.load(Ordering::SeqCst) & status::ACCESS != status::WRITE_ONLY && !self.is_path()
    }

    /// Whether it may be written.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.flags.load(Ordering::SeqCst) & status::ACCESS != 0 && !self.is_path()
    }

    /// Reads, waiting if need be, at `offset` or at the position.
    ///
    /// # Errors
    /// As read(2).
    pub fn read(
        &self,
        call: &Call<'_>,
        into: &mut [u8],
        offset: Option<u64>,
    ) -> Result<usize, Failure> {
        if !self.readable() {
            return Err(Errno::BADF.into());
        }
        let done = self.at(offset, |at| {
            self.wait_until(call, Ready::IN, || self.file.read_for(call, into, at))
        })?;
        if done > 0 {
            self.tell(event::ACCESS);
        }
        Ok(done)
    }

    /// Writes, waiting if need be, at `offset` or at the position.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(
        &self,
        call: &Call<'_>,
        from: &[u8],
        offset: Option<u64>,
    ) -> Result<usize, Failure> {
        self.write_how(call, from, offset, (false, true))
    }

    /// The same, but that it never waits.
    ///
    /// # Errors
    /// As write(2); `EAGAIN` if it would have to wait.
    pub fn write_now(
        &self,
        call: &Call<'_>,
        from: &[u8],
        offset: Option<u64>,
    ) -> Result<usize, Failure> {
        self.write_how(call, from, offset, (false, false))
    }

    /// The same, maybe at the end; and maybe it waits.
    ///
    /// # Errors
    /// As [`Self::write_now`], if it does not wait.
    pub fn write_how(
        &self,
        call: &Call<'_>,
        from: &[u8],
        offset: Option<u64>,
        (append, waits): (bool, bool),
    ) -> Result<usize, Failure> {
        if !self.writable() {
            return Err(Errno::BADF.into());
        }
        let append = append || self.flag(status::APPEND);
        if !from.is_empty() {
            self.disarm(call);
        }
        let done = self.at(offset, |at| {
            let from = match &self.entry {
                Some(entry) if entry.kind() == Kind::Regular => {
                    let at = if append { self.file.attributes()?.size } else { at };
                    let length = crate::syscalls::allow_size(call, at, from.len())?;
                    from.get(..length).unwrap_or(from)
                }
                _ => from,
            };
            let packets = self.flag(status::DIRECT).then(|| pipe_of(&*self.file)).flatten();
            let put = || match packets {
                Some(pipe) => pipe.write(from, true),
                None => self.file.write(from, at, append),
            };
            if !waits {
                let over = self.file.admit(call, Ready::OUT, true)?;
                return over.map_or_else(|| Ok(put()?), Ok);
            }
            self.wait_until(call, Ready::OUT, put)
        })?;
        if done > 0 {
            self.changed();
        }
        if append && offset.is_none() && self.seekable {
            *self.position.lock() = self.file.attributes()?.size;
        }
        if self.flag(status::SYNC) {
            self.file.sync()?;
        }
        Ok(done)
    }

    /// What could be read from a pipe, which keeps it; waits for something if `waits`.
    ///
    /// # Errors
    /// As tee(2).
    pub fn peek(&self, call: &Call<'_>, into: &mut [u8], waits: bool) -> Result<usize, Failure> {
        if !waits {
            return self.file.peek(into).map_err(Failure::from);
        }
        self.wait_until(call, Ready::IN, || self.file.peek(into))
    }

    /// Has what was written reach its disk.
    ///
    /// # Errors
    /// What the host says.
    pub fn sync(&self) -> Result<(), Errno> {
        self.file.sync()
    }

    /// Something of its content or attributes is new.
    pub fn changed(&self) {
        self.tell(event::MODIFY);
    }

    /// Tells whoever watches the file.
    pub fn tell(&self, what: u32) {
        if let Some(entry) = &self.entry {
            inotify::happened(entry, what);
        }
    }

    /// Whether all offsets are the same: of a memory device.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        self.memory_device().is_some()
    }

    /// Which memory device it is, if it is one.
    #[must_use]
    pub fn memory_device(&self) -> Option<super::Device> {
        Some(self.file.own()?.downcast_ref::<super::OpenDevice>()?.device())
    }

    /// Runs `f` at the position, and moves it by what `f` returns.
    fn at(
        &self,
        offset: Option<u64>,
        f: impl FnOnce(u64) -> Result<usize, Failure>,
    ) -> Result<usize, Failure> {
        match offset {
            Some(_) if !self.seekable && !self.is_everywhere() => Err(Errno::SPIPE.into()),
            Some(offset) => f(offset),
            None if !self.seekable => f(0),
            None => {
                let mut position = self.position.lock();
                let done = f(*position)?;
                *position = position.saturating_add(done as u64);
                Ok(done)
            }
        }
    }

    fn wait_until(
        &self,
        call: &Call<'_>,
        what: Ready,
        mut f: impl FnMut() -> Result<usize, Errno>,
    ) -> Result<usize, Failure> {
        call.until(
            |waiter| self.file.watch(waiter),
            || {
                let nonblocking = self.flag(status::NONBLOCK);
                if let Some(done) = self.file.admit(call, what, nonblocking)? {
                    return Ok(Some(done));
                }
                match f() {
                    Err(Errno::AGAIN) if !self.flag(status::NONBLOCK) => Ok(None),
                    other => Ok(Some(other?)),
                }
            },
        )
    }
}
