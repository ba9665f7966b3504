//! The file that stands for a set.

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::Thread;
use crate::task::waiter::Waiter;
use crate::vfs::{Attributes, File, Ready};

use super::Epoll;

/// The file that stands for a set.
pub struct EpollFile(pub Arc<Epoll>);

impl File for EpollFile {
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn ready(&self) -> Ready {
        if self.0.collect(1, false, None).is_empty() { Ready::empty() } else { Ready::IN }
    }

    fn ready_for(&self, thread: &Thread) -> Ready {
        let any = !self.0.collect(1, false, Some(thread)).is_empty();
        if any { Ready::IN } else { Ready::empty() }
    }

    fn is_personal(&self) -> bool {
        true
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.0.calls.others.join(waiter);
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes { device: 14, inode: 2, mode: 0o600, links: 1, ..Attributes::default() })
    }
}
