//! Users, groups and capabilities of a process.

use caisson_runtime_spec::{Capabilities, User};
use rustix::fs::{Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::step::{Context, StepError};

/// Which capabilities a process is to have, as bit sets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capabilities5 {
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

impl From<&Capabilities> for Capabilities5 {
    fn from(sets: &Capabilities) -> Self {
        Self {
            bounding: sets.bounding.bits(),
            effective: sets.effective.bits(),
            permitted: sets.permitted.bits(),
            inheritable: sets.inheritable.bits(),
            ambient: sets.ambient.bits(),
        }
    }
}

/// Drops the bounding set and takes on user and groups, keeping the permitted
/// capabilities for what must still be done.
pub(super) fn take_user(user: &User, sets: Capabilities5) -> Result<(), StepError> {
    drop_bounding(sets.bounding)?;
    set_keep_capabilities(true).context(|| "keep capabilities")?;
    let gid = Gid::from_raw(user.gid);
    set_thread_res_gid(gid, gid, gid).context(|| format!("take process.user.gid {}", user.gid))?;
    let groups: Vec<Gid> = user.additional_gids.iter().copied().map(Gid::from_raw).collect();
    match set_thread_groups(&groups) {
        Ok(()) => {}
        // Denied in a rootless user namespace; harmless if none are wanted.
        Err(Errno::PERM) if groups.is_empty() => {}
        Err(error) => return Err(error).context(|| "take process.user.additionalGids"),
    }
    let uid = Uid::from_raw(user.uid);
    set_thread_res_uid(uid, uid, uid).context(|| format!("take process.user.uid {}", user.uid))?;
    rustix::process::umask(Mode::from_raw_mode(user.umask.unwrap_or(0o022)));
    Ok(())
}

/// All that the process is permitted, in effect again after a change of user.
pub(super) fn raise_permitted() -> Result<(), StepError> {
    let mut sets = rustix::thread::capabilities(None).context(|| "read capabilities")?;
    sets.effective = sets.permitted;
    set_capabilities(None, sets).context(|| "raise capabilities")
}

/// The final sets; the last thing that needs any capability.
pub(super) fn take_capabilities(sets: Capabilities5) -> Result<(), StepError> {
    let set = CapabilitySet::from_bits_retain;
    let final_sets = CapabilitySets {
        effective: set(sets.effective),
        permitted: set(sets.permitted),
        inheritable: set(sets.inheritable),
    };
    set_capabilities(None, final_sets)
        .context(|| "set process.capabilities (those the runtime lacks can't be given)")?;
    clear_ambient_capability_set().context(|| "clear ambient capabilities")?;
    for bit in bits(sets.ambient) {
        // As runc: an ambient capability that the process may not have is dropped.
        let _ = configure_capability_in_ambient_set(set(1 << bit), true);
    }
    Ok(())
}

fn drop_bounding(keep: u64) -> Result<(), StepError> {
    for number in bits(!keep) {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // The first number that this kernel does not know.
            Err(Errno::INVAL) => break,
            Err(error) => {
                return Err(error)
                    .context(|| format!("drop capability {number} from the bounding set"));
            }
        }
    }
    Ok(())
}

fn bits(set: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |bit| set >> bit & 1 == 1)
}
