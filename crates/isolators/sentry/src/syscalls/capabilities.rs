//! Capabilities and securebits: capget(2), capset(2), and those requests of prctl(2).

use rustix::io::Errno;

use crate::task::capabilities::LAST;
use crate::task::waiter::lock;
use crate::task::{CapabilitySets, Caps, SecureBits};

use super::{Call, Failure, Outcome};

/// `_LINUX_CAPABILITY_VERSION_3` and what went before, with their words of each set.
const VERSIONS: [(u32, usize); 3] = [(0x2008_0522, 2), (0x2007_1026, 2), (0x1998_0330, 1)];

/// Reads `struct __user_cap_header_struct`: the words of each set, and the thread; `None`
/// if it only asks for the version.
fn header(call: &Call<'_>) -> Result<Option<(usize, i32)>, Failure> {
    let memory = call.memory();
    let version = memory.read_u32(call.arg(0))?;
    let known = VERSIONS.iter().find(|(v, _)| *v == version);
    let Some((_, words)) = known else {
        let (newest, _) = VERSIONS[0];
        memory.write(call.arg(0), &newest.to_le_bytes())?;
        if call.arg(1) == 0 {
            return Ok(None);
        }
        return Err(Errno::INVAL.into());
    };
    let pid = memory.read_u32(call.arg(0).wrapping_add(4))?.cast_signed();
    Ok(Some((*words, pid)))
}

pub(super) fn capget(call: &Call<'_>) -> Outcome {
    let Some((words, pid)) = header(call)? else { return Ok(0) };
    if pid < 0 {
        return Err(Errno::INVAL.into());
    }
    let thread = match pid {
        0 => call.thread.clone(),
        tid => lock(&call.kernel.tree).thread(call.id_of(tid)).cloned().ok_or(Errno::SRCH)?,
    };
    if call.arg(1) == 0 {
        return Ok(0);
    }
    let caps = lock(&thread.credentials).caps;
    let sets = [caps.effective, caps.permitted, caps.inheritable];
    let halves = |shift: u32| sets.map(|set| u32::try_from(set.bits() >> shift & 0xffff_ffff));
    let all = [halves(0), halves(32)].into_iter().take(words).flatten();
    let bytes: Vec<u8> = all.flat_map(|half| half.unwrap_or(0).to_le_bytes()).collect();
    call.memory().write(call.arg(1), &bytes)?;
    Ok(0)
}

pub(super) fn capset(call: &Call<'_>) -> Outcome {
    let Some((words, pid)) = header(call)? else { return Err(Errno::FAULT.into()) };
    if pid != 0 && call.id_of(pid) != call.thread.tid {
        return Err(Errno::PERM.into());
    }
    let mut bytes = vec![0; words * 12];
    call.memory().read(call.arg(1), &mut bytes)?;
    let word = |index: usize| {
        let at = bytes.get(index * 4..index * 4 + 4).and_then(|b| b.try_into().ok());
        at.map_or(0, u32::from_le_bytes)
    };
    let set = |index: usize| {
        let high = if words == 2 { u64::from(word(index + 3)) } else { 0 };
        Caps::from_bits_truncate(u64::from(word(index)) | high << 32)
    };
    change(&mut lock(&call.thread.credentials).caps, set(0), set(1), set(2))?;
    Ok(0)
}

fn change(
    caps: &mut CapabilitySets,
    effective: Caps,
    permitted: Caps,
    inheritable: Caps,
) -> Result<(), Errno> {
    let able = caps.effective.contains(Caps::SETPCAP);
    let allowed = (able || (caps.inheritable | caps.permitted).contains(inheritable))
        && (caps.inheritable | caps.bounding).contains(inheritable)
        && caps.permitted.contains(permitted)
        && permitted.contains(effective);
    if !allowed {
        return Err(Errno::PERM);
    }
    caps.effective = effective;
    caps.permitted = permitted;
    caps.inheritable = inheritable;
    caps.ambient &= permitted & inheritable;
    Ok(())
}

fn one(number: u64) -> Result<Caps, Errno> {
    if number <= LAST { Ok(Caps::from_bits_retain(1 << number)) } else { Err(Errno::INVAL) }
}

