//! Users and groups.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::user_namespace::Ids;
use crate::task::waiter::lock;
use crate::task::{Caps, Credentials};

use super::{Call, Outcome};

/// No change.
const SAME: u32 = u32::MAX;

/// Whom the call is made for.
pub(super) fn who(call: &Call<'_>) -> Credentials {
    lock(&call.thread.credentials).clone()
}

/// The caller's users, or groups, as its user namespace has them.
fn own(call: &Call<'_>, ids: Ids) -> [u32; 4] {
    let who = lock(&call.thread.credentials);
    let own = if ids == Ids::Users { who.users } else { who.groups };
    own.map(|id| who.id_for(ids, id))
}

pub(super) fn getuid(call: &Call<'_>) -> Outcome {
    Ok(own(call, Ids::Users)[0].into())
}

pub(super) fn geteuid(call: &Call<'_>) -> Outcome {
    Ok(own(call, Ids::Users)[1].into())
}

pub(super) fn getgid(call: &Call<'_>) -> Outcome {
    Ok(own(call, Ids::Groups)[0].into())
}

pub(super) fn getegid(call: &Call<'_>) -> Outcome {
    Ok(own(call, Ids::Groups)[1].into())
}

fn give_three(call: &Call<'_>, ids: [u32; 4]) -> Outcome {
    for (index, id) in (0..3).zip(ids) {
        call.memory().write(call.arg(index), &id.to_le_bytes())?;
    }
    Ok(0)
}

pub(super) fn getresuid(call: &Call<'_>) -> Outcome {
    give_three(call, own(call, Ids::Users))
}

pub(super) fn getresgid(call: &Call<'_>) -> Outcome {
    give_three(call, own(call, Ids::Groups))
}

/// Sets real, effective, saved id (or leaves them); who is able to may set any, others
/// only what they have. The file system's id follows the effective one.
fn set(ids: &mut [u32; 4], able: bool, wanted: [u32; 3]) -> Result<(), Errno> {
    let [real, effective, saved, _] = *ids;
    let has = |id: u32| id == SAME || able || [real, effective, saved].contains(&id);
    if !wanted.into_iter().all(has) {
        return Err(Errno::PERM);
    }
    for (id, wanted) in ids.iter_mut().zip(wanted) {
        if wanted != SAME {
            *id = wanted;
        }
    }
    ids[3] = ids[1];
    Ok(())
}

fn change(
    call: &Call<'_>,
    groups: bool,
    wanted: impl FnOnce(&[u32; 4], bool) -> [u32; 3],
) -> Outcome {
    let mut who = lock(&call.thread.credentials);
    let able = who.can_here(if groups { Caps::SETGID } else { Caps::SETUID });
    let old = who.clone();
    let ids = if groups { &mut who.groups } else { &mut who.users };
    let mut wanted = wanted(&ids.map(|id| old.id_for(kind(groups), id)), able);
    for id in &mut wanted {
        *id = old.id_or_same(kind(groups), *id)?;
        call.kernel.ids().check_some(kind(groups), *id)?;
    }
    set(ids, able, wanted)?;
    if !groups {
        let new = who.users_inside();
        who.caps.follow(old.users_inside(), new);
    }
    let of = |who: &Credentials| (who.users[1], who.groups[1], who.users[3], who.groups[3]);
    let other = of(&old) != of(&who);
    // Who holds the tree asks for credentials, not the other way round.
    drop(who);
    if other {
        changed_person(call);
    }
    Ok(0)
}

fn kind(groups: bool) -> Ids {
    if groups { Ids::Groups } else { Ids::Users }
}

/// Who has become another is not looked into by those who are like him now, and gets no
/// signal from his parent's end.
fn changed_person(call: &Call<'_>) {
    let process = &call.thread.process;
    process.dumpable.store(false, Ordering::SeqCst);
    if let Some(row) = lock(&call.kernel.tree).row_mut(process.pid) {
        row.death_signal = 0;
    }
}

