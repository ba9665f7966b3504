//! A guest's process: what its threads share.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Instant;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::signal::{Actions, Pending};
use crate::syscalls::Habits;
use crate::time::{Accounts, Counting, ProcessTimers, Resting, Usage};
use crate::vfs::{Entry, FileTable};

use super::Pid;
use super::aio::Contexts;
use super::capabilities::{CapabilitySets, Caps};
use super::filter::Filter;
use super::leaving::Leaving;
use super::limits::Limits;
use super::namespaces::Namespaces;
use super::pid_namespace::PidNamespace;
use super::user_namespace::Space;
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
    /// Capabilities, in `space`.
    pub caps: CapabilitySets,
    /// The user namespace that it is in.
    pub space: Space,
}

impl Credentials {
    /// A user and group with what they have on Linux: root has every capability.
    #[must_use]
    pub fn of(user: u32, group: u32, others: Vec<u32>) -> Self {
        let caps = CapabilitySets::of_user(user);
        Credentials { users: [user; 4], groups: [group; 4], others, caps, space: None }
    }

    /// Whether it may do what takes these capabilities in the first user namespace.
    #[must_use]
    pub fn can(&self, caps: Caps) -> bool {
        self.space.is_none() && self.can_here(caps)
    }

    /// The same, as an answer.
    ///
    /// # Errors
    /// `EPERM`
    pub fn require(&self, caps: Caps) -> Result<(), Errno> {
        if self.can(caps) { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Whether its file-system group, or a supplementary one, is this.
    #[must_use]
    pub fn in_group(&self, group: u32) -> bool {
        self.groups[3] == group || self.others.contains(&group)
    }

    /// Whether what one does to a file of this owner may leave it a set-group-ID bit.
    #[must_use]
    pub fn keeps_group_id(&self, owner: (u32, u32)) -> bool {
        self.in_group(owner.1) || self.can_about(owner, Caps::FSETID)
    }
}

/// Where a process is in the file system.
#[derive(Debug)]
pub struct Directories {
    /// Working directory.
    pub current: Arc<Entry>,
    /// Its root.
    pub root: Arc<Entry>,
}

/// What tasks that share it (`CLONE_FS`) have in common.
#[derive(Debug)]
pub struct Fs {
    /// Where they are.
    pub directories: Mutex<Directories>,
    /// What new files do not permit.
    pub umask: AtomicU32,
}

impl Fs {
    /// Of one that shares it with nobody.
    #[must_use]
    pub fn new(directories: Directories, umask: u32) -> Arc<Self> {
        Arc::new(Fs { directories: Mutex::new(directories), umask: AtomicU32::new(umask) })
    }

    /// One of its own.
    #[must_use]
    pub fn copy(&self) -> Arc<Self> {
        let umask = self.umask.load(Ordering::SeqCst);
        let at = lock(&self.directories);
        let (current, root) = (Arc::clone(&at.current), Arc::clone(&at.root));
        Fs::new(Directories { current, root }, umask)
    }
}

/// A process of the guest.
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// Open files.
    pub files: Mutex<Arc<FileTable>>,
    /// Where it is: of its first thread.
    fs: Mutex<Arc<Fs>>,
    credentials: Mutex<Arc<Mutex<Credentials>>>,
    /// Whether others of the same user may look into it: `PR_SET_DUMPABLE`.
    pub dumpable: AtomicBool,
    /// The user namespace in which a capability lets look into its program, if others of the
    /// same user may not: that which it was executed in, or one above that knows the owner of
    /// what could not be read.
    pub seen_from: Mutex<Space>,
    /// When it was made.
    pub began: Instant,
    /// Its execution domain, as personality(2) has it.
    pub personality: AtomicU32,
    /// What it does on signals.
    actions: Mutex<Arc<Mutex<Actions>>>,
    /// Signals for any of its threads.
    pub pending: Mutex<Pending>,
    /// `comm` of its first thread: at most 15 bytes.
    pub name: Arc<Mutex<Vec<u8>>>,
    /// What its first thread has set of itself: told as long as nobody has waited for it.
    pub habits: Arc<Mutex<Habits>>,
    /// Where its memory has the arguments and variables that it was given; for procfs.
    pub strings: Mutex<[Range<u64>; 2]>,
    /// The auxiliary vector of its program; for procfs.
    pub auxiliary: Mutex<Vec<u8>>,
    /// How often it was continued by SIGCONT, stopped or not.
    pub continued: AtomicU64,
    /// Held while filters are installed.
    pub filtering: Mutex<()>,
    /// The filter of its container's configuration, if a program of that was started.
    pub configured: Mutex<Option<Arc<Filter>>>,
    /// Contexts of asynchronous input and output.
    pub aio: Contexts,
    /// The PID namespace that it is in; none: the container's.
    pub(super) pids: OnceLock<Arc<PidNamespace>>,
    /// Namespaces of its own: those of its first thread.
    pub namespaces: Mutex<Namespaces>,
    /// Processor time.
    pub accounts: Mutex<Accounts>,
    /// What else it used.
    pub counting: Mutex<Counting>,
    /// Its timers.
    pub timers: Mutex<ProcessTimers>,
    /// Those of its clocks, its own or others', that rest.
    pub resting: Arc<Resting>,
    /// What it waits for once it has ended.
    pub(super) leaving: Mutex<Leaving>,
    /// Its resource limits.
    pub limits: Mutex<Limits>,
    /// Whether its memory is to be in small pages alone.
    pub no_huge_pages: AtomicBool,
    /// How nice it is: -20 to 19.
    pub nice: AtomicI32,
    /// `oom_score_adj`, and what it may be lowered to by who has no capability for more.
    pub oom_adjustment: Mutex<(i32, i32)>,
    /// What ioprio_set(2) set; 0 if nothing.
    pub io_priority: AtomicI32,
    /// The kernel of its container: with a shared numbering, not always that of who
    /// looks it up.
    pub home: OnceLock<Weak<Kernel>>,
}

impl Process {
    /// A process without signals, timers and name.
    #[must_use]
    pub fn new(
        pid: Pid,
        files: Arc<FileTable>,
        fs: Arc<Fs>,
        credentials: Credentials,
    ) -> Arc<Self> {
        let space = credentials.space.clone();
        Arc::new(Process {
            pid,
            files: Mutex::new(files),
            fs: Mutex::new(fs),
            credentials: Mutex::new(Arc::new(Mutex::new(credentials))),
            dumpable: AtomicBool::new(true),
            seen_from: Mutex::new(space),
            began: Instant::now(),
            personality: AtomicU32::new(0),
            actions: Mutex::default(),
            pending: Mutex::default(),
            name: Arc::default(),
            habits: Arc::default(),
            strings: Mutex::default(),
            auxiliary: Mutex::default(),
            continued: AtomicU64::new(0),
            filtering: Mutex::default(),
            configured: Mutex::default(),
            aio: Contexts::default(),
            pids: OnceLock::new(),
            namespaces: Mutex::default(),
            accounts: Mutex::default(),
            counting: Mutex::default(),
            timers: Mutex::default(),
            resting: Arc::default(),
            leaving: Mutex::default(),
            limits: Mutex::default(),
            no_huge_pages: AtomicBool::new(false),
            nice: AtomicI32::new(0),
            oom_adjustment: Mutex::default(),
            io_priority: AtomicI32::new(0),
            home: OnceLock::new(),
        })
    }

