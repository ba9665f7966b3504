//! The list of futexes that a thread holds: at its end they are marked, and who waits is
//! woken (`robust_list` of the kernel's documentation).

use std::sync::Arc;

use crate::kernel::Kernel;
use crate::mm::Space;
use crate::syscalls::futex;

use super::Pid;

/// Entries that are followed at most (`ROBUST_LIST_LIMIT`): a list can be a circle.
const MOST: usize = 2048;
/// `FUTEX_OWNER_DIED`, `FUTEX_WAITERS`, `FUTEX_TID_MASK`
const OWNER_DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;
const TID: u32 = 0x3fff_ffff;

/// Releases all on the list at `head`. What the guest says there is followed as far as
/// it can be read.
pub(super) fn release(kernel: &Arc<Kernel>, space: &Arc<Space>, head: u64, tid: Pid) {
    let memory = &space.memory;
    let Ok(list) = memory.read_array::<24>(head) else { return };
    let (words, _) = list.as_chunks();
    let &[first, offset, pending] = words else { return };
    let [first, offset, pending] = [first, offset, pending].map(u64::from_le_bytes);
    // The lowest bit marks those whose word names the holder to the kernel.
    let futex_of = |entry: u64| ((entry & !1).wrapping_add(offset), entry & 1 != 0);
    let mut entry = first;
    for _ in 0..MOST {
        if entry & !1 == head {
            break;
        }
        let next = memory.read_u64(entry & !1).ok();
        // One that is being taken is handled by itself.
        if entry & !1 != pending & !1 {
            die(kernel, space, futex_of(entry), tid, false);
        }
        let Some(next) = next else { return };
        entry = next;
    }
    if pending & !1 != 0 {
        die(kernel, space, futex_of(pending), tid, true);
    }
}

fn die(
    kernel: &Arc<Kernel>,
    space: &Arc<Space>,
    (address, inherits): (u64, bool),
    tid: Pid,
    pending: bool,
) {
    let Ok(word) = space.memory.read_u32(address) else { return };
    if inherits {
        futex::died(kernel, space, address, tid);
        return;
    }
    if pending && word & TID == 0 {
        // It was let go, but nobody was woken yet.
        futex::wake_private(kernel, space, address, 1);
        return;
    }
    if word & TID != tid.cast_unsigned() {
        return;
    }
    // Only its holder, which is this thread, changes more than the mark of waiters; one
    // that is set in between finds the word changed and looks again.
    let new = word & WAITERS | OWNER_DIED;
    if space.memory.write(address, &new.to_le_bytes()).is_ok() && word & WAITERS != 0 {
        futex::wake_private(kernel, space, address, 1);
    }
}
