//! All terminals: their numbers, their names in devpts, and which session each
//! controls.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::signal::{SIGCONT, SIGHUP};
use crate::syscalls::Call;
use crate::task::waiter::lock;
use crate::task::{Pid, signal_group};
use crate::vfs::mount::Options;
use crate::vfs::tmpfs::{New, TmpFs};
use crate::vfs::{Entry, File, HostStream, Kind, Node, OpenFile, Resolve, TmpNode, Walker, status};

use super::pair::{Master, Slave};
use super::{Tty, console};

/// A devpts: its root, and who owns the terminals in it.
#[derive(Debug)]
struct Devpts {
    root: Weak<TmpNode>,
    mode: u32,
    group: Option<u32>,
    /// Only terminals that are made by its own `ptmx` are in it, and in no other.
    apart: bool,
}

/// Terminals.
#[derive(Debug, Default)]
pub struct Terminals {
    pairs: Mutex<BTreeMap<u32, Weak<Tty>>>,
    mounted: Mutex<Vec<Devpts>>,
    controlling: Mutex<HashMap<Pid, Arc<Tty>>>,
    /// What `/dev/console` stands for.
    console: Mutex<Option<Arc<Tty>>>,
}

/// Terminals that there can be (`/proc/sys/kernel/pty/max`).
const MOST: u32 = 4096;

const DIRECTORY: New<'static> =
    New { kind: Kind::Directory, permissions: 0o755, owner: (0, 0), number: 0, text: b"" };

