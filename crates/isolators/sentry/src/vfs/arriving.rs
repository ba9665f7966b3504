//! Entries on their way to another name: once the file system has renamed a file, who looks for
//! the new name finds it, and is given the entry that it has, though that comes a moment later.
//! Else a directory had two entries, and who stands in it would not see what others do.

use std::sync::{Arc, Mutex};

use crate::task::waiter::lock;

use super::Entry;

struct Arrival {
    directory: Arc<Entry>,
    name: Vec<u8>,
    entry: Arc<Entry>,
}

static ARRIVALS: Mutex<Vec<Arc<Arrival>>> = Mutex::new(Vec::new());

/// As long as it is there an entry is expected.
pub(super) struct Expected(Arc<Arrival>);

/// `entry` may be called `name` in a directory from now on.
pub(super) fn expect(directory: &Arc<Entry>, name: &[u8], entry: &Arc<Entry>) -> Expected {
    let (directory, entry) = (Arc::clone(directory), Arc::clone(entry));
    let arrival = Arc::new(Arrival { directory, name: name.to_vec(), entry });
    lock(&ARRIVALS).push(Arc::clone(&arrival));
    Expected(arrival)
}

/// The entry that is expected there for the same file, whose place that is by now.
pub(super) fn expected(directory: &Entry, name: &[u8], file: &Entry) -> Option<Arc<Entry>> {
    let arrivals = lock(&ARRIVALS);
    let is_it = |arrival: &&Arc<Arrival>| {
        std::ptr::eq(&*arrival.directory, directory)
            && arrival.name == name
            && arrival.entry.is_same(file)
    };
    let arrival = arrivals.iter().find(is_it)?;
    // With the lock held: a later rename has it go elsewhere.
    *lock(&arrival.entry.place) = (Some(Arc::clone(&arrival.directory)), name.to_vec());
    Some(Arc::clone(&arrival.entry))
}

impl Drop for Expected {
    fn drop(&mut self) {
        lock(&ARRIVALS).retain(|arrival| !Arc::ptr_eq(arrival, &self.0));
    }
}
