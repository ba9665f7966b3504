//! PID namespaces of programs' own (pid_namespaces(7)). Processes and threads are known by the
//! ids of their container's kernel throughout; a namespace has numbers for those in it, and
//! translates where a call takes or tells them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::tree::{PID_MAX, Tree};
use super::user_namespace::{Space, new_number};
use super::waiter::lock;
use super::{Caps, Credentials, Pid, Process};

/// How deep they can be nested.
const DEEPEST: u32 = 32;
/// Numbers that there are.
const MOST: Pid = 32_768;
/// An id that nobody has.
pub const NOBODY: Pid = Pid::MAX;

#[derive(Debug, Default)]
struct State {
    last: Pid,
    /// Ids by number.
    ids: BTreeMap<Pid, Pid>,
    /// Numbers by id.
    numbers: BTreeMap<Pid, Pid>,
    /// The id of the first process.
    first: Option<Pid>,
    /// The first process has ended: nobody else is made.
    ended: bool,
}

impl State {
    /// Gives an id a number, unless it is somebody's.
    fn give(&mut self, id: Pid, number: Pid, tree: &Tree) -> bool {
        if self.ids.get(&number).is_some_and(|other| tree.is_used(*other)) {
            return false;
        }
        if let Some(other) = self.ids.insert(number, id) {
            self.numbers.remove(&other);
        }
        self.numbers.insert(id, number);
        self.first.get_or_insert(id);
        true
    }
}

/// A namespace that is not the container's.
#[derive(Debug)]
pub struct PidNamespace {
    parent: Pids,
    level: u32,
    /// Its number.
    pub number: u64,
    /// Where capabilities count in it.
    pub owner: Space,
    state: Mutex<State>,
}

/// A namespace; the container's is `None`.
pub type Pids = Option<Arc<PidNamespace>>;

impl PidNamespace {
    /// An empty one; who belongs to it is in `parent`, too.
    ///
    /// # Errors
    /// `ENOSPC` if it would be too deep.
    pub fn new(tree: &mut Tree, parent: &Pids, owner: &Space) -> Result<Arc<Self>, Errno> {
        let level = parent.as_ref().map_or(1, |parent| parent.level + 1);
        if level > DEEPEST {
            return Err(Errno::NOSPC);
        }
        let (parent, owner, state) = (parent.clone(), owner.clone(), Mutex::default());
        let new = Arc::new(PidNamespace { parent, level, number: new_number(), owner, state });
        tree.note(&new);
        Ok(new)
    }

    /// The one above.
    #[must_use]
    pub fn parent(&self) -> Pids {
        self.parent.clone()
    }

    /// Whether who is in `pids` is seen from here.
    #[must_use]
    pub fn has(self: &Arc<Self>, pids: &Pids) -> bool {
        above(pids).any(|space| Arc::ptr_eq(space, self))
    }

    /// The id of its first process, once there is one.
    #[must_use]
    pub fn first(&self) -> Option<Pid> {
        lock(&self.state).first
    }

    /// Whether its first process has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// It has now.
    pub fn end(&self) {
        lock(&self.state).ended = true;
    }

    /// Forgets an id that becomes another's.
    pub fn forget(&self, id: Pid) {
        let mut state = lock(&self.state);
        if let Some(number) = state.numbers.remove(&id) {
            state.ids.remove(&number);
        }
    }

    /// Forgets an id of which nothing was made; the next one is the first, if that was to be.
    fn leave(&self, id: Pid) {
        self.forget(id);
        let mut state = lock(&self.state);
        if state.first == Some(id) && !state.ended {
            (state.first, state.last) = (None, 0);
        }
    }

    fn enter(&self, id: Pid, tree: &Tree, wanted: Option<Pid>) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        if state.ended {
            return Err(Errno::NOMEM);
        }
        if let Some(number) = wanted {
            return if state.give(id, number, tree) { Ok(()) } else { Err(Errno::EXIST) };
        }
        for _ in 0..MOST {
            state.last = if state.last + 1 >= MOST { 2 } else { state.last + 1 };
            let number = state.last;
            if state.give(id, number, tree) {
                return Ok(());
            }
        }
        Err(Errno::AGAIN)
    }
}

/// A namespace and those above it, but for the container's.
fn above(pids: &Pids) -> impl Iterator<Item = &Arc<PidNamespace>> {
    std::iter::successors(pids.as_ref(), |space| space.parent.as_ref())
}