impl Terminals {
    /// A devpts to be mounted: all terminals, whoever made them.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn devpts(&self, device: u64, options: &Options) -> Result<Arc<TmpNode>, Errno> {
        self.new_devpts(device, options, false)
    }

    /// The same for a user namespace: it has no terminals but those that are made in it.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn devpts_apart(&self, device: u64, options: &Options) -> Result<Arc<TmpNode>, Errno> {
        self.new_devpts(device, options, true)
    }

    fn new_devpts(
        &self,
        device: u64,
        options: &Options,
        apart: bool,
    ) -> Result<Arc<TmpNode>, Errno> {
        let root = TmpFs::with_root(device, 1 << 20, u64::from(MOST) + 8, DIRECTORY);
        let number = rustix::fs::makedev(5, 2);
        let value = |name: &str, radix: u32| {
            let values = options.others.iter().filter_map(|option| option.split_once('='));
            let text =
                values.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()?;
            u32::from_str_radix(text, radix).ok()
        };
        let permissions = value("ptmxmode", 8).unwrap_or(0) & 0o777;
        root.make(b"ptmx", New { kind: Kind::Character, permissions, number, ..DIRECTORY })?;
        let mode = value("mode", 8).unwrap_or(0o600) & 0o777;
        let (root_of, group) = (Arc::downgrade(&root), value("gid", 10));
        let pts = Devpts { root: root_of, mode, group, apart };
        for (number, tty) in lock(&self.pairs).iter().filter(|_| !apart) {
            if let Some(tty) = tty.upgrade().filter(|tty| !tty.apart) {
                add_name(&pts, *number, tty.owner)?;
            }
        }
        lock(&self.mounted).push(pts);
        Ok(root)
    }

    /// `within`: the devpts whose `ptmx` is opened, if it is one apart.
    fn make(
        &self,
        kernel: &Arc<Kernel>,
        owner: (u32, u32),
        within: Option<&Arc<TmpNode>>,
    ) -> Result<Arc<Tty>, Errno> {
        let tty = {
            let mut pairs = lock(&self.pairs);
            pairs.retain(|_, tty| tty.strong_count() > 0);
            let free = (0..MOST).find(|number| !pairs.contains_key(number)).ok_or(Errno::NOSPC)?;
            let tty = Tty::new(kernel, free, owner, within.is_some());
            pairs.insert(free, Arc::downgrade(&tty));
            tty
        };
        let mut mounted = lock(&self.mounted);
        mounted.retain(|pts| pts.root.strong_count() > 0);
        let is_in = |pts: &&Devpts| match within {
            Some(root) => std::ptr::eq(pts.root.as_ptr(), Arc::as_ptr(root)),
            None => !pts.apart,
        };
        for pts in mounted.iter().filter(is_in) {
            add_name(pts, tty.number, owner)?;
        }
        Ok(tty)
    }

    /// The master of a terminal is gone: so is its name.
    pub(super) fn remove(&self, number: u32) {
        lock(&self.pairs).remove(&number);
        for root in lock(&self.mounted).iter().filter_map(|pts| pts.root.upgrade()) {
            let _ = root.remove(number.to_string().as_bytes(), false);
        }
    }

    /// The devpts apart that an entry is in, if it is in one.
    fn apart(&self, entry: &Entry) -> Option<Arc<TmpNode>> {
        let Node::Tmp(node) = &entry.node else { return None };
        let mounted = lock(&self.mounted);
        let roots = mounted.iter().filter(|pts| pts.apart).filter_map(|pts| pts.root.upgrade());
        let mut roots = roots.filter(|root| Arc::ptr_eq(root.file_system(), node.file_system()));
        roots.next()
    }

    /// Opens a device with a terminal's number; `None` if it is none.
    ///
    /// # Errors
    /// As open(2): `ENXIO` if there is no such terminal.
    pub fn open(
        &self,
        walker: &Walker<'_>,
        call: &Call<'_>,
        number: u64,
        entry: &Arc<Entry>,
        flags: u32,
    ) -> Result<Option<Box<dyn File>>, Errno> {
        let tty = match (rustix::fs::major(number), rustix::fs::minor(number)) {
            (5, 2) => {
                let who = &walker.credentials;
                let within = self.apart(entry);
                let tty = self.make(call.kernel, (who.users[3], who.groups[3]), within.as_ref())?;
                lock(&tty.state).locked = true;
                return Ok(Some(Box::new(Master(tty))));
            }
            (5, 0) => {
                let session = lock(&call.kernel.tree).row(walker.pid).map(|row| row.session);
                let tty = session.and_then(|id| lock(&self.controlling).get(&id).cloned());
                let tty = tty.ok_or(Errno::NXIO)?;
                return Ok(Some(Box::new(Slave::open(&tty, None)?)));
            }
            (5, 1) => lock(&self.console).clone().ok_or(Errno::NXIO)?,
            (136..=143, _) => {
                let index = (rustix::fs::major(number) - 136) << 20 | rustix::fs::minor(number);
                let tty = lock(&self.pairs).get(&index).and_then(Weak::upgrade);
                tty.ok_or(Errno::IO)?
            }
            _ => return Ok(None),
        };
        let slave = Slave::open(&tty, Some(entry))?;
        if flags & (status::NO_TTY | status::PATH) == 0 {
            // A leader without a terminal gets this one, if it is nobody's.
            let _ = self.control(call.kernel, &tty, walker.pid, false);
        }
        Ok(Some(Box::new(slave)))
    }

    /// Makes a terminal the one that controls the session of the leader `pid`; takes it
    /// away from another session, if `force`.
    ///
    /// # Errors
    /// `EPERM`
    pub fn control(
        &self,
        kernel: &Arc<Kernel>,
        tty: &Arc<Tty>,
        pid: Pid,
        force: bool,
    ) -> Result<(), Errno> {
        let (session, group) = {
            let tree = lock(&kernel.tree);
            tree.row(pid).map(|row| (row.session, row.group)).ok_or(Errno::SRCH)?
        };
        let mut controlling = lock(&self.controlling);
        let mut state = lock(&tty.state);
        if session == pid && state.session == Some(session) {
            return Ok(());
        }
        if session != pid || controlling.contains_key(&session) {
            return Err(Errno::PERM);
        }
        match state.session {
            Some(_) if !force => return Err(Errno::PERM),
            Some(other) => drop(controlling.remove(&other)),
            None => {}
        }
        (state.session, state.foreground) = (Some(session), Some(group));
        controlling.insert(session, Arc::clone(tty));
        Ok(())
    }

    /// A session has no terminal any more.
    pub(super) fn leave(&self, session: Pid) {
        let tty = lock(&self.controlling).remove(&session);
        drop(tty);
    }

    /// The leader of a session gives its terminal up, or has `ended`.
    pub fn give_up(&self, kernel: &Arc<Kernel>, session: Pid, ended: bool) {
        let tty = lock(&self.controlling).remove(&session);
        let Some(tty) = tty else { return };
        let foreground = {
            let mut state = lock(&tty.state);
            state.session = None;
            state.foreground.take()
        };
        if let Some(group) = foreground {
            signal_group(kernel, group, SIGHUP);
            if !ended {
                signal_group(kernel, group, SIGCONT);
            }
        }
    }

    /// The number of the device that controls a session, and the group in its
    /// foreground.
    #[must_use]
    pub fn of_session(&self, session: Pid) -> Option<(u64, Pid)> {
        let tty = lock(&self.controlling).get(&session).cloned()?;
        let foreground = lock(&tty.state).foreground.unwrap_or(-1);
        Some((rustix::fs::makedev(136, tty.number), foreground))
    }

    /// Makes the console: a terminal whose keyboard and screen are `host`, a descriptor
    /// of a host's terminal in raw mode. See [`Terminals::open_console`].
    ///
    /// # Errors
    /// If there are too many terminals, or no thread can be started.
    pub fn make_console(
        &self,
        kernel: &Arc<Kernel>,
        host: OwnedFd,
        owner: (u32, u32),
    ) -> Result<Arc<Tty>, Errno> {
        let tty = self.make(kernel, owner, None)?;
        let stream = HostStream::new(host, &kernel.files.poller);
        console::serve(&tty, stream)?;
        lock(&self.console).get_or_insert_with(|| Arc::clone(&tty));
        Ok(tty)
    }

    /// Opens the slave of a terminal for a process's standard streams, under its name in
    /// devpts where one is mounted. The process, a leader of its session, gets it as its
    /// controlling terminal.
    ///
    /// # Errors
    /// As open(2).
    pub fn open_console(
        &self,
        walker: &Walker<'_>,
        kernel: &Arc<Kernel>,
        tty: &Arc<Tty>,
        leader: Pid,
    ) -> Result<Arc<OpenFile>, Errno> {
        let entry = named(walker, tty);
        let slave = Slave::open(tty, entry.as_ref())?;
        self.control(kernel, tty, leader, false)?;
        Ok(OpenFile::named(Box::new(slave), entry, status::READ_WRITE))
    }
}

