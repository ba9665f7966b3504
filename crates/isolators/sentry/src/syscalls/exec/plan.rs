//! How a program gets into an empty address space: what is mapped where, and what is
//! written there.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::loader::{Auxiliary, Stack};
use crate::mm::{Area, Areas, Backing, Marks, PAGE, Protection, round_up};
use crate::platform::{GUEST_END, HostCall, VDSO, VDSO_SIZE};
use crate::task::Process;
use crate::task::limits::resource;
use crate::task::waiter::lock;
use crate::vfs::mount::MountUse;

use super::super::memory::{host, map};
use super::super::system::ADDR_NO_RANDOMIZE;
use super::{Binary, Program};

/// A stack is no longer, whatever `RLIMIT_STACK` says: all of it is reserved.
const LONGEST_STACK: u64 = 1 << 30;
/// Where relocatable programs begin, before a random distance is added.
const RELOCATED: u64 = 0x5500_0000_0000;

/// A step of setting up an address space.
pub(super) enum Step {
    Call(HostCall),
    /// The same with the stub's descriptor of a file in the fifth argument.
    WithFile(usize, HostCall),
    Close(usize),
}

/// What is to be mapped, and what is to be written afterwards.
pub(super) struct Plan {
    pub(super) files: Vec<(Arc<OwnedFd>, Option<u32>)>,
    pub(super) steps: VecDeque<Step>,
    pub(super) areas: Areas,
    pub(super) writes: Vec<(u64, Vec<u8>)>,
    pub(super) entry: u64,
    pub(super) pointer: u64,
    pub(super) program: crate::mm::Program,
    pub(super) auxiliary: Vec<u8>,
    pub(super) strings: [Range<u64>; 2],
}

/// Bytes to reserve for the stack of a program that `process` executes, whose arguments
/// and variables take so many of them. A part of `RLIMIT_AS` at most, as the whole counts.
fn stack_size(process: &Process, strings: u64) -> u64 {
    let (stack, all) = {
        let limits = lock(&process.limits);
        let soft = |which| limits.get(which).map_or(u64::MAX, |(soft, _)| soft);
        (soft(resource::STACK), soft(resource::AS) / 8)
    };
    // As much as Linux gives a new stack besides.
    let least = strings + (128 << 10);
    round_up(stack.min(all).min(LONGEST_STACK).max(least)).unwrap_or(LONGEST_STACK)
}

impl Plan {
    fn map_anonymous(&mut self, start: u64, end: u64, protection: u64, name: &'static str) {
        let flags = map::PRIVATE | map::ANONYMOUS | map::FIXED | map::NORESERVE;
        let args = [start, end - start, protection, flags, u64::MAX, 0];
        self.steps.push_back(Step::Call(HostCall { number: host::MMAP, args }));
        let backing = Backing::Anonymous;
        let marks = if name == "[stack]" { Marks::GROWS } else { Marks::empty() };
        let protection = Protection(protection);
        self.areas.insert(start, Area { end, protection, backing, name, label: None, marks });
    }

    /// Maps all parts of a binary at `base`.
    fn map_image(&mut self, binary: Binary, base: u64, most: u64) -> Result<(), Errno> {
        let index = self.files.len();
        for segment in &binary.image.segments {
            let start = base + segment.address;
            let (page, lead) = (start & !(PAGE - 1), start % PAGE);
            let file_end = start + segment.file_size;
            let end = round_up(start + segment.memory_size).ok_or(Errno::NOEXEC)?;
            if end > most || page < 0x1_0000 {
                return Err(Errno::NOEXEC);
            }
            let mut mapped = page;
            if segment.file_size > 0 {
                mapped = round_up(file_end).ok_or(Errno::NOEXEC)?;
                let offset = segment.offset - lead;
                let flags = map::PRIVATE | map::FIXED;
                let args = [page, mapped - page, segment.protection, flags, 0, offset];
                let call = HostCall { number: host::MMAP, args };
                self.steps.push_back(Step::WithFile(index, call));
                let (path, id) = (binary.path.clone(), binary.id);
                let used = MountUse::of(&binary.entry.mount);
                let anchor = binary.entry.node.anchor().in_mount(Some(used));
                let anchor = anchor.of_use(binary.reading.clone());
                let (shared, most) = (false, Protection(7));
                let backing = Backing::File { path, id, offset, shared, most, anchor };
                let protection = Protection(segment.protection);
                let marks = Marks::empty();
                self.areas.insert(
                    page,
                    Area { end: mapped, protection, backing, name: "", label: None, marks },
                );
                if segment.memory_size > segment.file_size && segment.protection & 2 != 0 {
                    let rest = usize::try_from(mapped - file_end).unwrap_or(0);
                    self.writes.push((file_end, vec![0; rest]));
                }
            }
            if end > mapped {
                self.map_anonymous(mapped, end, segment.protection, "");
            }
        }
        self.program.executing.push(binary.executing);
        self.files.push((binary.file, None));
        self.steps.push_back(Step::Close(index));
        Ok(())
    }
}

