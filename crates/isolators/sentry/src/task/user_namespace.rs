//! User namespaces, as user_namespaces(7) has them. Ids are kept as the first namespace has
//! them; a namespace translates.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::id_ranges::{Range, parse};
use super::waiter::lock;
use super::{Caps, Credentials, OuterIds};

/// How deep they can be nested.
const DEEPEST: u32 = 33;
/// What an id looks like that has none.
pub const OVERFLOW: u32 = 65_534;
/// The number of the first one; later ones count from behind it.
pub const FIRST: u64 = 4_026_531_837;
static LAST: AtomicU64 = AtomicU64::new(4_026_532_200);

/// A number for a namespace of any kind. As many as there can be: none comes twice.
pub fn new_number() -> u64 {
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Which ids are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Of users.
    Users,
    /// Of groups.
    Groups,
}

#[derive(Debug)]
struct State {
    users: Vec<Range>,
    groups: Vec<Range>,
    may_set_groups: bool,
}

impl State {
    fn map(&mut self, ids: Ids) -> &mut Vec<Range> {
        match ids {
            Ids::Users => &mut self.users,
            Ids::Groups => &mut self.groups,
        }
    }
}

/// A namespace that is not the first one.
#[derive(Debug)]
pub struct UserNamespace {
    pub(super) parent: Option<Arc<UserNamespace>>,
    level: u32,
    /// Who made it.
    pub(super) owner: (u32, u32),
    /// Whether he could give files capabilities in the one above.
    parent_could: bool,
    /// So many signals may wait for its maker, those of all in it included, for one to be queued
    /// in it.
    pub(super) most_queued: u64,
    /// Its number.
    pub number: u64,
    state: Mutex<State>,
}

/// A namespace; the first one is `None`.
pub type Space = Option<Arc<UserNamespace>>;

/// Whether both are the same.
#[must_use]
pub fn same(one: &Space, other: &Space) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

fn level(space: &Space) -> u32 {
    space.as_ref().map_or(0, |space| space.level)
}

/// The id in the first namespace; `None` if it has none.
fn enter(space: &Space, ids: Ids, id: u32) -> Option<u32> {
    let Some(space) = space else { return (id != u32::MAX).then_some(id) };
    let mut state = lock(&space.state);
    let found = state.map(ids).iter().find(|r| id >= r.inside && id - r.inside < r.count)?;
    found.outside.checked_add(id - found.inside)
}

/// The other way round.
fn leave(space: &Space, ids: Ids, id: u32) -> Option<u32> {
    let Some(space) = space else { return Some(id) };
    let mut state = lock(&space.state);
    let found = state.map(ids).iter().find(|r| id >= r.outside && id - r.outside < r.count)?;
    found.inside.checked_add(id - found.outside)
}

impl Credentials {
    /// What a caller's id means.
    ///
    /// # Errors
    /// `EINVAL` if it means nothing in its namespace.
    pub fn id_from(&self, ids: Ids, id: u32) -> Result<u32, Errno> {
        enter(&self.space, ids, id).ok_or(Errno::INVAL)
    }

    /// The same, where `u32::MAX` leaves an id as it is.
    ///
    /// # Errors
    /// The same.
    pub fn id_or_same(&self, ids: Ids, id: u32) -> Result<u32, Errno> {
        if id == u32::MAX { Ok(id) } else { self.id_from(ids, id) }
    }

    /// How an id looks in its namespace.
    #[must_use]
    pub fn id_for(&self, ids: Ids, id: u32) -> u32 {
        leave(&self.space, ids, id).unwrap_or(OVERFLOW)
    }

    /// Its own users as they are in its namespace: what the rules of capabilities go by.
    #[must_use]
    pub fn users_inside(&self) -> [u32; 4] {
        self.users.map(|id| self.id_for(Ids::Users, id))
    }

    /// Whether it may do in its own namespace what takes these capabilities.
    #[must_use]
    pub fn can_here(&self, caps: Caps) -> bool {
        self.caps.effective.contains(caps)
    }

    /// Whether both are in one namespace.
    #[must_use]
    pub fn is_beside(&self, other: &Credentials) -> bool {
        same(&self.space, &other.space)
    }