/// Opens the slave of a master that is open (`TIOCGPTPEER`); its descriptor. `flags` are those
/// of open(2).
///
/// # Errors
/// As open(2).
pub(super) fn open_peer(call: &Call<'_>, tty: &Arc<Tty>, flags: u32) -> Result<i64, Errno> {
    let walker = call.walker();
    let entry = named(&walker, tty);
    let slave = Slave::open(tty, entry.as_ref())?;
    if flags & status::NO_TTY == 0 {
        let _ = call.kernel.terminals.control(call.kernel, tty, walker.pid, false);
    }
    let of_opening = status::CREATE | status::EXCLUSIVE | status::NO_TTY | status::TRUNCATE;
    let file = OpenFile::named(Box::new(slave), entry, flags & !of_opening);
    Ok(call.files().add(file, 0, flags & status::CLOSE_ON_EXEC != 0)?.into())
}

/// A terminal's name in the devpts that the walker finds.
fn named(walker: &Walker<'_>, tty: &Tty) -> Option<Arc<Entry>> {
    let path = format!("/dev/pts/{}", tty.number);
    let found =
        walker.walk(&walker.root, path.as_bytes(), true).and_then(Resolve::existing).ok()?;
    let number = rustix::fs::makedev(136, tty.number);
    let is_it = found.attributes(walker.kernel).is_ok_and(|seen| seen.number == number);
    (found.kind() == Kind::Character && is_it).then_some(found)
}

fn add_name(pts: &Devpts, number: u32, owner: (u32, u32)) -> Result<(), Errno> {
    let Some(root) = pts.root.upgrade() else { return Ok(()) };
    let owner = (owner.0, pts.group.unwrap_or(owner.1));
    let device = rustix::fs::makedev(136, number);
    let new =
        New { kind: Kind::Character, permissions: pts.mode, owner, number: device, text: b"" };
    root.make(number.to_string().as_bytes(), new).map(drop)
}