/// `process`: which is to run it; as who, and whether as more than its user is.
pub(super) fn plan(
    program: Program,
    process: &Process,
    (ids, secure): ([u32; 4], bool),
) -> Result<Plan, Errno> {
    let Program { binary, interpreter, arguments, environment, called, .. } = program;
    let mut random = [0; 40];
    if !crate::platform::random(&mut random) {
        return Err(Errno::IO);
    }
    // A user can't take it from a program that can do more than he.
    let fixed = !secure && process.personality.load(Ordering::SeqCst) & ADDR_NO_RANDOMIZE != 0;
    let chance = |at: usize, bits: u32| {
        if fixed {
            return 0;
        }
        let word =
            random.get(at..at + 4).and_then(|w| w.try_into().ok()).map_or(0, u32::from_le_bytes);
        u64::from(word) & ((1 << bits) - 1)
    };
    let mut plan = Plan {
        files: Vec::new(),
        steps: VecDeque::new(),
        areas: Areas::lowered(chance(4, 28) * PAGE),
        writes: Vec::new(),
        entry: 0,
        pointer: 0,
        program: crate::mm::Program {
            path: binary.path.clone(),
            entry: Some(Arc::clone(&binary.entry)),
            executing: Vec::new(),
        },
        auxiliary: Vec::new(),
        strings: [0..0, 0..0],
    };
    let base = if binary.image.relocatable {
        (RELOCATED + chance(0, 28) * PAGE) & !(binary.image.alignment - 1)
    } else {
        0
    };
    let protection = if binary.image.executable_stack { 7 } else { 3 };
    let headers = if binary.image.headers == 0 { 0 } else { base + binary.image.headers };
    let mut auxiliary = Auxiliary {
        headers: (headers, binary.image.header_count),
        base: 0,
        entry: base + binary.image.entry,
        ids,
        secure,
        random: [0; 16],
    };
    auxiliary.random.copy_from_slice(random.get(24..).unwrap_or(&[0; 16]));
    let (_, end) = binary.image.extent();
    let strings: usize = arguments.iter().chain(&environment).map(|text| text.len() + 9).sum();
    let stack_end = GUEST_END - chance(8, 22) * PAGE;
    let below = stack_end - stack_size(process, strings as u64 + called.len() as u64);
    plan.map_image(binary, base, below)?;
    let heap = base + end + chance(12, 18) * PAGE;
    plan.areas.heap = (heap, heap);
    plan.entry = auxiliary.entry;
    plan.map_anonymous(below, stack_end, protection, "[stack]");
    if let Some(interpreter) = interpreter {
        let (start, end) = interpreter.image.extent();
        let place = plan.areas.find(0, end - start, None).ok_or(Errno::NOMEM)?;
        let base = if interpreter.image.relocatable { place.wrapping_sub(start) } else { 0 };
        plan.entry = base + interpreter.image.entry;
        auxiliary.base = base;
        plan.map_image(interpreter, base, below)?;
    }
    let (backing, protection) = (Backing::Anonymous, Protection(5));
    let (end, marks) = (VDSO + VDSO_SIZE, Marks::empty());
    let vdso = Area { end, protection, backing, name: "[vdso]", label: None, marks };
    plan.areas.insert(VDSO, vdso);
    let top = stack_end - chance(16, 9) * 16;
    let stack = Stack::new(top, &arguments, &environment, &called, &auxiliary);
    plan.pointer = stack.pointer;
    plan.auxiliary = stack.auxiliary;
    plan.strings = stack.strings;
    plan.writes.push((stack.pointer, stack.bytes));
    Ok(plan)
}
