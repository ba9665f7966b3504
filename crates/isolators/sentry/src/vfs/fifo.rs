//! FIFOs: pipes that have names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::syscalls::{Call, Failure};
use crate::task::Restart;
use crate::task::waiter::{self, Waiter, Woken, lock};

use super::pipe::{Pipe, Reader, Writer};
use super::{Asks, Attributes, Entry, File, Kept, Ready, status};

/// The pipes behind FIFOs that are open, by device and inode.
#[derive(Debug, Default)]
pub struct Fifos {
    pipes: Mutex<HashMap<(u64, u64), Weak<Pipe>>>,
}

/// An end, or both, of a FIFO's pipe, or of one without a name that was opened again.
struct FifoFile {
    reader: Option<Reader>,
    writer: Option<Writer>,
    pipe: Arc<Pipe>,
    entry: Option<Arc<Entry>>,
    /// It was opened before any writer: how many there had been. That none is there is
    /// no hang-up until another one came and went.
    unmet: Option<u64>,
}

impl Fifos {
    fn pipe(&self, id: (u64, u64)) -> Arc<Pipe> {
        let mut pipes = lock(&self.pipes);
        if let Some(pipe) = pipes.get(&id).and_then(Weak::upgrade) {
            return pipe;
        }
        pipes.retain(|_, pipe| pipe.strong_count() > 0);
        let pipe = Pipe::without_ends(id.1, (0, 0));
        pipes.insert(id, Arc::downgrade(&pipe));
        pipe
    }

    /// Opens one, and waits for the other end as fifo(7) says.
    ///
    /// # Errors
    /// `ENXIO` without a reader, if it is not to wait.
    pub(super) fn open(
        &self,
        call: &Call<'_>,
        id: (u64, u64),
        entry: &Arc<Entry>,
        flags: u32,
    ) -> Result<Box<dyn File>, Failure> {
        let pipe = self.pipe(id);
        let waits = flags & status::NONBLOCK == 0;
        let (reads, writes) = match flags & status::ACCESS {
            0 => (true, false),
            status::WRITE_ONLY => (false, true),
            _ => (true, true),
        };
        if writes && !reads && !waits && !pipe.has_readers() {
            return Err(Errno::NXIO.into());
        }
        let (readers, writers) = pipe.opened();
        // It may be gone again by the time that this end is seen.
        let met = if reads { pipe.has_writers() } else { pipe.has_readers() };
        if waits && !met && !(reads && writes) && waiter::never_waits() {
            // Nobody is to see an end of a call that is made again.
            let _ = call.waiter().wait(None);
            return Err(Failure::Interrupted(Restart::IfAsked));
        }
        let file = FifoFile {
            reader: reads.then(|| Reader::of(&pipe)),
            writer: writes.then(|| Writer::of(&pipe)),
            pipe: Arc::clone(&pipe),
            entry: Some(Arc::clone(entry)),
            unmet: (reads && !writes && !waits && !met).then_some(writers),
        };
        if waits && !met && !(reads && writes) {
            loop {
                pipe.filled.join(call.waiter());
                let (readers_now, writers_now) = pipe.opened();
                let there = if reads {
                    pipe.has_writers() || writers_now != writers
                } else {
                    pipe.has_readers() || readers_now != readers
                };
                if there {
                    break;
                }
                if call.waiter().wait(None) == Woken::Interrupted {
                    return Err(Failure::Interrupted(Restart::IfAsked));
                }
            }
        }
        Ok(Box::new(file))
    }
}

impl File for FifoFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.reader.as_ref().ok_or(Errno::BADF)?.read(into, offset)
    }

    fn take_back(&self, read: &[u8], copied: usize) -> usize {
        self.reader.as_ref().map_or(0, |reader| reader.take_back(read, copied))
    }

    fn write(&self, from: &[u8], offset: u64, append: bool) -> Result<usize, Errno> {
        self.writer.as_ref().ok_or(Errno::BADF)?.write(from, offset, append)
    }

    fn peek(&self, into: &mut [u8]) -> Result<usize, Errno> {
        self.reader.as_ref().ok_or(Errno::BADF)?.peek(into)
    }

    fn ready(&self) -> Ready {
        let ends = [self.reader.as_ref().map(File::ready), self.writer.as_ref().map(File::ready)];
        let ready = ends.into_iter().flatten().fold(Ready::empty(), |all, ready| all | ready);
        let unmet = self.unmet.is_some_and(|count| self.pipe.opened().1 == count);
        if unmet { ready - Ready::HUP } else { ready }
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        if let Some(reader) = &self.reader {
            reader.watch(waiter);
        }
        if let Some(writer) = &self.writer {
            writer.watch(waiter);
        }
    }

    fn own(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }

    fn asks(&self) -> Asks {
        Asks::Owner
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        match &self.entry {
            Some(entry) => entry.node.now_there()?.ok_or(Errno::IO),
            None => Ok(self.pipe.kept().now()),
        }
    }

    fn kept(&self) -> Option<&Kept> {
        self.entry.is_none().then(|| self.pipe.kept())
    }

    fn control(&self, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
        match (&self.reader, &self.writer) {
            (Some(reader), _) => reader.control(call, request, argument),
            (None, Some(writer)) => writer.control(call, request, argument),
            (None, None) => Err(Errno::NOTTY),
        }
    }
}

/// Opens a pipe without a name again; `None` if the file is none of one.
pub(super) fn ends_again(file: &dyn File, reads: bool, writes: bool) -> Option<Box<dyn File>> {
    let pipe = super::pipe::shared_pipe(file)?;
    let (reader, writer) = (reads.then(|| Reader::of(&pipe)), writes.then(|| Writer::of(&pipe)));
    Some(Box::new(FifoFile { reader, writer, pipe, entry: None, unmet: None }))
}

/// The pipe of an open FIFO.
pub(super) fn pipe_of(own: &dyn std::any::Any) -> Option<&Pipe> {
    own.downcast_ref::<FifoFile>().map(|file| &*file.pipe)
}

/// The same, to be opened again.
pub(super) fn shared_pipe(own: &dyn std::any::Any) -> Option<Arc<Pipe>> {
    own.downcast_ref::<FifoFile>().map(|file| Arc::clone(&file.pipe))
}
