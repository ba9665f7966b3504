//! Which namespaces of users and processes are above which.

use super::pid_namespace::{PidNamespace, Pids};
use super::user_namespace::{Space, same};

/// The user namespace above one; `None` of the first.
#[must_use]
pub fn above(space: &Space) -> Option<Space> {
    space.as_ref().map(|own| own.parent.clone())
}

/// Who made one.
#[must_use]
pub fn maker(space: &Space) -> u32 {
    space.as_ref().map_or(0, |own| own.owner.0)
}

/// Whether one is another, or below it.
#[must_use]
pub fn is_within(space: &Space, top: &Space) -> bool {
    std::iter::successors(Some(space.clone()), above).any(|space| same(&space, top))
}

/// The PID namespace above one; `None` of the first, and of what `reader` does not see.
#[must_use]
pub fn above_for(pids: &Pids, reader: &Pids) -> Option<Pids> {
    let parent = pids.as_deref().map(PidNamespace::parent)?;
    let seen = reader.as_ref().is_none_or(|reader| reader.has(&parent));
    seen.then_some(parent)
}
