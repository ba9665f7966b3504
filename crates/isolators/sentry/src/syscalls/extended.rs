//! Extended attributes of files.

use std::sync::Arc;

use rustix::io::Errno;

use crate::vfs::Entry;

use super::paths::place;
use super::{Call, Outcome};

/// Bytes of a name, of a value.
const NAME_LIMIT: usize = 255;
const VALUE_LIMIT: u64 = 65_536;

/// Which file a call means.
#[derive(Clone, Copy)]
enum Of {
    Path,
    Link,
    Open,
}

fn entry(call: &Call<'_>, of: Of) -> Result<Arc<Entry>, Errno> {
    match of {
        Of::Open => call.open_file(0)?.entry.clone().ok_or(Errno::OPNOTSUPP),
        Of::Path | Of::Link => place(call, None, 0, matches!(of, Of::Path), Errno::OPNOTSUPP),
    }
}

fn name(call: &Call<'_>) -> Result<Vec<u8>, Errno> {
    let name = call.memory().read_string(call.arg(1), NAME_LIMIT + 1)?.ok_or(Errno::RANGE)?;
    if name.is_empty() { Err(Errno::RANGE) } else { Ok(name) }
}

/// Hands out what was found; only its length, if there is no room for anything.
fn give(call: &Call<'_>, found: &[u8], address: u64, room: u64) -> Outcome {
    let length = found.len() as u64;
    if room != 0 {
        if room < length {
            return Err(Errno::RANGE.into());
        }
        call.memory().write(address, found)?;
    }
    Ok(length.cast_signed())
}

fn get(call: &Call<'_>, of: Of) -> Outcome {
    let value = call.walker().extended(&*entry(call, of)?, &name(call)?)?;
    give(call, &value, call.arg(2), call.arg(3))
}

fn set(call: &Call<'_>, of: Of) -> Outcome {
    const CREATE: u32 = 1;
    const REPLACE: u32 = 2;
    let must_be = match call.uint(4) {
        0 => None,
        CREATE => Some(false),
        REPLACE => Some(true),
        _ => return Err(Errno::INVAL.into()),
    };
    if call.arg(3) > VALUE_LIMIT {
        return Err(Errno::TOOBIG.into());
    }
    let mut value = vec![0; usize::try_from(call.arg(3)).unwrap_or(0)];
    let name = name(call)?;
    call.memory().read(call.arg(2), &mut value)?;
    call.walker().set_extended(&*entry(call, of)?, &name, Some(&value), must_be)?;
    Ok(0)
}

fn list(call: &Call<'_>, of: Of) -> Outcome {
    let names = call.walker().extended_names(&*entry(call, of)?)?;
    give(call, &names, call.arg(1), call.arg(2))
}

fn remove(call: &Call<'_>, of: Of) -> Outcome {
    let name = name(call)?;
    call.walker().set_extended(&*entry(call, of)?, &name, None, Some(true))?;
    Ok(0)
}

pub(super) fn setxattr(call: &Call<'_>) -> Outcome {
    set(call, Of::Path)
}

pub(super) fn lsetxattr(call: &Call<'_>) -> Outcome {
    set(call, Of::Link)
}

pub(super) fn fsetxattr(call: &Call<'_>) -> Outcome {
    set(call, Of::Open)
}

pub(super) fn getxattr(call: &Call<'_>) -> Outcome {
    get(call, Of::Path)
}

pub(super) fn lgetxattr(call: &Call<'_>) -> Outcome {
    get(call, Of::Link)
}

pub(super) fn fgetxattr(call: &Call<'_>) -> Outcome {
    get(call, Of::Open)
}

pub(super) fn listxattr(call: &Call<'_>) -> Outcome {
    list(call, Of::Path)
}

pub(super) fn llistxattr(call: &Call<'_>) -> Outcome {
    list(call, Of::Link)
}

pub(super) fn flistxattr(call: &Call<'_>) -> Outcome {
    list(call, Of::Open)
}

pub(super) fn removexattr(call: &Call<'_>) -> Outcome {
    remove(call, Of::Path)
}

pub(super) fn lremovexattr(call: &Call<'_>) -> Outcome {
    remove(call, Of::Link)
}

pub(super) fn fremovexattr(call: &Call<'_>) -> Outcome {
    remove(call, Of::Open)
}
