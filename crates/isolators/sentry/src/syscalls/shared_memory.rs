//! System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2).

use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::io::Errno;

use crate::ipc::objects::{Object, access};
use crate::ipc::shared_memory::{self, MOST, Segment};
use crate::kernel::{Frame, Kernel};
use crate::mm::{Anchor, Area, Backing, PAGE, Protection, Space, round_up};
use crate::platform::HostCall;
use crate::task::limits::resource;
use crate::task::waiter::lock;
use crate::task::{Caps, Thread};
use crate::vfs::Time;

use super::identity::who;
use super::mapping;
use super::memory::{self, Mapping, host, in_turn, map, range};
use super::{Call, Failure, Framed, Outcome, locking};

/// Commands that all kinds of IPC have.
pub(super) mod command {
    pub(in super::super) const REMOVE: u32 = 0;
    pub(in super::super) const SET: u32 = 1;
    pub(in super::super) const STATUS: u32 = 2;
    pub(in super::super) const LIMITS: u32 = 3;
}
/// Those of shmctl(2).
mod own {
    pub(super) const LOCK: u32 = 11;
    pub(super) const UNLOCK: u32 = 12;
    pub(super) const STATUS_AT: u32 = 13;
    pub(super) const USE: u32 = 14;
    pub(super) const ANY_STATUS_AT: u32 = 15;
}
/// Flags of shmget(2) and shmat(2).
mod flag {
    pub(super) const HUGE: u32 = 0o4000;
    pub(super) const READ_ONLY: u32 = 0o10_000;
    pub(super) const ROUND: u32 = 0o20_000;
    pub(super) const REPLACE: u32 = 0o40_000;
    pub(super) const EXECUTE: u32 = 0o100_000;
}

pub(super) fn shmget(call: &Call<'_>) -> Outcome {
    let ipc = call.ipc();
    let (key, size, flags) = (call.int(0), call.arg(1), call.uint(2));
    shared_memory::sweep(call.kernel, &ipc);
    let fits = |segment: &Segment| if size <= segment.size { Ok(()) } else { Err(Errno::INVAL) };
    let make = || match flags & flag::HUGE {
        0 => Segment::new(size, call.kernel.tree_key(call.thread.process.pid)),
        _ => Err(Errno::NOMEM),
    };
    let mut segments = lock(&ipc.segments);
    Ok(segments.get((key, flags), &who(call), MOST, fits, make)?.into())
}

pub(super) fn shmat(call: &Call<'_>, frame: &Frame) -> Framed {
    let ipc = call.ipc();
    let (id, address, flags) = (call.int(0), call.arg(1), call.uint(2));
    let read_only = flags & flag::READ_ONLY != 0;
    let execute = flags & flag::EXECUTE != 0;
    let address = if flags & flag::ROUND != 0 { address & !(PAGE - 1) } else { address };
    if address == 0 && flags & flag::REPLACE != 0 {
        return Err(Errno::INVAL.into());
    }
    let (memory, size, key, inode) = {
        let mut segments = lock(&ipc.segments);
        let Object { permissions, content, .. } = segments.find(id)?;
        let write = if read_only { 0 } else { access::WRITE };
        permissions.permit(&who(call), access::READ | write | u32::from(execute))?;
        content.processes.1 = call.thread.process.pid;
        content.times[0] = Time::now().seconds;
        (Arc::clone(&content.memory), content.size, permissions.key, content.inode)
    };
    let length = round_up(size).ok_or(Errno::NOMEM)?;
    let decide = |space: &Arc<Space>| {
        let areas = lock(&space.areas);
        let marks = locking::of_new(call, &areas, length, 0)?;
        if address == 0 {
            let start = areas.find(0, length, None).ok_or(Failure::Errno(Errno::NOMEM))?;
            return Ok((start, marks));
        }
        let at = range(address, length).map_err(|_| Errno::INVAL)?;
        if flags & flag::REPLACE == 0 && !areas.is_free(&at) {
            return Err(Errno::INVAL.into());
        }
        Ok((at.start, marks))
    };
    let descriptor = if read_only {
        mapping::read_only(call.kernel, memory.as_fd())?
    } else {
        memory.try_clone().map_err(|_| Errno::NFILE)?
    };
    let (space, (start, marks)) = in_turn(call, decide)?;
    let protection = 1 | u64::from(!read_only) << 1 | u64::from(execute) << 2;
    let backing = Backing::File {
        path: format!("/SYSV{key:08x} (deleted)").into_bytes(),
        id: inode,
        offset: 0,
        shared: true,
        most: Protection(if read_only { 5 } else { 7 }),
        anchor: Anchor::default(),
    };
    let protection = Protection(protection);
    let end = start + length;
    let area = Area { end, protection, backing, name: "", label: None, marks };
    let host_flags = map::SHARED | map::NORESERVE;
    let descriptor = Some(descriptor);
    let (offset, answer) = (0, None);
    let mapping = Mapping { start, area, descriptor, host_flags, offset, answer };
    memory::make(call, frame, space, mapping)
}

