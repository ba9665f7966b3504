//! What a file gives to who executes it: set-id bits and capabilities.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::user_namespace::{Space, knowing, outer};
use crate::task::waiter::lock;
use crate::task::{CapabilitySets, Caps, Credentials, FileCaps, Process};
use crate::vfs::{Attributes, Entry, MountFlags, Walker, access, permit};

use super::system::ADDR_NO_RANDOMIZE;

/// What a file gives to who executes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Gain {
    user: Option<u32>,
    group: Option<u32>,
    caps: Option<FileCaps>,
    /// If it may not be read by who executes it: the namespace that knows its owner.
    hidden: Option<Space>,
}

/// Looks it up.
///
/// # Errors
/// What the host says.
pub(super) fn gain(walker: &Walker<'_>, entry: &Entry) -> Result<Gain, Errno> {
    let file = entry.attributes(walker.kernel)?;
    let who = &walker.credentials;
    let hidden = hidden(walker, &file);
    if who.caps.no_new_privs || entry.mount.flags().contains(MountFlags::NO_SUID) {
        return Ok(Gain { hidden, ..Gain::default() });
    }
    // Owners whom the namespace does not know give nothing.
    let known = who.knows((file.user, file.group));
    let has = |bits: u32| known && file.mode & bits == bits;
    Ok(Gain {
        user: has(0o4000).then_some(file.user),
        // Without the execute bit it once meant locks.
        group: has(0o2010).then_some(file.group),
        caps: walker.file_caps(entry),
        hidden,
    })
}

/// `PER_CLEAR_ON_SETID`: `ADDR_NO_RANDOMIZE`, `ADDR_COMPAT_LAYOUT`, `READ_IMPLIES_EXEC`,
/// `MMAP_PAGE_ZERO`.
const CLEARED: u32 = ADDR_NO_RANDOMIZE | 0x20_0000 | 0x40_0000 | 0x10_0000;

/// Who runs a program.
#[derive(Clone, Debug)]
pub(super) struct Becomes {
    /// Whom it has become.
    pub(super) who: Credentials,
    /// Whether the program is told that it is not to trust its user.
    pub(super) secure: bool,
    /// Whether its user's choice of how memory is laid out counts no more.
    clears: bool,
    /// Whether others may look into it.
    pub(super) open: bool,
    /// Where a capability lets do so else.
    pub(super) seen_from: Space,
}

impl Becomes {
    /// Hands it over to the process.
    pub(super) fn enter(self, process: &Process) {
        process.becomes(self.who);
        if self.clears {
            process.personality.fetch_and(!CLEARED, Ordering::SeqCst);
        }
        *lock(&process.seen_from) = self.seen_from;
        process.dumpable.store(self.open, Ordering::SeqCst);
    }

    /// Whether both come to the same, whether or not they can gain more later.
    pub(super) fn is_as(&self, other: &Becomes) -> bool {
        let caps = |of: &Becomes| CapabilitySets { no_new_privs: true, ..of.who.caps };
        let flags = |of: &Becomes| (of.secure, of.clears, of.open);
        let all = |of: &Becomes| (of.who.users, of.who.groups, caps(of), flags(of));
        all(self) == all(other)
    }
}

/// The namespace of who may look into a file that the walker may not read.
fn hidden(walker: &Walker<'_>, file: &Attributes) -> Option<Space> {
    let who = &walker.credentials;
    let reads = permit(who, file, access::READ).is_ok();
    (!reads).then(|| knowing(&who.space, (file.user, file.group)))
}

impl Gain {
    /// Has the interpreter that is mapped besides hide what it is.
    ///
    /// # Errors
    /// What the host says.
    pub(super) fn with(mut self, walker: &Walker<'_>, mapped: &Entry) -> Result<Self, Errno> {
        if let Some(space) = hidden(walker, &mapped.attributes(walker.kernel)?) {
            // Both are above who executes them: the outer one counts.
            let other = self.hidden.take();
            self.hidden = Some(other.map_or(space.clone(), |other| outer(other, space)));
        }
        Ok(self)
    }

    /// [`Self::apply`] for who is never to gain anything any more.
    ///
    /// # Errors
    /// The same.
    pub(super) fn confined(&self, who: &Credentials) -> Result<Becomes, Errno> {
        let mut who = who.clone();
        who.caps.no_new_privs = true;
        self.apply(&who, false)
    }

    /// Who `who` is once the program runs. `watched`: somebody traces it who may not trace
    /// what it would become; so it becomes no more than it is.
    ///
    /// # Errors
    /// `EPERM`: [`crate::task::CapabilitySets::execute`]
    pub(super) fn apply(&self, who: &Credentials, watched: bool) -> Result<Becomes, Errno> {
        let mut new = who.clone();
        if let Some(user) = self.user {
            new.users[1] = user;
        }
        if let Some(group) = self.group {
            new.groups[1] = group;
        }
        let set_id = new.users[1] != who.users[1] || new.groups[1] != who.groups[1];
        let gained = new.caps.execute(new.users_inside(), self.caps, set_id)?;
        let seen_from = self.hidden.clone().unwrap_or_else(|| who.space.clone());
        let mut closed = gained;
        let more_caps = !who.caps.permitted.contains(new.caps.permitted);
        let clears = self.user.is_some() || self.group.is_some() || more_caps;
        let more = set_id || more_caps;
        if more && (watched || who.caps.no_new_privs) {
            if who.caps.no_new_privs || !who.can_here(Caps::SETUID) {
                (new.users[1], new.groups[1]) = (who.users[1], who.groups[1]);
            }
            new.caps.permitted &= who.caps.permitted;
            new.caps.effective &= new.caps.permitted;
            closed = new.users[1] != new.users[0] || new.groups[1] != new.groups[0];
        }
        for ids in [&mut new.users, &mut new.groups] {
            (ids[2], ids[3]) = (ids[1], ids[1]);
        }
        let secure = gained || new.users[0] != new.users[1] || new.groups[0] != new.groups[1];
        let open = !closed && self.hidden.is_none();
        Ok(Becomes { who: new, secure, clears, open, seen_from })
    }
}
