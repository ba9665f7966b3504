//! Copies between files that the guest's memory does not see.

use rustix::io::Errno;

use crate::task::waiter::lock;
use crate::vfs::OpenFile;

use super::{Call, Failure, Outcome};

const CHUNK: usize = 64 << 10;

/// Copies up to `length` bytes; positions move if no offset is given.
fn copy(
    call: &Call<'_>,
    from: &OpenFile,
    to: &OpenFile,
    mut offsets: (Option<u64>, Option<u64>),
    length: u64,
) -> Result<u64, Failure> {
    let mut buffer = vec![0; CHUNK];
    let mut done = 0;
    while done < length {
        let size = usize::try_from(length - done).unwrap_or(CHUNK).min(CHUNK);
        let part = buffer.get_mut(..size).unwrap_or_default();
        let count = match from.read(call, part, offsets.0) {
            Ok(0) => break,
            Ok(count) => count,
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => break,
        };
        let mut written = 0;
        while written < count {
            let rest = buffer.get(written..count).unwrap_or_default();
            match to.write(call, rest, offsets.1) {
                Ok(more) => {
                    written += more;
                    offsets.1 = offsets.1.map(|o| o + more as u64);
                }
                Err(failure) => {
                    // What was read and not written is read again.
                    let back = (count - written) as u64;
                    if offsets.0.is_none() && from.seekable {
                        let mut position = lock(&from.position);
                        *position = position.saturating_sub(back);
                    }
                    done += written as u64;
                    return if done == 0 { Err(failure) } else { Ok(done) };
                }
            }
        }
        done += count as u64;
        offsets.0 = offsets.0.map(|o| o + count as u64);
        if !from.seekable {
            break;
        }
    }
    Ok(done)
}

/// An offset in memory, if there is one.
fn offset(call: &Call<'_>, index: usize) -> Result<Option<u64>, Errno> {
    match call.arg(index) {
        0 => Ok(None),
        address => {
            let offset = call.memory().read_u64(address)?;
            if offset.cast_signed() < 0 { Err(Errno::INVAL) } else { Ok(Some(offset)) }
        }
    }
}

fn store(call: &Call<'_>, index: usize, offset: Option<u64>, by: u64) -> Result<(), Failure> {
    if let Some(offset) = offset {
        call.memory().write(call.arg(index), &(offset + by).to_le_bytes())?;
    }
    Ok(())
}

pub(super) fn sendfile(call: &Call<'_>) -> Outcome {
    let (to, from) = (call.file(0)?, call.file(1)?);
    if !from.seekable {
        return Err(Errno::INVAL.into());
    }
    let start = offset(call, 2)?;
    let done = copy(call, &from, &to, (start, None), call.arg(3))?;
    store(call, 2, start, done)?;
    Ok(done.cast_signed())
}

pub(super) fn copy_file_range(call: &Call<'_>) -> Outcome {
    let (from, to) = (call.file(0)?, call.file(2)?);
    if call.uint(5) != 0 || !from.seekable || !to.seekable {
        return Err(Errno::INVAL.into());
    }
    let starts = (offset(call, 1)?, offset(call, 3)?);
    let done = copy(call, &from, &to, starts, call.arg(4))?;
    store(call, 1, starts.0, done)?;
    store(call, 3, starts.1, done)?;
    Ok(done.cast_signed())
}
