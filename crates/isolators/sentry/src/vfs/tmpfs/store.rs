//! Files of the host's in which the content of a file system lies, instead of in memory: one for
//! all that is small, and one for each file that is large or mapped. None has a name.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::task::waiter::lock;
use crate::vfs::broker::StoreMaker;

use super::room::pages;

/// Bytes that a piece has, for a file that is small, and one that is small among many.
const SIZES: [u64; 2] = [64 << 10, 8 << 20];

/// Where the content of a file system lies on the host's disk.
#[derive(Debug)]
pub struct Store {
    maker: StoreMaker,
    /// Of what is small: each file has a piece, of which the host has only what was written.
    common: OwnedFd,
    pieces: Mutex<Pieces>,
}

#[derive(Debug, Default)]
struct Pieces {
    end: u64,
    /// Pieces that nobody has, of each size.
    free: [Vec<u64>; SIZES.len()],
}

/// A part of the common file. What is in it when it is given to somebody, nobody has written.
#[derive(Debug)]
pub(super) struct Piece {
    store: Arc<Store>,
    start: u64,
    size: usize,
    /// Bytes of it that may have been written.
    written: u64,
}

impl Store {
    /// Of files that are made by `maker`.
    ///
    /// # Errors
    /// If the host makes none there.
    pub fn new(maker: StoreMaker) -> Result<Arc<Self>, Errno> {
        let common = maker.make()?;
        Ok(Arc::new(Store { maker, common, pieces: Mutex::default() }))
    }

    /// A file for one of the guest's alone.
    pub(super) fn make(&self) -> Result<OwnedFd, Errno> {
        self.maker.make()
    }

    /// Bytes that the host's file system has, and those of them that can't be had.
    pub(super) fn figures(&self) -> Option<[u64; 2]> {
        let host = rustix::fs::fstatfs(&self.common).ok()?;
        let size = u64::try_from(host.f_frsize).ok()?;
        let taken = host.f_blocks.saturating_sub(host.f_bavail);
        Some([host.f_blocks.saturating_mul(size), taken.saturating_mul(size)])
    }

    /// A piece for so many bytes.
    pub(super) fn piece(self: &Arc<Self>, length: u64) -> Result<Piece, Errno> {
        let mut sizes = SIZES.into_iter().enumerate();
        let (size, bytes) = sizes.find(|(_, bytes)| length <= *bytes).ok_or(Errno::FBIG)?;
        let mut pieces = lock(&self.pieces);
        let start = match pieces.free.get_mut(size).and_then(Vec::pop) {
            Some(start) => start,
            None => {
                let start = pieces.end;
                pieces.end = start.checked_add(bytes).ok_or(Errno::NOSPC)?;
                start
            }
        };
        drop(pieces);
        Ok(Piece { store: Arc::clone(self), start, size, written: 0 })
    }
}

impl Piece {
    /// Whether it has room for so many bytes.
    pub(super) fn holds(&self, length: u64) -> bool {
        SIZES.get(self.size).is_some_and(|size| length <= *size)
    }

    pub(super) fn read(&self, into: &mut [u8], at: u64) -> Result<usize, Errno> {
        rustix::io::pread(&self.store.common, into, self.start + at)
    }

    /// Writes all of it, or an error's worth less: returns how much.
    pub(super) fn write(&mut self, from: &[u8], at: u64) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            let place = at + done as u64;
            self.written = self.written.max(place + rest.len() as u64);
            match rustix::io::pwrite(&self.store.common, rest, self.start + place) {
                Ok(0) => return Err(Errno::IO),
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                // The file of all can't get as long as the host's file system has room.
                Err(Errno::FBIG) => return Err(Errno::NOSPC),
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }

    /// Gives pages back that are behind so many bytes.
    pub(super) fn cut(&mut self, length: u64) {
        let (from, to) = (pages(length), pages(self.written));
        if from < to {
            let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Where the host can't, they are there for who gets the piece next.
            let done =
                rustix::fs::fallocate(&self.store.common, punch, self.start + from, to - from);
            if done.is_ok() {
                self.written = from;
            }
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.cut(0);
        if let Some(free) = lock(&self.store.pieces).free.get_mut(self.size) {
            free.push(self.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// What a piece had is given back to the host, and comes up nowhere else.
    #[test]
    fn pieces_are_used_again_and_hold_nothing_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let directory = rustix::fs::open(folder.path(), flags, rustix::fs::Mode::empty()).unwrap();
        let (client, socket) = crate::vfs::pair().unwrap();
        drop(socket);
        let common = tempfile::tempfile_in(folder.path()).unwrap();
        let held = || common.metadata().unwrap().blocks() * 512;
        let store = Arc::new(Store {
            maker: client.store_maker(Some(directory)),
            common: common.try_clone().unwrap().into(),
            pieces: Mutex::default(),
        });
        // Who makes files is gone.
        assert_eq!(store.make().err(), Some(Errno::IO));
        let mut first = store.piece(5).unwrap();
        let mut large = store.piece(SIZES[0] + 1).unwrap();
        assert!(first.holds(SIZES[0]) && !first.holds(SIZES[0] + 1) && large.holds(SIZES[1]));
        assert_eq!(store.piece(SIZES[1] + 1).err(), Some(Errno::FBIG));
        assert_eq!(first.write(&[1; 9000], 100), Ok(9000));
        assert_eq!(large.write(&[2; 9000], 0), Ok(9000));
        let full = held();
        first.cut(4097);
        assert!(held() < full);
        let start = first.start;
        drop(first);
        let again = store.piece(SIZES[0]).unwrap();
        assert_eq!(again.start, start);
        let mut bytes = [9; 9000];
        assert_eq!(again.read(&mut bytes, 100), Ok(9000));
        assert_eq!(bytes, [0; 9000]);
        assert_eq!(large.read(&mut bytes, 0), Ok(9000));
        assert_eq!(bytes, [2; 9000]);
        drop((again, large));
        assert!(held() < 9000);
    }
}
