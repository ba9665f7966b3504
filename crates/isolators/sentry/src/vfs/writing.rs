//! Which regular files are open to be written: those can't be executed.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use crate::task::waiter::lock;

type Id = (u64, u64);

/// How often each is, by device and inode.
static WRITTEN: LazyLock<Mutex<HashMap<Id, usize>>> = LazyLock::new(Mutex::default);

/// A file is open to be written for as long as this is there.
#[derive(Debug)]
pub struct Writing(Id);

impl Writing {
    /// Of the file of this device and inode.
    #[must_use]
    pub(super) fn of(id: Id) -> Self {
        *lock(&WRITTEN).entry(id).or_default() += 1;
        Writing(id)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut written = lock(&WRITTEN);
        if let Some(count) = written.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                written.remove(&self.0);
            }
        }
    }
}

/// Whether somebody has that file open to write it.
#[must_use]
pub fn is_written(id: Id) -> bool {
    lock(&WRITTEN).contains_key(&id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_ends_it() {
        let id = (u64::MAX, 7);
        let (one, other) = (Writing::of(id), Writing::of(id));
        assert!(is_written(id));
        drop(one);
        assert!(is_written(id));
        drop(other);
        assert!(!is_written(id));
    }
}
