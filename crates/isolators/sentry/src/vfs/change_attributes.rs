//! Changes to attributes, whatever file system it is. Permissions are checked here.

use rustix::io::Errno;

use crate::syscalls::{Call, Failure};
use crate::task::{Caps, Credentials};

use super::change::alter;
use super::file_use::Purpose;
use super::inotify::{self, event};
use super::{Attributes, Change, Entry, Kind, Node, OpenFile, Time, Walker, access, permit};

/// A new time: given, the present, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTime {
    /// As it is.
    Keep,
    /// The present.
    Now,
    /// This.
    At(Time),
}

/// Only the owner, or who may act for any: `EPERM`.
pub(super) fn check_owner(who: &Credentials, file: &Attributes) -> Result<(), Errno> {
    let [_, _, _, user] = who.users;
    let may = user == file.user || who.can_about((file.user, file.group), Caps::FOWNER);
    if may { Ok(()) } else { Err(Errno::PERM) }
}

/// Whether a file was changed so lately that another change, which leaves all as it is, could
/// not be told from it: the host's clock of files ticks no finer.
fn is_fresh(file: &Attributes) -> bool {
    const TICK: i64 = 4_000_000;
    let (now, then) = (Time::now(), file.changed);
    let seconds = now.seconds.saturating_sub(then.seconds).saturating_mul(1_000_000_000);
    let age = seconds + i64::from(now.nanoseconds) - i64::from(then.nanoseconds);
    (0..TICK).contains(&age)
}

/// A change was tried: what was known of the entry is no more, and who watches it is told.
fn changed(entry: &Entry, done: Result<(), Errno>, what: u32) -> Result<(), Errno> {
    alter(entry);
    done?;
    if let Node::Host(node) = &entry.node {
        node.has_changed_itself();
    }
    inotify::happened(entry, what);
    Ok(())
}

/// A time as a file in memory takes it.
fn in_memory(time: NewTime) -> Option<Time> {
    match time {
        NewTime::Keep => None,
        NewTime::Now => Some(Time::now()),
        NewTime::At(time) => Some(time),
    }
}

