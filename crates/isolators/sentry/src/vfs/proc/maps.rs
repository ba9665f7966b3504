//! Maps of a user namespace, open to be written: `/proc/<pid>/uid_map` and its like.

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::user_namespace::{Ids, Space, write_groups, write_map};
use crate::task::waiter::{Waiter, lock};
use crate::task::{Caps, Credentials, Process};

use super::super::{Attributes, File, Ready, Walker};
use super::TextFile;

/// A map of the namespace that a process was in when this was opened.
pub(super) struct MapFile {
    space: Space,
    /// Which one; `None` for whether groups may be set.
    ids: Option<Ids>,
    /// Who opened it.
    opener: Credentials,
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
        let space = lock(&process.credentials).space.clone();
        let ids = match name {
            "uid_map" => Some(Ids::Users),
            "gid_map" => Some(Ids::Groups),
            _ => None,
        };
        if ids.is_none() && !opener.can_in(&space, Caps::SYS_ADMIN) {
            return Err(Errno::ACCESS);
        }
        let own = (process.pid, &opener);
        let text = super::of_process(walker.kernel, process, own, name);
        let text = TextFile::new(text, attributes);
        Ok(MapFile { space, ids, opener, text, attributes })
    }
}

impl File for MapFile {
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
            Some(ids) => write_map(&self.space, ids, &self.opener, from)?,
            None => write_groups(&self.space, &self.opener, from)?,
        }
        Ok(from.len())
    }

    fn ready(&self) -> Ready {
        Ready::IN | Ready::OUT
    }

    fn watch(&self, _: &Arc<Waiter>) {}

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}