/// The requests that are about what a thread may do, and become.
pub(super) fn prctl(call: &Call<'_>) -> Outcome {
    const GET_KEEPCAPS: i32 = 7;
    const SET_KEEPCAPS: i32 = 8;
    const CAPBSET_READ: i32 = 23;
    const CAPBSET_DROP: i32 = 24;
    const GET_SECUREBITS: i32 = 27;
    const SET_SECUREBITS: i32 = 28;
    const SET_NO_NEW_PRIVS: i32 = 38;
    const GET_NO_NEW_PRIVS: i32 = 39;
    const CAP_AMBIENT: i32 = 47;
    let mut who = lock(&call.thread.credentials);
    let able = who.can_here(Caps::SETPCAP);
    let caps = &mut who.caps;
    let rest_is_zero = |from: usize| (from..5).all(|index| call.arg(index) == 0);
    match call.int(0) {
        GET_KEEPCAPS => Ok(caps.secure.contains(SecureBits::KEEP).into()),
        SET_KEEPCAPS => {
            if call.arg(1) > 1 {
                return Err(Errno::INVAL.into());
            }
            if caps.secure.bits() & 32 != 0 {
                return Err(Errno::PERM.into());
            }
            caps.secure.set(SecureBits::KEEP, call.arg(1) == 1);
            Ok(0)
        }
        CAPBSET_READ => Ok(caps.bounding.contains(one(call.arg(1))?).into()),
        CAPBSET_DROP => {
            if !able {
                return Err(Errno::PERM.into());
            }
            caps.bounding -= one(call.arg(1))?;
            Ok(0)
        }
        GET_SECUREBITS => Ok(caps.secure.bits().into()),
        SET_SECUREBITS => {
            set_secure_bits(caps, call.arg(1), able)?;
            Ok(0)
        }
        SET_NO_NEW_PRIVS if call.arg(1) == 1 && rest_is_zero(2) => {
            caps.no_new_privs = true;
            Ok(0)
        }
        GET_NO_NEW_PRIVS if rest_is_zero(1) => Ok(caps.no_new_privs.into()),
        CAP_AMBIENT => ambient(caps, call),
        _ => Err(Errno::INVAL.into()),
    }
}

/// A lock can't be opened, and what it locks can't change.
fn set_secure_bits(caps: &mut CapabilitySets, wanted: u64, able: bool) -> Result<(), Errno> {
    let wanted = u32::try_from(wanted).ok().and_then(SecureBits::from_bits).ok_or(Errno::PERM)?;
    let old = caps.secure.bits();
    let locks = old & SecureBits::LOCKS.bits();
    let changed = old ^ wanted.bits();
    if locks & !wanted.bits() != 0 || (locks >> 1) & changed != 0 || !able {
        return Err(Errno::PERM);
    }
    caps.secure = wanted;
    Ok(())
}

fn ambient(caps: &mut CapabilitySets, call: &Call<'_>) -> Outcome {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    if call.arg(3) != 0 || call.arg(4) != 0 {
        return Err(Errno::INVAL.into());
    }
    if call.arg(1) == CLEAR_ALL {
        if call.arg(2) != 0 {
            return Err(Errno::INVAL.into());
        }
        caps.ambient = Caps::empty();
        return Ok(0);
    }
    let cap = one(call.arg(2))?;
    match call.arg(1) {
        IS_SET => return Ok(caps.ambient.contains(cap).into()),
        RAISE => {
            let may = (caps.permitted & caps.inheritable).contains(cap)
                && !caps.secure.contains(SecureBits::NO_AMBIENT_RAISE);
            if !may {
                return Err(Errno::PERM.into());
            }
            caps.ambient |= cap;
        }
        LOWER => caps.ambient -= cap,
        _ => return Err(Errno::INVAL.into()),
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_only_shrink() {
        let mut caps = CapabilitySets::of_user(0);
        let some = Caps::CHOWN | Caps::KILL;
        assert_eq!(change(&mut caps, some, some, Caps::empty()), Ok(()));
        assert_eq!(change(&mut caps, some, some | Caps::SETUID, Caps::empty()), Err(Errno::PERM));
        assert_eq!(change(&mut caps, some, Caps::CHOWN, Caps::empty()), Err(Errno::PERM));
        assert_eq!(change(&mut caps, Caps::CHOWN, some, Caps::SETUID), Err(Errno::PERM));
        assert_eq!(change(&mut caps, Caps::CHOWN, some, Caps::KILL), Ok(()));
    }

    #[test]
    fn locks_of_secure_bits_hold() {
        let mut caps = CapabilitySets::of_user(0);
        assert_eq!(set_secure_bits(&mut caps, 3, true), Ok(()));
        assert_eq!(set_secure_bits(&mut caps, 2, true), Err(Errno::PERM));
        assert_eq!(set_secure_bits(&mut caps, 3 | 16, true), Ok(()));
        assert_eq!(set_secure_bits(&mut caps, 3, false), Err(Errno::PERM));
        assert_eq!(set_secure_bits(&mut caps, 1 << 20, true), Err(Errno::PERM));
    }
}
