//! pidfd_open(2): a process by a descriptor.

use std::any::Any;
use std::sync::{Arc, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::Process;
use crate::task::waiter::{Waiter, lock};

use super::{Attributes, File, Ready};

/// Stands for a process, also once its number is another's.
pub struct PidFd {
    kernel: Weak<Kernel>,
    /// The process.
    pub process: Arc<Process>,
}

impl PidFd {
    /// For a process.
    #[must_use]
    pub fn new(kernel: &Arc<Kernel>, process: Arc<Process>) -> Self {
        PidFd { kernel: Arc::downgrade(kernel), process }
    }

    /// Whether the process is there, be it as a zombie.
    #[must_use]
    pub fn is_there(&self, kernel: &Kernel) -> bool {
        let tree = lock(&kernel.tree);
        tree.row(self.process.pid).is_some_and(|row| Arc::ptr_eq(&row.process, &self.process))
    }
}

impl File for PidFd {
    fn read(&self, _: &mut [u8], _: u64) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn ready(&self) -> Ready {
        let Some(kernel) = self.kernel.upgrade() else { return Ready::IN };
        let tree = lock(&kernel.tree);
        let row = tree.row(self.process.pid);
        let runs = row.is_some_and(|row| Arc::ptr_eq(&row.process, &self.process) && !row.told);
        if runs { Ready::empty() } else { Ready::IN }
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.children.join(waiter);
        }
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes { device: 14, inode: 5, mode: 0o600, links: 1, ..Attributes::default() })
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
