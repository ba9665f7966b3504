//! Extended attributes. They take of the room that there is for files.

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::TmpNode;
use super::room::{Extended, all_extended, extended_room};

/// Bytes that those of a file may have, where there is no limit for all.
const EXTENDED_LIMIT: u64 = 64 << 10;

impl TmpNode {
    /// An extended attribute.
    ///
    /// # Errors
    /// `ENODATA`
    pub fn extended(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        lock(&self.changeable).extended.get(name).cloned().ok_or(Errno::NODATA)
    }

    /// Names of all extended attributes.
    #[must_use]
    pub fn extended_names(&self) -> Vec<Vec<u8>> {
        lock(&self.changeable).extended.keys().cloned().collect()
    }

    /// Sets an extended attribute, or removes it; `must_be` says whether it must be there, or
    /// must not.
    ///
    /// # Errors
    /// `EEXIST`, `ENODATA`; `ENOSPC` if there is no room for it.
    pub fn set_extended(
        &self,
        name: &[u8],
        value: Option<&[u8]>,
        must_be: Option<bool>,
    ) -> Result<(), Errno> {
        let mut now = lock(&self.changeable);
        match (must_be, now.extended.contains_key(name)) {
            (Some(true), false) => return Err(Errno::NODATA),
            (Some(false), true) => return Err(Errno::EXIST),
            _ => {}
        }
        // As on Linux, there is to be room for both, the old one and the new one.
        let more = value.map_or(0, |value| extended_room(name, value));
        let room = &self.fs.files;
        if !room.is_limited() && all_extended(&now.extended) + more > EXTENDED_LIMIT {
            return Err(Errno::NOSPC);
        }
        room.take(more)?;
        self.forget(&mut now.extended, name);
        if let Some(value) = value {
            now.extended.insert(name.to_vec(), value.to_vec());
        }
        now.changed = super::Time::now();
        Ok(())
    }

    /// Takes an attribute away, and gives its room back.
    pub(super) fn forget(&self, all: &mut Extended, name: &[u8]) {
        if let Some(old) = all.remove(name) {
            self.fs.files.give(extended_room(name, &old));
        }
    }
}
