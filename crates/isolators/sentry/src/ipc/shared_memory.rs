//! Segments of shared memory: memfds that are mapped as files are. Attachments are
//! not counted: they are the areas of address spaces that start with the segment's start.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::MemfdFlags;
use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::{Backing, PAGE, Space, round_up};
use crate::settings::SEGMENTS_GO;
use crate::task::Pid;
use crate::task::waiter::lock;
use crate::vfs::Time;

use super::Ipc;

/// `SHMMNI`
pub const MOST: usize = 4096;
/// `SHM_DEST`, a bit of the mode: removed, as soon as nobody is attached.
pub const MARKED: u32 = 0o1000;
/// `SHM_LOCKED`, another one: nothing of it is swapped out.
pub const LOCKED: u32 = 0o2000;
/// Address space is not larger.
const LARGEST: u64 = 1 << 46;

/// A process, in all numberings of a sandbox ([`Kernel::tree_key`]).
type Maker = (usize, Pid);

/// A segment.
#[derive(Debug)]
pub struct Segment {
    /// Bytes.
    pub size: u64,
    /// Its memory.
    pub memory: Arc<OwnedFd>,
    /// Device and inode of the memory.
    pub inode: (u64, u64),
    /// Which process made it, while that is there.
    pub maker: Option<Maker>,
    /// Who made it, and who attached or detached last.
    pub processes: (Pid, Pid),
    /// When it was attached, detached and changed last, in seconds.
    pub times: [i64; 3],
    /// Whether it is to go.
    pub marked: bool,
    /// Whether it is to stay in memory.
    pub locked: bool,
}

impl Segment {
    /// A new one.
    ///
    /// # Errors
    /// `EINVAL` for a size that can't be, or what the host says.
    pub fn new(size: u64, maker: Maker) -> Result<Self, Errno> {
        let length = round_up(size).filter(|length| (PAGE..LARGEST).contains(length));
        let length = length.ok_or(Errno::INVAL)?;
        let memory = rustix::fs::memfd_create("SYSV", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&memory, length).map_err(|_| Errno::NOMEM)?;
        let status = rustix::fs::fstat(&memory)?;
        Ok(Self {
            size,
            memory: Arc::new(memory),
            inode: (status.st_dev, status.st_ino),
            maker: Some(maker),
            processes: (maker.1, 0),
            times: [0, 0, Time::now().seconds],
            marked: false,
            locked: false,
        })
    }

    /// Further bits of the mode.
    #[must_use]
    pub fn bits(&self) -> u32 {
        let marked = if self.marked { MARKED } else { 0 };
        marked | if self.locked { LOCKED } else { 0 }
    }

    /// How many bytes of it are in memory.
    #[must_use]
    pub fn held(&self) -> u64 {
        let status = rustix::fs::fstat(&*self.memory);
        status.map_or(0, |status| u64::try_from(status.st_blocks).unwrap_or(0) * 512)
    }
}

/// Those in use, of all containers: they may share segments.
fn spaces(kernel: &Kernel) -> Vec<Arc<Space>> {
    kernel.machine.spaces().into_iter().filter(|space| space.users() > 0).collect()
}

/// How often a segment is attached.
#[must_use]
pub fn attachments(kernel: &Kernel, inode: (u64, u64)) -> u64 {
    let whole = |backing: &Backing| matches!(backing, Backing::File { id, offset: 0, shared: true, .. } if *id == inode);
    let count = |space: &Arc<Space>| {
        lock(&space.areas).iter().filter(|(_, area)| whole(&area.backing)).count() as u64
    };
    spaces(kernel).iter().map(count).sum()
}

/// A process has ended: its own segments have no maker any more.
pub fn left(kernel: &Kernel, ipc: &Ipc, pid: Pid) {
    let maker = kernel.tree_key(pid);
    for segment in lock(&ipc.segments).iter_mut() {
        segment.content.maker.take_if(|its| *its == maker);
    }
    sweep(kernel, ipc);
}

/// Takes away what is marked, or goes by [`SEGMENTS_GO`], and attached nowhere.
pub fn sweep(kernel: &Kernel, ipc: &Ipc) {
    let forced = ipc.settings.get(SEGMENTS_GO) == Some(1);
    let marked: Vec<_> = {
        let segments = lock(&ipc.segments);
        // One that nobody has attached yet goes with its maker.
        let goes = |segment: &Segment| {
            segment.marked || forced && (segment.times[0] != 0 || segment.maker.is_none())
        };
        let marked = segments.iter().filter(|(_, segment)| goes(&segment.content));
        marked.map(|(id, segment)| (id, segment.content.inode)).collect()
    };
    for (id, inode) in marked {
        if attachments(kernel, inode) == 0 {
            lock(&ipc.segments).remove(id);
        }
    }
}

/// Notes that a process has detached a segment.
pub fn detached(kernel: &Kernel, ipc: &Ipc, id: i32, pid: Pid) {
    if let Ok(segment) = lock(&ipc.segments).find(id) {
        segment.content.processes.1 = pid;
        segment.content.times[1] = Time::now().seconds;
    }
    sweep(kernel, ipc);
}
