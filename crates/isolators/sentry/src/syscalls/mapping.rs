//! mmap(2): what is to be mapped, and where.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::kernel::{Frame, Kernel};
use crate::mm::{Anchor, Area, Backing, Marks, PAGE, Protection, Space, round_up};
use crate::task::waiter::lock;
use crate::vfs::tmpfs::{HugeFile, page_size};
use crate::vfs::{Device, MountFlags, OpenFile};

use super::limits::allow_memory;
use super::memory::{Mapping, in_turn, make, map, range};
use super::{Call, Failure, Framed, approved, locking};

/// What mmap(2) is to map.
pub(super) struct Wanted {
    pub(super) backing: Backing,
    pub(super) descriptor: Option<OwnedFd>,
    pub(super) host_flags: u64,
}

/// A descriptor for a stub that is to see a file and not to change it: a guest may well make
/// our list of its areas wrong, but not the host's.
pub(super) fn read_only(kernel: &Kernel, fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    if flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return kernel.files.broker.read_only(fd);
    }
    fd.try_clone_to_owned().map_err(|_| Errno::NFILE)
}

static SHARED_OBJECTS: AtomicU64 = AtomicU64::new(1);

fn number() -> u64 {
    SHARED_OBJECTS.fetch_add(1, Ordering::Relaxed)
}

/// What is behind a mapping of `/dev/zero`, or of no file: memory.
fn zeros(shared: bool, writable: bool) -> Backing {
    match (shared, writable) {
        (false, _) => Backing::Anonymous,
        (true, true) => Backing::Shared(number(), 0),
        // Nobody is to write it later either.
        (true, false) => Backing::File {
            path: b"/dev/zero".to_vec(),
            id: (u64::MAX, number()),
            offset: 0,
            shared,
            most: Protection(5),
            anchor: Anchor::default(),
        },
    }
}

/// Memory, or what a file has from `offset` on.
pub(super) fn wanted(
    call: &Call<'_>,
    file: Option<&OpenFile>,
    (flags, protection, offset): (u64, u64, u64),
) -> Result<Wanted, Errno> {
    let kind = match flags & 0xf {
        map::SHARED | map::SHARED_VALIDATE => map::SHARED,
        map::PRIVATE => map::PRIVATE,
        _ => return Err(Errno::INVAL),
    };
    let shared = kind == map::SHARED;
    if shared && flags & map::GROWS_DOWN != 0 {
        return Err(Errno::INVAL);
    }
    let passed = kind | map::NORESERVE | (flags & map::POPULATE);
    let memory = |writable: bool| Wanted {
        backing: zeros(shared, writable),
        descriptor: None,
        host_flags: passed | map::ANONYMOUS,
    };
    let Some(file) = file else {
        if flags & 0xf == map::SHARED_VALIDATE {
            return Err(Errno::INVAL);
        }
        return Ok(memory(true));
    };
    if flags & 0xf == map::SHARED_VALIDATE && flags & !map::EVER != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    if !file.readable() || (shared && protection & 2 != 0 && !file.writable()) {
        return Err(Errno::ACCESS);
    }
    if file.memory_device() == Some(Device::Zero) {
        return Ok(memory(file.writable()));
    }
    let fd = file.file.descriptor().ok_or(Errno::NODEV)?;
    let anchor = file.file.is_mapped(shared).in_mount(file.mount_use.clone());
    let anchor = anchor.of_use(file.mapped_use());
    let descriptor = if shared && !file.writable() {
        read_only(call.kernel, fd)?
    } else {
        fd.try_clone_to_owned().map_err(|_| Errno::NFILE)?
    };
    let id = file.device_and_inode()?;
    let path = file.entry.as_ref().map(|e| e.path()).unwrap_or_default();
    let mut most = Protection(7);
    if file.entry.as_ref().is_some_and(|e| e.mount.flags().contains(MountFlags::NO_EXECUTE)) {
        most.0 &= !4;
    }
    if protection & !most.0 != 0 {
        return Err(Errno::PERM);
    }
    if shared && !file.writable() {
        // The host's descriptor may have more rights than the guest's.
        most.0 &= !2;
    }
    let backing = Backing::File { path, id, offset, shared, most, anchor };
    Ok(Wanted { backing, descriptor: Some(descriptor), host_flags: passed })
}

