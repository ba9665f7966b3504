//! `PR_SET_MM`, `PR_SET_VMA`: where a program's arguments and variables are, and what its memory
//! is called, as others see it.

use std::sync::Arc;

use rustix::io::Errno;

use crate::mm::{PAGE, round_up};
use crate::task::Caps;
use crate::task::waiter::lock;

use super::{Call, Outcome};

/// Which one is set.
mod field {
    pub(super) const ARGUMENTS: u64 = 8;
    pub(super) const ARGUMENTS_END: u64 = 9;
    pub(super) const VARIABLES: u64 = 10;
    pub(super) const VARIABLES_END: u64 = 11;
    pub(super) const VECTOR: u64 = 12;
    pub(super) const ALL: u64 = 14;
    pub(super) const SIZE_OF_ALL: u64 = 15;
}

/// `struct prctl_mm_map`
const SIZE: u64 = 104;
/// Bytes of an auxiliary vector at most.
const VECTOR: u64 = 384;
/// `vm.mmap_min_addr`, and where memory of programs ends.
const ADDRESSES: std::ops::Range<u64> = 0x1_0000..0x7fff_ffff_f000;

pub(super) fn set(call: &Call<'_>) -> Outcome {
    let (which, at, size) = (call.arg(1), call.arg(2), call.arg(3));
    let sized = matches!(which, field::VECTOR | field::ALL | field::SIZE_OF_ALL);
    if call.arg(4) != 0 || (size != 0 && !sized) {
        return Err(Errno::INVAL.into());
    }
    match which {
        field::SIZE_OF_ALL => {
            let bytes = u32::try_from(SIZE).unwrap_or(0).to_le_bytes();
            call.memory().write(at, &bytes)?;
            return Ok(0);
        }
        field::ALL => return set_all(call, at, size),
        _ => lock(&call.thread.credentials).require(Caps::SYS_RESOURCE)?,
    }
    if which == field::VECTOR {
        return set_vector(call, at, size);
    }
    if !ADDRESSES.contains(&at) {
        return Err(Errno::INVAL.into());
    }
    let mapped = lock(&call.thread.space().areas).at(at).is_some();
    let mut strings = lock(&call.thread.process.strings);
    let [mut arguments, mut variables] = strings.clone();
    match which {
        field::ARGUMENTS => arguments.start = at,
        field::ARGUMENTS_END => arguments.end = at,
        field::VARIABLES => variables.start = at,
        field::VARIABLES_END => variables.end = at,
        _ => return Err(Errno::INVAL.into()),
    }
    if arguments.start > arguments.end || variables.start > variables.end {
        return Err(Errno::INVAL.into());
    }
    if !mapped {
        return Err(Errno::FAULT.into());
    }
    *strings = [arguments, variables];
    Ok(0)
}

fn set_vector(call: &Call<'_>, at: u64, size: u64) -> Outcome {
    if at == 0 || size > VECTOR {
        return Err(Errno::INVAL.into());
    }
    let mut vector = vec![0; usize::try_from(size).unwrap_or(0)];
    call.memory().read(at, &mut vector)?;
    *lock(&call.thread.process.auxiliary) = vector;
    Ok(0)
}

/// All at once: whoever may not the rest may this, as it changes nothing but what is shown.
fn set_all(call: &Call<'_>, at: u64, size: u64) -> Outcome {
    if size != SIZE {
        return Err(Errno::INVAL.into());
    }
    let bytes: [u8; 104] = call.memory().read_array(at)?;
    let mut words = [0_u64; 13];
    for (word, part) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = part.try_into().map_or(0, u64::from_le_bytes);
    }
    let [
        code,
        code_end,
        data,
        data_end,
        heap,
        heap_end,
        _stack,
        arguments,
        arguments_end,
        variables,
        variables_end,
        vector,
        rest,
    ] = words;
    let ordered = code < code_end
        && data <= data_end
        && heap <= heap_end
        && arguments <= arguments_end
        && variables <= variables_end;
    if !ordered || words.iter().take(11).any(|address| !ADDRESSES.contains(address)) {
        return Err(Errno::INVAL.into());
    }
    let (vector_size, program) = (rest & 0xffff_ffff, rest >> 32);
    if vector_size > VECTOR || (vector_size > 0 && vector == 0) {
        return Err(Errno::INVAL.into());
    }
    // Another program's file is for who restores processes.
    if program != 0xffff_ffff {
        return Err(Errno::PERM.into());
    }
    // Where the heap ends is brk(2)'s to say.
    let (_, end) = lock(&call.thread.space().areas).heap;
    if end != heap_end {
        return Err(Errno::INVAL.into());
    }
    if vector_size > 0 {
        set_vector(call, vector, vector_size)?;
    }
    let strings = [arguments..arguments_end, variables..variables_end];
    *lock(&call.thread.process.strings) = strings;
    Ok(0)
}

/// `PR_SET_VMA`: what a program calls its memory, as `maps` shows it.
pub(super) fn name(call: &Call<'_>) -> Outcome {
    /// `PR_SET_VMA_ANON_NAME`
    const ANONYMOUS: u64 = 0;
    /// Bytes of a name with its end.
    const MOST: usize = 80;
    if call.arg(1) != ANONYMOUS {
        return Err(Errno::INVAL.into());
    }
    let label: Option<Arc<str>> = match call.arg(4) {
        0 => None,
        address => {
            let text = call.memory().read_string(address, MOST)?.ok_or(Errno::INVAL)?;
            let fits = |b: &u8| matches!(b, b' '..=b'~') && !b"\\`$[]".contains(b);
            let text = String::from_utf8(text).ok().filter(|text| text.bytes().all(|b| fits(&b)));
            Some(text.ok_or(Errno::INVAL)?.into())
        }
    };
    let (start, length) = (call.arg(2), round_up(call.arg(3)).ok_or(Errno::INVAL)?);
    let end = start.checked_add(length).filter(|_| start.is_multiple_of(PAGE));
    let at = start..end.ok_or(Errno::INVAL)?;
    if at.is_empty() {
        return Ok(0);
    }
    let space = call.thread.space();
    lock(&space.areas).label(&at, label.as_ref())?;
    Ok(0)
}
