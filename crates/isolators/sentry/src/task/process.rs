//! A guest's process: what its threads share.

use std::sync::atomic::{AtomicI32, AtomicU32};
use std::sync::{Arc, Mutex};

use crate::kernel::Kernel;
use crate::signal::{Actions, Pending};
use crate::time::{Accounts, ProcessTimers, Usage};
use crate::vfs::{Entry, FileTable};

use super::Pid;
use super::limits::Limits;
use super::waiter::lock;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By exit, with a code.
    Exited(u8),
    /// By a signal; whether Linux would have written a core.
    Killed(u8, bool),
}

impl Status {
    /// As wait4(2) tells it. No core is written, but the flag for one tells where Linux
    /// would write one.
    #[must_use]
    pub fn word(self) -> i32 {
        match self {
            Status::Exited(code) => i32::from(code) << 8,
            Status::Killed(signal, core) => i32::from(signal) | if core { 0x80 } else { 0 },
        }
    }
}

/// User and group ids.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Real, effective, saved, file-system user.
    pub users: [u32; 4],
    /// Real, effective, saved, file-system group.
    pub groups: [u32; 4],
    /// Supplementary groups.
    pub others: Vec<u32>,
}

/// Where a process is in the file system.
#[derive(Debug)]
pub struct Directories {
    /// Working directory.
    pub current: Arc<Entry>,
    /// Its root.
    pub root: Arc<Entry>,
}

/// A process of the guest.
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// Open files.
    pub files: Mutex<Arc<FileTable>>,
    /// Working directory and root.
    pub directories: Mutex<Directories>,
    /// `umask`
    pub umask: AtomicU32,
    /// Who it is.
    pub credentials: Mutex<Credentials>,
    /// What it does on signals.
    pub actions: Mutex<Actions>,
    /// Signals for any of its threads.
    pub pending: Mutex<Pending>,
    /// `comm`: at most 15 bytes.
    pub name: Mutex<Vec<u8>>,
    /// Arguments, each with its zero; for procfs.
    pub command_line: Mutex<Vec<u8>>,
    /// Variables that the program was given, each with its zero; for procfs.
    pub environment: Mutex<Vec<u8>>,
    /// Processor time.
    pub accounts: Mutex<Accounts>,
    /// Its timers.
    pub timers: Mutex<ProcessTimers>,
    /// Its resource limits.
    pub limits: Mutex<Limits>,
    /// How nice it is: -20 to 19.
    pub nice: AtomicI32,
}

impl Process {
    /// A process without signals, timers and name.
    #[must_use]
    pub fn new(
        pid: Pid,
        files: Arc<FileTable>,
        directories: Directories,
        umask: u32,
        credentials: Credentials,
    ) -> Arc<Self> {
        Arc::new(Process {
            pid,
            files: Mutex::new(files),
            directories: Mutex::new(directories),
            umask: AtomicU32::new(umask),
            credentials: Mutex::new(credentials),
            actions: Mutex::default(),
            pending: Mutex::default(),
            name: Mutex::default(),
            command_line: Mutex::default(),
            environment: Mutex::default(),
            accounts: Mutex::default(),
            timers: Mutex::default(),
            limits: Mutex::default(),
            nice: AtomicI32::new(0),
        })
    }

    /// Processor time so far. Not to be called with the tree locked.
    #[must_use]
    pub fn usage(&self, kernel: &Kernel) -> Usage {
        let thread = {
            let tree = lock(&kernel.tree);
            tree.row(self.pid).and_then(|row| row.threads.values().next().cloned())
        };
        let space = thread.map(|thread| thread.space());
        lock(&self.accounts).own(space.as_ref().map(|space| &*space.stub))
    }
}
