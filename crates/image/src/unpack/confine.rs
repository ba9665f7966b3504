//! The wall around the thread that unpacks.

use std::io;
use std::os::fd::BorrowedFd;

use caisson_sys::landlock::{FileAccess, landlock_abi, restrict_thread};
use caisson_sys::unshare::unshare_fs_attributes;
use rustix::fs::Mode;
use rustix::process::umask;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::error::UnpackError;

/// The first ABI that lets hard links cross directories.
const FIRST_USEFUL_ABI: u32 = 2;

/// What unpacking may do below the target: everything but run, and talk to
/// devices.
const BUILD: FileAccess =
    FileAccess::all().difference(FileAccess::EXECUTE).difference(FileAccess::IOCTL_DEV);

/// What is left of a root's capabilities.
const NEEDED: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP)
    // For trusted.overlay.*.
    .union(CapabilitySet::SYS_ADMIN);

/// Puts the calling thread behind its wall, for good: writing below `target`
/// only, reading below `readable` too, few capabilities, a umask of its own
/// (0). `false` where the kernel has no Landlock that would do; everything
/// else is in place then.
pub(crate) fn confine_thread(
    target: BorrowedFd<'_>,
    readable: &[BorrowedFd<'_>],
) -> Result<bool, UnpackError> {
    let fail = |op| move |source: io::Error| UnpackError::Confine { op, source };
    unshare_fs_attributes().map_err(fail("a umask of its own"))?;
    umask(Mode::empty());
    let mut sets = capabilities(None).map_err(|errno| fail("read capabilities")(errno.into()))?;
    sets.effective &= NEEDED;
    sets.permitted &= NEEDED;
    sets.inheritable &= NEEDED;
    set_capabilities(None, sets).map_err(|errno| fail("drop capabilities")(errno.into()))?;

    let Some(abi) = landlock_abi().filter(|abi| *abi >= FIRST_USEFUL_ABI) else {
        return Ok(false);
    };
    let mut rules = vec![(target, BUILD)];
    rules.extend(readable.iter().map(|dir| (*dir, FileAccess::READ)));
    restrict_thread(abi, &rules).map_err(fail("Landlock"))?;
    Ok(true)
}
