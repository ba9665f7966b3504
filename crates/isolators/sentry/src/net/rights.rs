//! Descriptors on their way through a socket (`SCM_RIGHTS`).
//!
//! A socket may lie in its own inbox, or two in each other's: such a circle stays as
//! long as the sandbox, so the number on the way is limited.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use crate::vfs::OpenFile;

/// Descriptors that may be on the way in a sandbox.
const LIMIT: usize = 4096;
static ON_THE_WAY: AtomicUsize = AtomicUsize::new(0);

/// Descriptors in a packet.
#[derive(Debug, Default)]
pub struct Rights(Vec<Arc<OpenFile>>);

impl Rights {
    /// Sends them off.
    ///
    /// # Errors
    /// `ETOOMANYREFS` if too many are on the way.
    pub fn new(files: Vec<Arc<OpenFile>>) -> Result<Self, Errno> {
        let count = files.len();
        if ON_THE_WAY.fetch_add(count, Ordering::SeqCst) + count > LIMIT {
            ON_THE_WAY.fetch_sub(count, Ordering::SeqCst);
            return Err(Errno::TOOMANYREFS);
        }
        Ok(Rights(files))
    }

    /// Those that arrived and were not taken are on the way again, however many there are.
    #[must_use]
    pub fn again(files: Vec<Arc<OpenFile>>) -> Self {
        ON_THE_WAY.fetch_add(files.len(), Ordering::SeqCst);
        Rights(files)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files, which stay on the way.
    #[must_use]
    pub fn copies(&self) -> Vec<Arc<OpenFile>> {
        self.0.clone()
    }

    /// The files, which have arrived.
    #[must_use]
    pub fn take(mut self) -> Vec<Arc<OpenFile>> {
        ON_THE_WAY.fetch_sub(self.0.len(), Ordering::SeqCst);
        std::mem::take(&mut self.0)
    }
}

thread_local! {
    /// Files to be closed, if a close is under way in this thread.
    static CLOSING: RefCell<Option<Vec<Arc<OpenFile>>>> = const { RefCell::new(None) };
}

impl Drop for Rights {
    /// Sockets in inboxes of sockets in inboxes...: closed one after the other, not
    /// one within the other.
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        ON_THE_WAY.fetch_sub(self.0.len(), Ordering::SeqCst);
        let files = std::mem::take(&mut self.0);
        let first = CLOSING.with_borrow_mut(|closing| match closing {
            Some(list) => {
                list.extend(files);
                false
            }
            None => {
                *closing = Some(files);
                true
            }
        });
        if !first {
            return;
        }
        loop {
            let next = CLOSING.with_borrow_mut(|closing| {
                let next = closing.as_mut().and_then(Vec::pop);
                if next.is_none() {
                    *closing = None;
                }
                next
            });
            match next {
                Some(file) => drop(file),
                None => return,
            }
        }
    }
}
