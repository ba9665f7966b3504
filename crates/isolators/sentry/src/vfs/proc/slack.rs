//! `/proc/<pid>/timerslack_ns`: how late the timers of a process's first thread may be.

use std::sync::{Arc, Weak};

use rustix::io::Errno;

use crate::syscalls::{Call, Failure};
use crate::task::waiter::lock;
use crate::task::{Caps, Process, Thread};

use super::super::file::read_text;
use super::super::{Attributes, File, Ready};

/// That of a thread: its own, or, for who may set others' priorities, another's.
pub(super) struct SlackFile {
    pub(super) process: Weak<Process>,
    /// The thread's number.
    pub(super) id: i32,
    pub(super) attributes: Attributes,
}

impl SlackFile {
    /// The thread by now: who executes a program is another one with its number.
    fn thread(&self) -> Result<Arc<Thread>, Errno> {
        let process = self.process.upgrade().ok_or(Errno::SRCH)?;
        let kernel = process.kernel().ok_or(Errno::SRCH)?;
        let thread = lock(&kernel.tree).thread(self.id).cloned();
        thread.filter(|thread| Arc::ptr_eq(&thread.process, &process)).ok_or(Errno::SRCH)
    }
}

impl File for SlackFile {
    fn admit(&self, call: &Call<'_>, _: Ready, _: bool) -> Result<Option<usize>, Failure> {
        let own = Arc::ptr_eq(call.thread, &self.thread()?);
        if !own && !lock(&call.thread.credentials).can(Caps::SYS_NICE) {
            return Err(Errno::PERM.into());
        }
        Ok(None)
    }

    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let text = format!("{}\n", lock(&self.thread()?.habits).slack());
        Ok(read_text(text.as_bytes(), into, offset))
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        let text = std::str::from_utf8(from).map_err(|_| Errno::INVAL)?;
        let slack = text.trim().parse().map_err(|_| Errno::INVAL)?;
        lock(&self.thread()?.habits).set_slack(slack);
        Ok(from.len())
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}