/// A new id, of which nothing is in the tree yet, with numbers in a namespace and in those
/// above; `wanted` are those that `who` asks for, from the innermost one on.
///
/// # Errors
/// `ENOMEM` if the first process of one has ended, `EAGAIN` if there is no number; `EINVAL`,
/// `EPERM` and `EEXIST` for numbers that are asked for, as clone3(2).
pub fn new_id(
    tree: &mut Tree,
    pids: &Pids,
    who: &Credentials,
    wanted: &[Pid],
) -> Result<Pid, Errno> {
    let levels = above(pids).count();
    if wanted.len() > levels + 1 {
        return Err(Errno::INVAL);
    }
    let spaces = || above(pids).map(Some).chain([None]);
    for (number, space) in wanted.iter().zip(spaces()) {
        let has_first = space.is_none_or(|space| space.first().is_some());
        if !(1..PID_MAX).contains(number) || *number != 1 && !has_first {
            return Err(Errno::INVAL);
        }
        let owner = space.and_then(|space| space.owner.clone());
        let able = [Caps::SYS_ADMIN, Caps::CHECKPOINT_RESTORE];
        if !able.into_iter().any(|cap| who.can_in(&owner, cap)) {
            return Err(Errno::PERM);
        }
    }
    let id = match wanted.get(levels) {
        Some(id) => tree.take_id(*id).map(|()| *id)?,
        None => tree.new_id()?,
    };
    let entered = above(pids)
        .enumerate()
        .try_for_each(|(level, space)| space.enter(id, tree, wanted.get(level).copied()));
    entered.inspect_err(|_| leave(tree, pids, id))?;
    Ok(id)
}

/// Undoes [`new_id`], if nothing was made.
pub fn leave(tree: &mut Tree, pids: &Pids, id: Pid) {
    tree.give_back(id);
    above(pids).for_each(|space| space.leave(id));
}

/// Whether nothing is made in a namespace any more.
#[must_use]
pub fn has_ended(pids: &Pids) -> bool {
    above(pids).any(|space| space.has_ended())
}

/// The number that an id has in a namespace; 0 if none.
#[must_use]
pub fn number_of(pids: &Pids, id: Pid) -> Pid {
    match pids {
        Some(space) if id > 0 => lock(&space.state).numbers.get(&id).copied().unwrap_or(0),
        _ => id,
    }
}

/// The id that a number of a namespace means; [`NOBODY`] for none.
#[must_use]
pub fn id_of(pids: &Pids, number: Pid) -> Pid {
    match pids {
        Some(space) if number > 0 => lock(&space.state).ids.get(&number).copied().unwrap_or(NOBODY),
        _ => number,
    }
}

/// The numbers of an id from those of `reader` on down to those of its own namespace.
#[must_use]
pub fn numbers(reader: &Pids, own: &Pids, id: Pid) -> Vec<Pid> {
    let level = reader.as_ref().map_or(0, |space| space.level);
    let mut numbers: Vec<Pid> = above(own)
        .filter(|space| space.level > level)
        .map(|space| number_of(&Some(Arc::clone(space)), id))
        .collect();
    numbers.push(number_of(reader, id));
    numbers.reverse();
    numbers
}

impl Process {
    /// The PID namespace that it is in.
    #[must_use]
    pub fn pids(&self) -> Pids {
        self.pids.get().cloned()
    }

    /// How it sees an id: 0 if not at all.
    #[must_use]
    pub fn number_of(&self, id: Pid) -> Pid {
        if self.pids.get().is_none() { id } else { number_of(&self.pids(), id) }
    }

    /// The id that a number means to it; what is no number stays so.
    #[must_use]
    pub fn id_of(&self, number: Pid) -> Pid {
        if self.pids.get().is_none() { number } else { id_of(&self.pids(), number) }
    }

    /// Whether it sees another one.
    #[must_use]
    pub fn sees(&self, other: &Process) -> bool {
        self.pids.get().is_none_or(|space| space.has(&other.pids()))
    }

    /// The namespace that it is the first process of; not the container's.
    #[must_use]
    pub fn leads(&self) -> Option<&Arc<PidNamespace>> {
        self.pids.get().filter(|space| space.first() == Some(self.pid))
    }

    /// Whether it is the first of its namespace, or of its container.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.pid == 1 || self.leads().is_some()
    }

    /// Whether it is so for another one, which can do nothing to it that it does not expect.
    #[must_use]
    pub fn is_first_for(&self, other: &Process) -> bool {
        self.pid == 1 || self.leads().is_some_and(|space| space.has(&other.pids()))
    }
}
