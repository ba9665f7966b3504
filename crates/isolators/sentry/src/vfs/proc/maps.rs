//! Maps of a user namespace, open to be written: `/proc/<pid>/uid_map` and its like.

use std::sync::atomic::{AtomicU8, Ordering};

use rustix::io::Errno;

use crate::syscalls::{Call, Failure};
use crate::task::user_namespace::{Ids, Space, maps_others, write_groups, write_map};
use crate::task::waiter::lock;
use crate::task::{Caps, Credentials, OuterIds, Process};

use super::super::{Attributes, File, Ready, Walker};
use super::TextFile;

/// A map of the namespace that a process was in when this was opened.
pub(super) struct MapFile {
    space: Space,
    /// Which one; `None` for whether groups may be set.
    ids: Option<Ids>,
    /// Who opened it.
    opener: Credentials,
    /// Who writes.
    writers: AtomicU8,
    /// Ids that the first namespace has.
    outer: OuterIds,
    text: TextFile,
    attributes: Attributes,
}

impl MapFile {
    /// Opens one.
    ///
    /// # Errors
    /// `EACCES` for who may not change whether groups may be set.
    pub(super) fn open(
        walker: &Walker<'_>,
        process: &Process,
        name: &str,
        attributes: Attributes,
    ) -> Result<Self, Errno> {
        let opener = walker.credentials.clone();
        let space = lock(&process.credentials()).space.clone();
        let ids = match name {
            "uid_map" => Some(Ids::Users),
            "gid_map" => Some(Ids::Groups),
            _ => None,
        };
        if ids.is_none() && !opener.can_in(&space, Caps::SYS_ADMIN) {
            return Err(Errno::ACCESS);
        }
        let own = (process.pid, &None);
        let text = super::of_process(walker.kernel, process, own, &opener, name);
        let text = TextFile::new(text, attributes);
        let writers = AtomicU8::new(NOBODY);
        let outer = walker.kernel.ids().clone();
        Ok(MapFile { space, ids, opener, writers, outer, text, attributes })
    }
}

/// Nobody has begun to write.
const NOBODY: u8 = 0;
/// All who did might map others' ids.
const ABLE: u8 = 1;
/// Somebody could not.
const UNABLE: u8 = 2;

impl File for MapFile {
    fn admit(&self, call: &Call<'_>, what: Ready, _: bool) -> Result<Option<usize>, Failure> {
        if let Some(ids) = self.ids.filter(|_| what.contains(Ready::OUT)) {
            let able = maps_others(&self.space, ids, &lock(&call.thread.credentials).clone());
            // Who can less may be about to write for ever.
            self.writers.fetch_max(if able { ABLE } else { UNABLE }, Ordering::SeqCst);
        }
        Ok(None)
    }

    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.text.read(into, offset)
    }

    fn write(&self, from: &[u8], offset: u64, _: bool) -> Result<usize, Errno> {
        /// All of it is written at once.
        const MOST: usize = 4096;
        if offset != 0 || from.len() >= MOST {
            return Err(Errno::INVAL);
        }
        match self.ids {
            Some(ids) => {
                let able = self.writers.load(Ordering::SeqCst) == ABLE;
                write_map(&self.space, ids, (&self.opener, able), &self.outer, from)?;
            }
            None => write_groups(&self.space, &self.opener, from)?,
        }
        Ok(from.len())
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}