/// Bytes of a file's pages, if they are huge.
fn huge(file: &OpenFile) -> Option<u64> {
    Some(file.file.own()?.downcast_ref::<HugeFile>()?.page())
}

/// Why huge pages can't be mapped: there are none, or not so.
fn no_huge_page(call: &Call<'_>, file: Option<&OpenFile>) -> Errno {
    let [hint, _, _, flags, _, offset] = call.args;
    let size = match file {
        Some(file) => huge(file),
        None => u32::try_from(flags >> map::HUGE_SHIFT & 0x3f).ok().and_then(page_size),
    };
    let Some(size) = size else { return Errno::INVAL };
    let fixed = flags & (map::FIXED | map::FIXED_NOREPLACE) != 0;
    let askew =
        fixed && !hint.is_multiple_of(size) || file.is_some() && !offset.is_multiple_of(size);
    if askew || matches!(flags & 0xf, 0 | 4..) { Errno::INVAL } else { Errno::NOMEM }
}

pub(super) fn mmap(call: &Call<'_>, frame: &Frame) -> Framed {
    const PLAIN: u64 = map::PRIVATE | map::ANONYMOUS | map::NORESERVE;
    let [hint, length, protection, flags, _, offset] = call.args;
    let of_file = flags & map::ANONYMOUS == 0;
    if !offset.is_multiple_of(PAGE) {
        return Err(Errno::INVAL.into());
    }
    let file = of_file.then(|| call.open_file(4)).transpose()?;
    if length == 0 {
        return Err(Errno::INVAL.into());
    }
    if flags & map::HUGETLB != 0 || file.as_ref().is_some_and(|file| huge(file).is_some()) {
        return Err(no_huge_page(call, file.as_deref()).into());
    }
    let protection = protection & 7;
    let length = round_up(length).ok_or(Errno::NOMEM)?;
    let want = wanted(call, file.as_deref(), (flags, protection, offset))?;
    // Of a file it has no effect.
    let grows = flags & map::GROWS_DOWN != 0 && flags & map::ANONYMOUS != 0;
    let data = protection & 2 != 0 && flags & 0xf == map::PRIVATE;
    let decide = |space: &Arc<Space>| {
        let areas = lock(&space.areas);
        let replaced = match range(hint, length) {
            Ok(at) if flags & map::FIXED != 0 => areas.mapped(&at),
            _ => 0,
        };
        allow_memory(call, &areas, length - replaced, data)?;
        let marks = locking::of_new(call, &areas, length, flags)?;
        if flags & (map::FIXED | map::FIXED_NOREPLACE) != 0 {
            let at = range(hint, length)?;
            if at.start < 0x1_0000 {
                return Err(Errno::PERM.into());
            }
            if flags & map::FIXED_NOREPLACE != 0 && !areas.is_free(&at) {
                return Err(Errno::EXIST.into());
            }
            return Ok((at.start, marks));
        }
        let below = (flags & map::LOW != 0).then_some(0x8000_0000);
        let start = areas.find(hint, length, below).ok_or(Failure::Errno(Errno::NOMEM))?;
        Ok((start, marks))
    };
    // It counts as a use, which the guest may not find any more once it goes on.
    drop(file);
    let (space, (start, marks)) = in_turn(call, decide)?;
    let area = Area {
        end: start + length,
        protection: Protection(protection),
        backing: want.backing,
        name: "",
        label: None,
        marks: marks | if grows { Marks::GROWS } else { Marks::empty() },
    };
    let present = if locking::is_present(marks) { map::POPULATE } else { 0 };
    let host_flags = want.host_flags | present;
    // What the stub maps in answer to the call is like this. What was told without a frame first
    // is no call any more.
    let told = flags & map::FIXED != 0;
    let simple = want.descriptor.is_none() && host_flags == PLAIN && !told;
    if simple && approved::map_in_stub(call, &space, frame, &area, start, None)? {
        return Ok(None);
    }
    let descriptor = want.descriptor;
    make(call, frame, space, Mapping { start, area, descriptor, host_flags, offset, answer: None })
}
