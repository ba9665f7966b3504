//! `/proc/<pid>/timerslack_ns`: how late the timers of a process's first thread may be.

use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::syscalls::{Call, Failure, Habits};
use crate::task::waiter::lock;
use crate::task::{Caps, Process};

use super::super::texts::{read_number, read_text};
use super::super::{Attributes, File, Ready};

/// That of a thread: its own, or, for who may set others' priorities, another's.
pub(super) struct SlackFile {
    pub(super) process: Weak<Process>,
    /// The thread's number.
    pub(super) id: i32,
    pub(super) attributes: Attributes,
}

impl SlackFile {
    /// That of the thread by now: who executes a program is another one with its number. The
    /// first one's is there until somebody has waited for the process.
    fn habits(&self) -> Result<Arc<Mutex<Habits>>, Errno> {
        let process = self.process.upgrade().ok_or(Errno::SRCH)?;
        let kernel = process.kernel().ok_or(Errno::SRCH)?;
        let tree = lock(&kernel.tree);
        if self.id == process.pid {
            let row = tree.row(self.id).filter(|row| Arc::ptr_eq(&row.process, &process));
            return row.map(|_| Arc::clone(&process.habits)).ok_or(Errno::SRCH);
        }
        let thread = tree.thread(self.id).filter(|own| Arc::ptr_eq(&own.process, &process));
        thread.map(|thread| Arc::clone(&thread.habits)).ok_or(Errno::SRCH)
    }
}

impl File for SlackFile {
    fn admit(&self, call: &Call<'_>, _: Ready, _: bool) -> Result<Option<usize>, Failure> {
        let own = Arc::ptr_eq(&call.thread.habits, &self.habits()?);
        if !own && !lock(&call.thread.credentials).can(Caps::SYS_NICE) {
            return Err(Errno::PERM.into());
        }
        Ok(None)
    }

    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let text = format!("{}\n", lock(&*self.habits()?).slack());
        Ok(read_text(text.as_bytes(), into, offset))
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        lock(&*self.habits()?).set_slack(read_number(from)?);
        Ok(from.len())
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}
