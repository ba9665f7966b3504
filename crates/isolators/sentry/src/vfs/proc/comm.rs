//! A thread's name, open to be written: `/proc/<pid>/comm`, `/proc/<pid>/task/<tid>/comm`.

use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::syscalls::{Call, Failure};
use crate::task::Process;
use crate::task::waiter::lock;

use super::super::texts::read_text;
use super::super::{Attributes, File, Ready};

/// Bytes of a name.
const MOST: usize = 15;

/// A name, which its own process may change.
pub(super) struct NameFile {
    pub(super) process: Arc<Process>,
    pub(super) name: Arc<Mutex<Vec<u8>>>,
    pub(super) attributes: Attributes,
}

/// The name as it is shown in a line with others.
pub(super) fn escaped(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace('\\', "\\\\").replace('\n', "\\n")
}

impl File for NameFile {
    fn admit(&self, call: &Call<'_>, what: Ready, _: bool) -> Result<Option<usize>, Failure> {
        let own = Arc::ptr_eq(&call.thread.process, &self.process);
        if what.contains(Ready::OUT) && !own {
            return Err(Errno::INVAL.into());
        }
        Ok(None)
    }

    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut text = lock(&self.name).clone();
        text.push(b'\n');
        Ok(read_text(&text, into, offset))
    }

    fn write(&self, from: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        let name = from.iter().take(MOST).take_while(|byte| **byte != 0).copied().collect();
        *lock(&self.name) = name;
        Ok(from.len())
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}
