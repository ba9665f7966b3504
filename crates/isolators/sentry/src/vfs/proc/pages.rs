//! `/proc/<pid>/pagemap`: which pages of a process are there, as the host says of its stub.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicUsize;

use rustix::io::Errno;

use crate::mm::PAGE;
use crate::platform::GUEST_END;
use crate::share::Share;
use crate::task::Process;

use super::super::broker::ProcessFile;
use super::super::{Attributes, File, Walker};
use super::privacy::memory_of;

/// Bytes that each page has.
const WORD: usize = 8;
/// Pages that there are on Linux; of those of the stub's own nothing is told.
const PAGES: u64 = 0x7fff_ffff_f000 / PAGE;
/// Written since it was asked (55), mapped once (56), of a file or shared (61), swapped (62),
/// there (63). Where in the machine it is (0 to 54) nobody learns.
const TOLD: u64 = 0xe180_0000_0000_0000;

/// Descriptors of the sentry's that may be open for these at a time.
const MOST: usize = 1024;
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// The pages that the process had when this was opened.
pub(super) struct PagesFile {
    host: OwnedFd,
    attributes: Attributes,
    _share: Share,
}

impl PagesFile {
    /// For who may trace the process.
    ///
    /// # Errors
    /// `EACCES`; `ESRCH` if it has ended; `ENFILE` if too many are open.
    pub(super) fn open(
        walker: &Walker<'_>,
        process: &Process,
        attributes: Attributes,
    ) -> Result<Self, Errno> {
        let space = memory_of(walker, process)?;
        let share = Share::of(&OPEN, MOST).ok_or(Errno::NFILE)?;
        let broker = &walker.kernel.files.broker;
        let host = broker.process_file(space.stub.pid(), None, ProcessFile::Pages)?;
        if space.users() == 0 {
            // Another process may have its number.
            return Err(Errno::SRCH);
        }
        Ok(PagesFile { host, attributes, _share: share })
    }
}

impl File for PagesFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let word = WORD as u64;
        if !offset.is_multiple_of(word) || !into.len().is_multiple_of(WORD) {
            return Err(Errno::INVAL);
        }
        let left = PAGES.saturating_sub(offset / word).saturating_mul(word);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..most).unwrap_or_default();
        let count = rustix::io::pread(&self.host, &mut *into, offset)?;
        let words = into.get_mut(..count).unwrap_or_default().chunks_exact_mut(WORD);
        for (page, bytes) in (offset / word..).zip(words) {
            let told = bytes.try_into().map_or(0, u64::from_ne_bytes) & TOLD;
            let own = page < GUEST_END / PAGE;
            bytes.copy_from_slice(&(if own { told } else { 0 }).to_ne_bytes());
        }
        Ok(count)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }
}