impl Walker<'_> {
    /// The mode that a file gets that is to get this one.
    fn allowed_mode(&self, file: &Attributes, mode: u32) -> Result<u32, Errno> {
        let who = &self.credentials;
        check_owner(who, file)?;
        let keeps = who.keeps_group_id((file.user, file.group));
        Ok(mode & if keeps { 0o7777 } else { 0o5777 })
    }

    fn check_new_owner(&self, file: &Attributes, user: u32, group: u32) -> Result<(), Errno> {
        let who = &self.credentials;
        if who.can_about((file.user, file.group), Caps::CHOWN) {
            return Ok(());
        }
        let [_, _, _, own_user] = who.users;
        let own = group == u32::MAX || group == file.group || who.in_group(group);
        let stays = user == u32::MAX || user == file.user;
        if own_user == file.user && stays && own { Ok(()) } else { Err(Errno::PERM) }
    }

    fn check_new_times(&self, file: &Attributes, times: [NewTime; 2]) -> Result<(), Errno> {
        let owner = check_owner(&self.credentials, file);
        if owner.is_err() && times == [NewTime::Now; 2] {
            return permit(&self.credentials, file, access::WRITE);
        }
        owner
    }

    /// chmod(2) of a file without a name.
    ///
    /// # Errors
    /// As fchmod(2); `EOPNOTSUPP` for what has no attributes of its own.
    pub fn change_mode_of(&self, file: &OpenFile, mode: u32) -> Result<(), Errno> {
        let kept = file.file.kept().ok_or(Errno::OPNOTSUPP)?;
        kept.change(Change::Mode(self.allowed_mode(&kept.now(), mode)?));
        Ok(())
    }

    /// chown(2) of a file without a name; `u32::MAX` leaves one as it is.
    ///
    /// # Errors
    /// As fchown(2); `EOPNOTSUPP` for what has no attributes of its own.
    pub fn change_owner_of(&self, file: &OpenFile, user: u32, group: u32) -> Result<(), Errno> {
        let kept = file.file.kept().ok_or(Errno::OPNOTSUPP)?;
        self.check_new_owner(&kept.now(), user, group)?;
        kept.change(Change::Owner(user, group));
        Ok(())
    }

    /// utimensat(2) of a file without a name.
    ///
    /// # Errors
    /// As futimens(3); `EOPNOTSUPP` for what has no attributes of its own.
    pub fn set_times_of(&self, file: &OpenFile, times: [NewTime; 2]) -> Result<(), Errno> {
        let kept = file.file.kept().ok_or(Errno::OPNOTSUPP)?;
        if times != [NewTime::Keep; 2] {
            self.check_new_times(&kept.now(), times)?;
            kept.change(Change::Times(times.map(in_memory)));
        }
        Ok(())
    }

    /// chmod(2)
    ///
    /// # Errors
    /// As chmod(2).
    pub fn change_mode(&self, entry: &Entry, mode: u32) -> Result<(), Errno> {
        Walker::writable(entry)?;
        let file = entry.attributes(self.kernel)?;
        let mode = self.allowed_mode(&file, mode)?;
        let done = match &entry.node {
            _ if entry.kind() == Kind::Link => Err(Errno::OPNOTSUPP),
            Node::Host(_) if file.mode & 0o7777 == mode && is_fresh(&file) => Ok(()),
            Node::Host(node) => {
                node.expect_change();
                let broker = &self.kernel.files.broker;
                node.handle(broker).and_then(|handle| broker.change_mode(handle, mode))
            }
            Node::Tmp(node) => node.set_permissions(mode),
            Node::Overlay(node) => {
                node.copy_up(self.kernel, true).and_then(|upper| upper.set_permissions(mode))
            }
            _ => Err(Errno::PERM),
        };
        changed(entry, done, event::ATTRIBUTES)
    }

    /// chown(2); `u32::MAX` leaves one as it is.
    ///
    /// # Errors
    /// As chown(2).
    pub fn change_owner(&self, entry: &Entry, user: u32, group: u32) -> Result<(), Errno> {
        Walker::writable(entry)?;
        let file = entry.attributes(self.kernel)?;
        self.check_new_owner(&file, user, group)?;
        let same = |id: u32, own: u32| id == u32::MAX || id == own;
        let keeps = same(user, file.user) && same(group, file.group) && file.mode & 0o6000 == 0;
        let done = match &entry.node {
            Node::Host(_) if keeps && is_fresh(&file) => Ok(()),
            Node::Host(node) => {
                node.expect_change();
                let broker = &self.kernel.files.broker;
                node.handle(broker).and_then(|handle| broker.change_owner(handle, user, group))
            }
            Node::Tmp(node) => {
                node.set_owner(user, group);
                Ok(())
            }
            Node::Overlay(node) => {
                node.copy_up(self.kernel, true).map(|upper| upper.set_owner(user, group))
            }
            _ => Err(Errno::PERM),
        };
        changed(entry, done, event::ATTRIBUTES)
    }

    /// utimensat(2): time of access, of modification.
    ///
    /// # Errors
    /// As utimensat(2).
    pub fn set_times(&self, entry: &Entry, times: [NewTime; 2]) -> Result<(), Errno> {
        if times == [NewTime::Keep; 2] {
            return Ok(());
        }
        Walker::writable(entry)?;
        let file = entry.attributes(self.kernel)?;
        self.check_new_times(&file, times)?;
        let done = match &entry.node {
            Node::Host(node) => {
                const NOW: i64 = 0x3fff_ffff;
                const OMIT: i64 = 0x3fff_fffe;
                let times = times.map(|time| match time {
                    NewTime::Keep => (0, OMIT),
                    NewTime::Now => (0, NOW),
                    NewTime::At(time) => (time.seconds, time.nanoseconds.into()),
                });
                node.expect_change();
                let broker = &self.kernel.files.broker;
                node.handle(broker).and_then(|handle| broker.set_times(handle, times))
            }
            Node::Tmp(node) => {
                let [accessed, modified] = times.map(in_memory);
                node.set_times(accessed, modified);
                Ok(())
            }
            Node::Overlay(node) => {
                let [accessed, modified] = times.map(in_memory);
                let upper = node.copy_up(self.kernel, true);
                upper.map(|upper| upper.set_times(accessed, modified))
            }
            _ => Err(Errno::PERM),
        };
        changed(entry, done, event::ATTRIBUTES)
    }

    /// truncate(2)
    ///
    /// # Errors
    /// As truncate(2).
    pub fn truncate(&self, call: &Call<'_>, entry: &Entry, size: u64) -> Result<(), Failure> {
        const READ_WRITE: u32 = 2;
        match entry.kind() {
            Kind::Regular => {}
            Kind::Directory => return Err(Errno::ISDIR.into()),
            _ => return Err(Errno::INVAL.into()),
        }
        let attributes = entry.attributes(self.kernel)?;
        Walker::writable(entry)?;
        permit(&self.credentials, &attributes, access::WRITE)?;
        let writing = entry.node.begin(Purpose::Writing)?;
        if let Some(writing) = &writing {
            writing.break_leases(call, true, true)?;
        }
        let who = || self.credentials.clone();
        let done = match &entry.node {
            Node::Host(node) => {
                let broker = &self.kernel.files.broker;
                let fd = broker.open(node.handle(broker)?, READ_WRITE)?;
                rustix::fs::ftruncate(&fd, size)
            }
            Node::Tmp(node) => {
                node.disarm(who);
                node.truncate(size)
            }
            Node::Overlay(node) => node.copy_up(self.kernel, size > 0).and_then(|upper| {
                upper.disarm(who);
                upper.truncate(size)
            }),
            _ => Err(Errno::PERM),
        };
        Ok(changed(entry, done, event::MODIFY)?)
    }
}