/// setfsuid(2), setfsgid(2): the old one, whatever comes of it.
fn set_of_files(call: &Call<'_>, groups: bool) -> Outcome {
    let mut who = lock(&call.thread.credentials);
    let id = who.id_or_same(kind(groups), call.uint(0)).unwrap_or(SAME);
    let there = call.kernel.ids().check(kind(groups), id).is_ok();
    let id = if there { id } else { SAME };
    let able = who.can_here(if groups { Caps::SETGID } else { Caps::SETUID });
    let old = if groups { who.groups[3] } else { who.users[3] };
    let (seen_old, seen) = (who.id_for(kind(groups), old), who.id_for(kind(groups), id));
    let ids = if groups { &mut who.groups } else { &mut who.users };
    if id != SAME && id != old && (able || ids.contains(&id)) {
        ids[3] = id;
        if !groups {
            who.caps.follow_file_user(seen_old, seen);
        }
        drop(who);
        changed_person(call);
    }
    Ok(seen_old.into())
}

pub(super) fn setfsuid(call: &Call<'_>) -> Outcome {
    set_of_files(call, false)
}

pub(super) fn setfsgid(call: &Call<'_>) -> Outcome {
    set_of_files(call, true)
}

fn set_one(call: &Call<'_>, groups: bool) -> Outcome {
    let id = call.uint(0);
    if id == SAME {
        return Err(Errno::INVAL.into());
    }
    change(call, groups, |_, able| if able { [id; 3] } else { [SAME, id, SAME] })
}

pub(super) fn setuid(call: &Call<'_>) -> Outcome {
    set_one(call, false)
}

pub(super) fn setgid(call: &Call<'_>) -> Outcome {
    set_one(call, true)
}

/// The saved id follows the effective one if the real one is set.
fn set_two(call: &Call<'_>, groups: bool) -> Outcome {
    let (real, effective) = (call.uint(0), call.uint(1));
    change(call, groups, |ids, _| {
        let [old_real, old_effective, ..] = *ids;
        let new = if effective == SAME { old_effective } else { effective };
        let moves = real != SAME || (effective != SAME && effective != old_real);
        [real, effective, if moves { new } else { SAME }]
    })
}

pub(super) fn setreuid(call: &Call<'_>) -> Outcome {
    set_two(call, false)
}

pub(super) fn setregid(call: &Call<'_>) -> Outcome {
    set_two(call, true)
}

pub(super) fn setresuid(call: &Call<'_>) -> Outcome {
    change(call, false, |_, _| [call.uint(0), call.uint(1), call.uint(2)])
}

pub(super) fn setresgid(call: &Call<'_>) -> Outcome {
    change(call, true, |_, _| [call.uint(0), call.uint(1), call.uint(2)])
}

pub(super) fn getgroups(call: &Call<'_>) -> Outcome {
    let who = who(call);
    let others: Vec<u32> = who.others.iter().map(|id| who.id_for(Ids::Groups, *id)).collect();
    let room = usize::try_from(call.int(0)).map_err(|_| Errno::INVAL)?;
    if room > 0 {
        if room < others.len() {
            return Err(Errno::INVAL.into());
        }
        let bytes: Vec<u8> = others.iter().flat_map(|g| g.to_le_bytes()).collect();
        call.memory().write(call.arg(1), &bytes)?;
    }
    Ok(i64::try_from(others.len()).unwrap_or(0))
}

pub(super) fn setgroups(call: &Call<'_>) -> Outcome {
    const MOST: usize = 65_536;
    let who = who(call);
    if !who.can_here(Caps::SETGID) || !who.sets_groups() {
        return Err(Errno::PERM.into());
    }
    let count = usize::try_from(call.arg(0)).ok().filter(|c| *c <= MOST).ok_or(Errno::INVAL)?;
    let mut bytes = vec![0; count * 4];
    call.memory().read(call.arg(1), &mut bytes)?;
    let groups = bytes.chunks_exact(4).map(|g| g.try_into().map_or(0, u32::from_le_bytes));
    let groups: Result<Vec<u32>, Errno> = groups.map(|id| who.id_from(Ids::Groups, id)).collect();
    let mut groups = groups?;
    groups.iter().try_for_each(|id| call.kernel.ids().check(Ids::Groups, *id))?;
    // As Linux keeps them.
    groups.sort_unstable();
    lock(&call.thread.credentials).others = groups;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_able_takes_ids_that_it_does_not_have() {
        let mut ids = [1, 2, 3, 2];
        assert_eq!(set(&mut ids, false, [2, 3, SAME]), Ok(()));
        assert_eq!(ids, [2, 3, 3, 3]);
        assert_eq!(set(&mut ids, false, [SAME, 0, SAME]), Err(Errno::PERM));
        assert_eq!(set(&mut ids, true, [0, 0, 0]), Ok(()));
        assert_eq!(ids, [0; 4]);
    }
}