pub(super) fn shmdt(call: &Call<'_>, frame: &Frame) -> Framed {
    let ipc = call.ipc();
    let start = call.arg(0);
    let decide = |space: &Arc<Space>| {
        let areas = lock(&space.areas);
        let (at, first) = areas.at(start).ok_or(Errno::INVAL)?;
        let Backing::File { path, id: inode, offset: 0, shared: true, .. } = &first.backing else {
            return Err(Failure::Errno(Errno::INVAL));
        };
        let segments = lock(&ipc.segments);
        let segment = segments.iter().find(|(_, segment)| segment.content.inode == *inode);
        let (id, length) = match segment.filter(|_| at == start) {
            Some((id, segment)) => (Some(id), round_up(segment.content.size).unwrap_or(PAGE)),
            // It has left the namespace that the segment is of.
            None if at == start && path.starts_with(b"/SYSV") => (None, u64::MAX - start),
            None => return Err(Errno::INVAL.into()),
        };
        // As much as is still there in one piece.
        let mut end = start;
        while let Some((from, area)) = areas.at(end).filter(|_| end < start + length) {
            let own = |backing: &Backing| {
                matches!(backing, Backing::File { id, offset, shared: true, .. }
                    if id == inode && *offset == from - start)
            };
            if !own(&area.backing) {
                break;
            }
            end = area.end;
        }
        drop((segments, areas));
        space.settle(call.thread.tid, &(start..end))?;
        Ok((id, start..end))
    };
    let (space, (id, at)) = in_turn(call, decide)?;
    let saved = frame.clone();
    let args = [at.start, at.end - at.start, 0, 0, 0, 0];
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, number: u64, result: i64| {
        if result >= 0 {
            lock(&space.areas).remove(&at);
        }
        space.pass_turn();
        if let (Some(id), 0..) = (id, result) {
            shared_memory::detached(kernel, &ipc, id, thread.process.pid);
        }
        memory::finish(kernel, thread, number, saved, result);
    };
    let host = HostCall { number: host::MUNMAP, args };
    call.kernel.order(call.thread, call.id, frame, host, Box::new(then));
    Ok(None)
}

/// `struct shmid64_ds`
fn describe(call: &Call<'_>, id: i32, segment: &Object<Segment>, attached: u64) -> Vec<u8> {
    let who = &who(call);
    let Segment { size, processes, times, .. } = &segment.content;
    let mut bytes = segment.permissions.bytes(id, segment.content.bits(), who).to_vec();
    bytes.extend_from_slice(&size.to_le_bytes());
    for time in times {
        bytes.extend_from_slice(&time.to_le_bytes());
    }
    for process in [processes.0, processes.1] {
        bytes.extend_from_slice(&call.number_of(process).to_le_bytes());
    }
    bytes.extend_from_slice(&attached.to_le_bytes());
    bytes.extend_from_slice(&[0; 16]);
    bytes
}

/// `struct shminfo64`
fn limits() -> Vec<u8> {
    const MOST_BYTES: u64 = u64::MAX - (1 << 24);
    let most = MOST as u64;
    let words = [MOST_BYTES, 1, most, most, MOST_BYTES, 0, 0, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// `struct shm_info`
fn in_use(call: &Call<'_>) -> Vec<u8> {
    let ipc = call.ipc();
    let segments = lock(&ipc.segments);
    let pages: u64 =
        segments.iter().filter_map(|(_, s)| round_up(s.content.size)).map(|s| s / PAGE).sum();
    let held: u64 = segments.iter().map(|(_, segment)| segment.content.held() / PAGE).sum();
    let words = [segments.iter().count() as u64, pages, held, 0, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(super) fn shmctl(call: &Call<'_>) -> Outcome {
    let ipc = call.ipc();
    let (asked, what) = (call.int(0), call.uint(1) & !0x100);
    shared_memory::sweep(call.kernel, &ipc);
    if matches!(what, command::LIMITS | own::USE) {
        let bytes = if what == own::USE { in_use(call) } else { limits() };
        call.memory().write(call.arg(2), &bytes)?;
        return Ok(lock(&ipc.segments).highest());
    }
    let by_place = matches!(what, own::STATUS_AT | own::ANY_STATUS_AT);
    let (id, inode) = {
        let mut segments = lock(&ipc.segments);
        let id = if by_place { segments.at(asked)? } else { asked };
        (id, segments.find(id)?.content.inode)
    };
    // Not under the lock: it looks at address spaces.
    let attached = shared_memory::attachments(call.kernel, inode);
    let mut segments = lock(&ipc.segments);
    let segment = segments.find(id)?;
    match what {
        command::STATUS | own::STATUS_AT | own::ANY_STATUS_AT => {
            let wanted = if what == own::ANY_STATUS_AT { 0 } else { access::READ };
            segment.permissions.permit(&who(call), wanted)?;
            call.memory().write(call.arg(2), &describe(call, id, segment, attached))?;
            return Ok(if by_place { id.into() } else { 0 });
        }
        command::SET => {
            segment.permissions.control(&who(call))?;
            segment.permissions.set(&call.memory().read_array(call.arg(2))?, &who(call))?;
            segment.content.times[2] = Time::now().seconds;
        }
        command::REMOVE => {
            segment.permissions.control(&who(call))?;
            segment.content.marked = true;
            // Nobody finds it by its key from here on.
            segment.permissions.key = 0;
            drop(segments);
            shared_memory::sweep(call.kernel, &ipc);
        }
        own::LOCK | own::UNLOCK => {
            let who = who(call);
            if !who.can(Caps::IPC_LOCK) {
                let none = || lock(&call.thread.process.limits).soft(resource::MEMLOCK) == 0;
                if !segment.permissions.is_of(&who) || (what == own::LOCK && none()) {
                    return Err(Errno::PERM.into());
                }
            }
            segment.content.locked = what == own::LOCK;
        }
        _ => return Err(Errno::INVAL.into()),
    }
    Ok(0)
}