    /// Its descriptors, as its own: a copy of them if another process has them, too. Not to be
    /// called with the tree locked.
    pub fn own_files(&self, kernel: &Kernel) -> Arc<FileTable> {
        let now = Arc::clone(&lock(&self.files));
        // This one and the process's; others may look at it for a moment.
        if Arc::strong_count(&now) <= 2 {
            return now;
        }
        let all: Vec<_> = {
            let tree = lock(&kernel.tree);
            tree.rows().map(|(_, row)| Arc::clone(&row.process)).collect()
        };
        let has =
            |other: &Arc<Process>| other.pid != self.pid && Arc::ptr_eq(&now, &lock(&other.files));
        if !all.iter().any(has) {
            return now;
        }
        let own = Arc::new(now.copy());
        *lock(&self.files) = Arc::clone(&own);
        own
    }

    /// Who its first thread is, and whom others find. Those of the program that it runs now:
    /// the next one has others.
    #[must_use]
    pub fn credentials(&self) -> Arc<Mutex<Credentials>> {
        Arc::clone(&lock(&self.credentials))
    }

    /// The same, as they are now.
    #[must_use]
    pub fn who(&self) -> Credentials {
        lock(&self.credentials()).clone()
    }

    /// Where its first thread is, and whom others find.
    #[must_use]
    pub fn fs(&self) -> Arc<Fs> {
        Arc::clone(&lock(&self.fs))
    }

    /// Its first thread has another one.
    pub fn set_fs(&self, fs: Arc<Fs>) {
        *lock(&self.fs) = fs;
    }

    /// What signals do: another process may have the same (`CLONE_SIGHAND`).
    #[must_use]
    pub fn actions(&self) -> Arc<Mutex<Actions>> {
        Arc::clone(&lock(&self.actions))
    }

    /// Has those of another one, and changes of them, too.
    pub fn share_actions(&self, actions: Arc<Mutex<Actions>>) {
        *lock(&self.actions) = actions;
    }

    /// It runs another program: what threads of the one before still have is not its.
    pub fn becomes(&self, who: Credentials) {
        *lock(&self.credentials) = Arc::new(Mutex::new(who));
    }

    /// Its container's kernel, unless that is gone.
    #[must_use]
    pub fn kernel(&self) -> Option<Arc<Kernel>> {
        self.home.get().and_then(Weak::upgrade)
    }

    /// Processor time so far. Not to be called with the tree locked.
    #[must_use]
    pub fn usage(&self, kernel: &Kernel) -> Usage {
        let space = kernel.first_thread(self.pid).map(|thread| thread.space());
        lock(&self.accounts).own(space.as_ref().map(|space| &*space.stub))
    }
}
