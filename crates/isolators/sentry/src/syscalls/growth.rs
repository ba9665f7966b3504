//! Areas that grow downwards, where the guest touches the addresses below: `MAP_GROWSDOWN`, and
//! a stack whose limit was raised.

use std::sync::Arc;

use crate::kernel::{Frame, Kernel};
use crate::mm::{Area, PAGE};
use crate::platform::HostCall;
use crate::signal;
use crate::task::Thread;
use crate::task::limits::resource;
use crate::task::waiter::lock;

use super::limits::allow_memory_of;
use super::locking::allow_locked;
use super::memory::{host, map};

/// A thread has a fault, as nothing is mapped at its address. True if something grows to it:
/// then the thread goes on.
pub fn grow(
    kernel: &Arc<Kernel>,
    thread: &Arc<Thread>,
    id: u64,
    frame: &Frame,
    info: signal::Info,
) -> bool {
    let address = info.address();
    let space = thread.space();
    let grows = |mapped: bool| {
        let areas = lock(&space.areas);
        areas.grown(address).is_some() || (mapped && areas.at(address).is_some())
    };
    if !grows(false) || space.take_turn().is_err() {
        return false;
    }
    let to = address & !(PAGE - 1);
    let decided = {
        let areas = lock(&space.areas);
        areas.grown(address).and_then(|(start, area)| {
            let most = lock(&thread.process.limits).soft(resource::STACK);
            let allowed = area.end - to <= most
                && allow_memory_of(&thread.process, &areas, start - to, false).is_ok()
                && allow_locked(thread, &areas, area.marks, start - to).is_ok();
            allowed.then(|| (start, area.clone()))
        })
    };
    let decided = decided.filter(|(start, _)| space.settle(thread.tid, &(to..*start)).is_ok());
    let Some((start, area)) = decided else {
        space.pass_turn();
        // Another thread may have been there first.
        let there = grows(true) && lock(&space.areas).at(address).is_some();
        if there {
            signal::resume(kernel, thread, id, &mut frame.clone());
        }
        return there;
    };
    let flags = map::PRIVATE | map::ANONYMOUS | map::FIXED | map::NORESERVE;
    let args = [to, start - to, area.protection.0 & 7, flags, u64::MAX, 0];
    let mut saved = frame.clone();
    let then = move |kernel: &Arc<Kernel>, thread: &Arc<Thread>, id: u64, result: i64| {
        if result >= 0 {
            lock(&space.areas).insert(to, Area { end: start, ..area });
        }
        space.pass_turn();
        if result < 0 {
            signal::force(thread, info);
        }
        signal::resume(kernel, thread, id, &mut saved);
    };
    kernel.order(thread, id, frame, HostCall { number: host::MMAP, args }, Box::new(then));
    true
}
