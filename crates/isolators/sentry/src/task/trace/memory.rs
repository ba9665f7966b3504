//! Calls that a stopped tracee makes for its tracer on the host, and its memory, also
//! where it may not access it itself.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::{PAGE, Space};
use crate::platform::{GUEST_END, HostCall};
use crate::task::waiter::lock;
use crate::task::{Row, Thread};
use crate::workers::let_others_serve;

use super::Stopped;

/// Has a stopped tracee make a call of the host's. The caller holds its trace's lock.
fn make(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
    call: HostCall,
) -> Result<i64, Errno> {
    let done = Arc::new((Mutex::new(None), Condvar::new()));
    let told = Arc::clone(&done);
    let then = move |_: &Arc<Kernel>, _: &Arc<Thread>, id: u64, result: i64| {
        *lock(&told.0) = Some((id, result));
        told.1.notify_one();
    };
    kernel.order_aside(thread, stopped.id, &stopped.frame, call, (false, Box::new(then)));
    let mut made = lock(&done.0);
    loop {
        if let Some((id, result)) = made.take() {
            stopped.id = id;
            return Ok(result);
        }
        if !thread.space().stub.is_there() || !goes_on(kernel, thread) {
            return Err(Errno::SRCH);
        }
        let_others_serve();
        let pause = Duration::from_millis(50);
        made = done.1.wait_timeout(made, pause).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Whether neither a tracee nor its tracer ends: what the tracee was to do is in memory of
/// its own, where others change it, so that it may never be done.
fn goes_on(kernel: &Kernel, thread: &Arc<Thread>) -> bool {
    let tree = lock(&kernel.tree);
    let lives = |row: &Row| row.ended.is_none();
    tree.row(thread.process.pid).is_some_and(|row| lives(row) && row.has(thread))
        && thread.tracer().and_then(|tracer| tree.row(tracer)).is_some_and(lives)
}

const ARCH_PRCTL: u64 = 158;
/// `ARCH_GET_FS`, `ARCH_GET_GS`
const GET: [u64; 2] = [0x1003, 0x1004];
/// `ARCH_SET_FS`, `ARCH_SET_GS`
const SET: [u64; 2] = [0x1002, 0x1001];

/// The bases of fs and gs of a stopped tracee.
///
/// # Errors
/// `ESRCH` if it is gone.
pub fn read_bases(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
) -> Result<[u64; 2], Errno> {
    if let Some(bases) = stopped.bases {
        return Ok(bases);
    }
    let scratch = lock(&thread.place).slot.scratch();
    let mut bases = [0; 2];
    for (base, request) in bases.iter_mut().zip(GET) {
        let args = [request, scratch, 0, 0, 0, 0];
        make(kernel, thread, stopped, HostCall { number: ARCH_PRCTL, args })?;
        *base = thread.memory().read_u64(scratch).map_err(|_| Errno::SRCH)?;
    }
    stopped.bases = Some(bases);
    Ok(bases)
}

/// Sets one of them: 0 is that of fs.
///
/// # Errors
/// `EIO` for an address that is none; `ESRCH` if it is gone.
pub fn set_base(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
    index: usize,
    value: u64,
) -> Result<(), Errno> {
    let mut bases = read_bases(kernel, thread, stopped)?;
    let (Some(base), Some(request)) = (bases.get_mut(index), SET.get(index)) else {
        return Err(Errno::IO);
    };
    if *base == value {
        return Ok(());
    }
    let args = [*request, value, 0, 0, 0, 0];
    if make(kernel, thread, stopped, HostCall { number: ARCH_PRCTL, args })? < 0 {
        return Err(Errno::IO);
    }
    *base = value;
    stopped.bases = Some(bases);
    Ok(())
}

/// What is copied.
pub enum Piece<'a> {
    /// From the space.
    Read(&'a mut [u8]),
    /// To the space.
    Write(&'a [u8]),
}

impl Piece<'_> {
    fn len(&self) -> usize {
        match self {
            Piece::Read(bytes) => bytes.len(),
            Piece::Write(bytes) => bytes.len(),
        }
    }

    /// Copies what is at `from` of it up to `to`; how many bytes could be.
    fn copy(&mut self, space: &Space, address: u64, from: usize, to: usize) -> usize {
        match self {
            Piece::Read(bytes) => {
                bytes.get_mut(from..to).map_or(0, |part| space.memory.read_some(address, part))
            }
            Piece::Write(bytes) => {
                bytes.get(from..to).map_or(0, |part| space.memory.write_some(address, part))
            }
        }
    }
}

/// Copies from or to a space, also where its own threads may not: a page that may not be
/// written is made private to the space, as for breakpoints. That takes a tracee that is
/// stopped in it: `held`, or one that is found. Returns how many bytes were copied.
pub fn access(
    kernel: &Arc<Kernel>,
    space: &Arc<Space>,
    address: u64,
    mut piece: Piece<'_>,
    mut held: Option<(&Arc<Thread>, &mut Stopped)>,
) -> usize {
    let length = piece.len();
    let mut done = 0;
    while done < length {
        let Some(at) = address.checked_add(done as u64) else { break };
        let copied = piece.copy(space, at, done, length);
        if copied > 0 {
            done += copied;
            continue;
        }
        let page = at & !(PAGE - 1);
        let room = usize::try_from(PAGE - (at - page)).unwrap_or(0);
        let end = length.min(done + room);
        let wanted = if matches!(piece, Piece::Write(_)) { 3 } else { 1 };
        let mut copy = || piece.copy(space, at, done, end);
        let copied = match held.as_mut() {
            Some((thread, stopped)) => forced(kernel, thread, stopped, (page, wanted), &mut copy),
            None => stopped_in(kernel, space).iter().find_map(|thread| {
                let mut trace = lock(&thread.trace);
                let stopped = trace.stop.as_mut()?;
                forced(kernel, thread, stopped, (page, wanted), &mut copy)
            }),
        };
        match copied {
            None | Some(0) => break,
            Some(copied) => done += copied,
        }
    }
    done
}

/// Threads of a space that are stopped by their tracers.
fn stopped_in(kernel: &Kernel, space: &Arc<Space>) -> Vec<Arc<Thread>> {
    let tree = lock(&kernel.tree);
    let all = tree.rows().flat_map(|(_, row)| row.threads.values());
    all.filter(|thread| Arc::ptr_eq(&thread.space(), space)).cloned().collect()
}

/// Copies within a page that is given the protection `wanted` besides its own meanwhile.
fn forced(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    stopped: &mut Stopped,
    (page, wanted): (u64, u64),
    copy: &mut dyn FnMut() -> usize,
) -> Option<usize> {
    const MPROTECT: u64 = 10;
    let own = {
        let space = thread.space();
        let areas = lock(&space.areas);
        let (_, area) = areas.at(page).filter(|_| page < GUEST_END)?;
        // A change of what is shared would reach others.
        if area.backing.is_shared() && wanted != 1 {
            return None;
        }
        area.protection.0 & 7
    };
    let mut set = |protection: u64| {
        let args = [page, PAGE, protection, 0, 0, 0];
        make(kernel, thread, stopped, HostCall { number: MPROTECT, args })
    };
    if set(own | wanted) != Ok(0) {
        return None;
    }
    let copied = copy();
    set(own).ok()?;
    Some(copied)
}
