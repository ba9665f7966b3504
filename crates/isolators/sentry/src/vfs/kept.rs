//! Attributes of files without names that their owners change: of pipes and sockets.

use std::sync::Mutex;

use crate::task::waiter::lock;

use super::{Attributes, Time};

/// What is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Permissions.
    Mode(u32),
    /// User and group; `u32::MAX` leaves one as it is.
    Owner(u32, u32),
    /// Times of access and of modification.
    Times([Option<Time>; 2]),
}

/// A mode that gives nothing to who executes the file. The set-group-ID bit of one that its
/// group may not execute means something else, which those who belong to it keep.
pub(super) fn without_set_ids(mode: u32, belongs: bool) -> u32 {
    let group_id = if mode & 0o10 != 0 || !belongs { 0o2000 } else { 0 };
    mode & !(0o4000 | group_id)
}

/// The attributes.
#[derive(Debug)]
pub struct Kept(Mutex<Attributes>);

impl Kept {
    /// Of a file that is made now.
    #[must_use]
    pub fn new(device: u64, inode: u64, mode: u32, (user, group): (u32, u32)) -> Self {
        let now = Time::now();
        Kept(Mutex::new(Attributes {
            device,
            inode,
            mode,
            links: 1,
            block_size: 4096,
            user,
            group,
            accessed: now,
            modified: now,
            changed: now,
            ..Attributes::default()
        }))
    }

    /// As they are now.
    #[must_use]
    pub fn now(&self) -> Attributes {
        *lock(&self.0)
    }

    /// Changes them. The caller knows who may.
    pub fn change(&self, change: Change) {
        let mut now = lock(&self.0);
        match change {
            Change::Mode(mode) => now.mode = now.kind() as u32 | mode & 0o7777,
            Change::Owner(user, group) => {
                if user != u32::MAX {
                    now.user = user;
                }
                if group != u32::MAX {
                    now.group = group;
                }
                // What it would give to who executes it doesn't change hands.
                now.mode = without_set_ids(now.mode, true);
            }
            Change::Times([accessed, modified]) => {
                now.accessed = accessed.unwrap_or(now.accessed);
                now.modified = modified.unwrap_or(now.modified);
            }
        }
        now.changed = Time::now();
    }
}