    /// The same in another one: with them there, or above it, or as who made one on the way
    /// up to it.
    #[must_use]
    pub fn can_in(&self, target: &Space, caps: Caps) -> bool {
        let mut at = target.clone();
        loop {
            if same(&at, &self.space) {
                return self.can_here(caps);
            }
            if level(&at) <= level(&self.space) {
                return false;
            }
            let Some(space) = at else { return false };
            if same(&space.parent, &self.space) && space.owner.0 == self.users[1] {
                return true;
            }
            at = space.parent.clone();
        }
    }

    /// The same, as an answer.
    ///
    /// # Errors
    /// `EPERM`
    pub fn require_in(&self, target: &Space, caps: Caps) -> Result<(), Errno> {
        if self.can_in(target, caps) { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Whether it may do to a file of this owner what takes these capabilities: only if its
    /// namespace knows the owner.
    #[must_use]
    pub fn can_about(&self, (user, group): (u32, u32), caps: Caps) -> bool {
        self.can_here(caps) && self.knows((user, group))
    }

    /// Whether both ids of an owner are there in its namespace.
    #[must_use]
    pub fn knows(&self, owner: (u32, u32)) -> bool {
        knows(&self.space, owner)
    }

    /// Who he is in a namespace of his own that he makes, where he can do everything; `most_queued`: his limit of signals that wait.
    ///
    /// # Errors
    /// As clone(2) with `CLONE_NEWUSER`.
    pub fn in_new_space(&self, most_queued: u64) -> Result<Credentials, Errno> {
        if !self.knows((self.users[1], self.groups[1])) {
            return Err(Errno::PERM);
        }
        if level(&self.space) >= DEEPEST {
            return Err(Errno::NOSPC);
        }
        let space = UserNamespace {
            parent: self.space.clone(),
            level: level(&self.space) + 1,
            owner: (self.users[1], self.groups[1]),
            parent_could: self.can_here(Caps::SETFCAP),
            most_queued,
            number: new_number(),
            state: Mutex::new(State {
                users: Vec::new(),
                groups: Vec::new(),
                may_set_groups: self.may_set_groups(),
            }),
        };
        let mut new = self.clone();
        new.space = Some(Arc::new(space));
        new.caps.fill();
        Ok(new)
    }

    /// Whether setgroups(2) is allowed in its namespace, capabilities aside.
    #[must_use]
    pub fn sets_groups(&self) -> bool {
        let Some(space) = &self.space else { return true };
        let state = lock(&space.state);
        !state.groups.is_empty() && state.may_set_groups
    }

    fn may_set_groups(&self) -> bool {
        self.space.as_ref().is_none_or(|space| lock(&space.state).may_set_groups)
    }
}

fn knows(space: &Space, (user, group): (u32, u32)) -> bool {
    leave(space, Ids::Users, user).is_some() && leave(space, Ids::Groups, group).is_some()
}

/// The first namespace from this one up that knows both ids of an owner.
#[must_use]
pub fn knowing(space: &Space, owner: (u32, u32)) -> Space {
    let mut at = space.clone();
    while let Some(own) = &at {
        if knows(&at, owner) {
            break;
        }
        at = own.parent.clone();
    }
    at
}

/// Of two of which one is above the other, or which are the same, that one.
#[must_use]
pub fn outer(one: Space, other: Space) -> Space {
    if level(&one) <= level(&other) { one } else { other }
}

/// Root's user and group of a namespace; the first one's, if it has none.
#[must_use]
pub fn root_of(space: &Space) -> (u32, u32) {
    let root = |ids: Ids| enter(space, ids, 0).unwrap_or(0);
    (root(Ids::Users), root(Ids::Groups))
}

/// The map of a namespace as `reader` sees it: `/proc/<pid>/uid_map`.
#[must_use]
pub fn map_text(space: &Space, ids: Ids, reader: &Space) -> String {
    let Some(own) = space else {
        return format!("{:10} {:10} {:10}\n", 0, 0, u32::MAX);
    };
    // Who is in it sees the one above.
    let lower = if same(space, reader) { &own.parent } else { reader };
    let ranges = lock(&own.state).map(ids).clone();
    let mut text = String::new();
    for range in ranges {
        let below = leave(lower, ids, range.outside).unwrap_or(u32::MAX);
        let _ = writeln!(text, "{:10} {below:10} {:10}", range.inside, range.count);
    }
    text
}

/// Whether `who` can have the namespace have others' ids of the one above.
#[must_use]
pub fn maps_others(space: &Space, ids: Ids, who: &Credentials) -> bool {
    let able = if ids == Ids::Users { Caps::SETUID } else { Caps::SETGID };
    space.as_ref().is_some_and(|own| who.can_in(&own.parent, able))
}

/// Writes the map of a namespace, once: `/proc/<pid>/uid_map`. `writer` has opened it; `able`:
/// whether [`maps_others`] is true of who writes, too. `outer`: what ids the first one has.
///
/// # Errors
/// As user_namespaces(7): `EPERM`, `EINVAL`.
pub fn write_map(
    space: &Space,
    ids: Ids,
    (writer, able): (&Credentials, bool),
    outer: &OuterIds,
    text: &[u8],
) -> Result<(), Errno> {
    let Some(own) = space else { return Err(Errno::PERM) };
    let inside = same(&writer.space, space);
    if !(inside || same(&writer.space, &own.parent)) {
        return Err(Errno::PERM);
    }
    let ranges = parse(text)?;
    let mut state = lock(&own.state);
    if !state.map(ids).is_empty() {
        return Err(Errno::PERM);
    }
    if !writer.can_in(space, Caps::SYS_ADMIN) {
        return Err(Errno::PERM);
    }
    let takes_root = ids == Ids::Users && ranges.iter().any(|range| range.outside == 0);
    let may_root =
        if inside { own.parent_could } else { writer.can_in(&own.parent, Caps::SETFCAP) };
    if takes_root && !may_root {
        return Err(Errno::PERM);
    }
    let itself = match ranges.as_slice() {
        [one] if one.count == 1 && own.owner.0 == writer.users[1] => {
            let below = enter(&own.parent, ids, one.outside);
            match ids {
                Ids::Users => below == Some(writer.users[1]),
                Ids::Groups => !state.may_set_groups && below == Some(writer.groups[1]),
            }
        }
        _ => false,
    };
    let others = able && maps_others(space, ids, writer);
    if !itself && !others {
        return Err(Errno::PERM);
    }
    let mut mapped = Vec::new();
    for range in ranges {
        mapped.push(Range { outside: whole(&own.parent, outer, ids, &range)?, ..range });
    }
    *state.map(ids) = mapped;
    Ok(())
}

/// Where a range begins in the first namespace, if all of it is in one of the ranges above.
fn whole(above: &Space, outer: &OuterIds, ids: Ids, range: &Range) -> Result<u32, Errno> {
    let Some(above) = above else {
        let there = outer.has(ids, range.outside, range.count);
        return if there { Ok(range.outside) } else { Err(Errno::PERM) };
    };
    let mut state = lock(&above.state);
    let found = state.map(ids).iter().find(|r| {
        range.outside >= r.inside
            && u64::from(range.outside - r.inside) + u64::from(range.count) <= u64::from(r.count)
    });
    found.map(|r| r.outside + (range.outside - r.inside)).ok_or(Errno::PERM)
}

/// Whether setgroups(2) is allowed in a namespace: `/proc/<pid>/setgroups`.
#[must_use]
pub fn groups_text(space: &Space) -> &'static str {
    match space {
        Some(space) if !lock(&space.state).may_set_groups => "deny\n",
        _ => "allow\n",
    }
}

/// Writes that.
///
/// # Errors
/// `EPERM` if it is too late, `EINVAL` for another word, `EACCES` for who may not.
pub fn write_groups(space: &Space, writer: &Credentials, text: &[u8]) -> Result<(), Errno> {
    if !writer.can_in(space, Caps::SYS_ADMIN) {
        return Err(Errno::ACCESS);
    }
    let allow = match text.trim_ascii_end() {
        b"allow" => true,
        b"deny" => false,
        _ => return Err(Errno::INVAL),
    };
    let Some(space) = space else { return if allow { Ok(()) } else { Err(Errno::PERM) } };
    let mut state = lock(&space.state);
    match (allow, state.may_set_groups) {
        (true, false) => Err(Errno::PERM),
        (true, true) => Ok(()),
        (false, true) if !state.groups.is_empty() => Err(Errno::PERM),
        (false, _) => {
            state.may_set_groups = false;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the first one has all ids.
    fn write_map(
        space: &Space,
        ids: Ids,
        writer: (&Credentials, bool),
        text: &[u8],
    ) -> Result<(), Errno> {
        super::write_map(space, ids, writer, &OuterIds::default(), text)
    }

    fn user(id: u32) -> Credentials {
        Credentials::of(id, id, Vec::new())
    }

    #[test]
    fn who_makes_one_maps_itself_and_no_other() {
        let who = user(1000);
        let new = who.in_new_space(9).unwrap();
        assert_eq!(new.id_for(Ids::Users, 1000), OVERFLOW);
        assert!(new.can_here(Caps::SYS_ADMIN) && !new.can(Caps::SYS_ADMIN));
        let space = &new.space;
        assert_eq!(write_map(space, Ids::Users, (&new, true), b"0 1001 1\n"), Err(Errno::PERM));
        assert_eq!(write_map(space, Ids::Users, (&new, true), b"0 1000 2\n"), Err(Errno::PERM));
        assert_eq!(write_map(space, Ids::Users, (&new, true), b"0 1000 1\n"), Ok(()));
        assert_eq!(write_map(space, Ids::Users, (&new, true), b"0 1000 1\n"), Err(Errno::PERM));
        assert_eq!(new.users_inside(), [0; 4]);
        assert_eq!(new.id_from(Ids::Users, 0), Ok(1000));
        assert_eq!(new.id_from(Ids::Users, 1), Err(Errno::INVAL));
        assert_eq!(write_map(space, Ids::Groups, (&new, true), b"0 1000 1"), Err(Errno::PERM));
        assert_eq!(write_groups(space, &new, b"deny\n"), Ok(()));
        assert_eq!(write_map(space, Ids::Groups, (&new, true), b"0 1000 1"), Ok(()));
        assert_eq!(write_groups(space, &new, b"allow"), Err(Errno::PERM));
        assert!(!new.sets_groups());
        assert!(who.can_in(space, Caps::SYS_ADMIN), "its maker");
        assert!(!user(1001).can_in(space, Caps::SYS_ADMIN));
        assert!(user(0).can_in(space, Caps::SYS_ADMIN));
        assert!(!new.can_in(&None, Caps::SYS_ADMIN));
        assert!(new.can_about((1000, 1000), Caps::CHOWN));
        assert!(!new.can_about((0, 0), Caps::CHOWN));
    }

    #[test]
    fn ranges_are_within_those_above() {
        let root = user(0);
        let one = root.in_new_space(9).unwrap();
        assert_eq!(
            write_map(&one.space, Ids::Users, (&root, true), b"0 100 10\n20 200 5\n"),
            Ok(())
        );
        assert_eq!(one.id_from(Ids::Users, 22), Ok(202));
        let mut inner = one.clone();
        inner.users = [100; 4];
        inner.groups = [0; 4];
        assert_eq!(inner.in_new_space(9).err(), Some(Errno::PERM), "its group is not mapped");
        let groups = Ids::Groups;
        assert_eq!(write_map(&one.space, groups, (&root, false), b"0 0 10"), Err(Errno::PERM));
        assert_eq!(write_map(&one.space, groups, (&root, true), b"0 0 10"), Ok(()));
        let two = inner.in_new_space(9).unwrap();
        assert_eq!(write_map(&two.space, Ids::Users, (&inner, true), b"0 8 4"), Err(Errno::PERM));
        assert_eq!(write_map(&two.space, Ids::Users, (&inner, true), b"5 2 4"), Ok(()));
        assert_eq!(two.id_from(Ids::Users, 6), Ok(103));
        assert_eq!(map_text(&two.space, Ids::Users, &two.space).trim(), "5          2          4");
        assert_eq!(map_text(&two.space, Ids::Users, &None).trim(), "5        102          4");
    }

    #[test]
    fn they_are_nested_so_deep_and_no_deeper() {
        let mut who = user(0);
        for _ in 0..DEEPEST {
            let new = who.in_new_space(9).unwrap();
            write_map(&new.space, Ids::Users, (&who, true), b"0 0 1").unwrap();
            write_map(&new.space, Ids::Groups, (&who, true), b"0 0 1").unwrap();
            who = new;
        }
        assert_eq!(who.in_new_space(9).err(), Some(Errno::NOSPC));
    }
}
