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

/// Bytes of pieces that nobody has which the host is not told of: who makes files and takes them
/// away again, as databases do, would have it find room each time.
const KEPT: u64 = 4 << 20;

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
    /// Pieces that nobody has, of each size: where they are, and bytes that may be written there.
    free: [Vec<(u64, u64)>; SIZES.len()],
    /// All of these, in pages.
    kept: u64,
}

/// A part of the common file. What is in it when it is given to somebody may be anything.
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
        let (start, written) = match pieces.free.get_mut(size).and_then(Vec::pop) {
            Some((start, written)) => {
                pieces.kept = pieces.kept.saturating_sub(pages(written));
                (start, written)
            }
            None => {
                let start = pieces.end;
                pieces.end = start.checked_add(bytes).ok_or(Errno::NOSPC)?;
                (start, 0)
            }
        };
        drop(pieces);
        Ok(Piece { store: Arc::clone(self), start, size, written })
    }

    /// Gives back to the host what nobody has; whether that was anything.
    pub(super) fn give_back(&self) -> bool {
        let (mut free, kept) = {
            let mut pieces = lock(&self.pieces);
            (std::mem::take(&mut pieces.free), std::mem::take(&mut pieces.kept))
        };
        for (start, written) in free.iter_mut().flatten().filter(|(_, written)| *written > 0) {
            if self.punch(*start, pages(*written)) {
                *written = 0;
            }
        }
        let mut pieces = lock(&self.pieces);
        for (all, some) in pieces.free.iter_mut().zip(free) {
            all.extend(some);
        }
        kept > 0
    }

    /// Gives pages back to the host. Where it can't, they are there for who gets them next.
    fn punch(&self, start: u64, length: u64) -> bool {
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.common, punch, start, length).is_ok()
    }

    /// Does something that takes room of the host's; again, if there was none and some could be
    /// given back.
    pub(super) fn with_room<T>(&self, mut f: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        match f() {
            Err(Errno::NOSPC) if self.give_back() => f(),
            done => done,
        }
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
            let write = || rustix::io::pwrite(&self.store.common, rest, self.start + place);
            match self.store.with_room(write) {
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
        if from < to && self.store.punch(self.start + from, to - from) {
            self.written = from;
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let kept = lock(&self.store.pieces).kept;
        if kept.saturating_add(pages(self.written)) > KEPT {
            self.cut(0);
        }
        let mut pieces = lock(&self.store.pieces);
        pieces.kept = pieces.kept.saturating_add(pages(self.written));
        if let Some(free) = pieces.free.get_mut(self.size) {
            free.push((self.start, self.written));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::super::small::Small;
    use super::*;

    /// What a piece had comes up nowhere else, and the host has it again when it needs it.
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
        // What is written next is there, and nothing of what was.
        let mut again = Small::default();
        assert_eq!(again.write(Some(&store), &[3; 2], 200), Ok(2));
        assert_eq!(again.resize(Some(&store), 300), Ok(()));
        let mut bytes = [9; 9000];
        assert_eq!(again.read(&mut bytes, 0), Ok(300));
        assert_eq!((&bytes[..200], &bytes[200..202]), (&[0; 200][..], &[3; 2][..]));
        assert_eq!((&bytes[202..300], bytes[300]), (&[0; 98][..], 9));
        assert!(matches!(&again, Small::Stored(piece, 300) if piece.start == start));
        assert_eq!(large.read(&mut bytes, 0), Ok(9000));
        assert_eq!(bytes, [2; 9000]);
        drop((again, large));
        // The host has it again as soon as there is no room.
        let mut tries = 0;
        let done = store.with_room(|| {
            tries += 1;
            if held() > 0 { Err(Errno::NOSPC) } else { Ok(tries) }
        });
        assert_eq!(done, Ok(2));
        let full = store.with_room(|| {
            tries += 1;
            Err::<(), _>(Errno::NOSPC)
        });
        assert_eq!((full, tries), (Err(Errno::NOSPC), 3));
        // No more is kept than that.
        let pieces: Vec<_> = (0..3)
            .map(|_| {
                let mut piece = store.piece(SIZES[1]).unwrap();
                assert_eq!(piece.write(&vec![1; 2 << 20], 0), Ok(2 << 20));
                piece
            })
            .collect();
        drop(pieces);
        // And what the host needs to find it.
        assert!(held() <= KEPT + (64 << 10), "{}", held());
    }
}
