//! The descriptor of a filter's listener: see `seccomp_unotify(2)`.

use std::any::Any;
use std::sync::Arc;

use rustix::io::Errno;

use crate::task::notice::Notifier;
use crate::task::waiter::Waiter;

use super::{Attributes, File, Ready};

/// Who has it hears of calls; with its last descriptor nobody does.
pub struct NoticeFile(pub Arc<Notifier>);

impl Drop for NoticeFile {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl File for NoticeFile {
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn ready(&self) -> Ready {
        let (new, told, orphaned) = self.0.ready();
        let mut ready = Ready::empty();
        ready.set(Ready::IN | Ready::RDNORM, new);
        ready.set(Ready::OUT | Ready::WRNORM, told);
        ready.set(Ready::HUP, orphaned);
        ready
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.0.watch(waiter);
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes { device: 14, inode: 6, mode: 0o600, links: 1, ..Attributes::default() })
    }

    fn label(&self) -> Option<String> {
        Some("anon_inode:seccomp notify".to_owned())
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
