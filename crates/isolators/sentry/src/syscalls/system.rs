//! The machine: names, memory, log, limits, random bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;

use crate::task::Caps;
use crate::task::namespaces::{Names, domain_name, host_name};
use crate::task::waiter::lock;
use crate::vfs;

use super::{Call, Outcome};

/// `uname -r`
pub const RELEASE: &str = "6.1.0-caisson";
/// `uname -v`
pub const VERSION: &str = concat!("#1 SMP Caisson sentry ", env!("CARGO_PKG_VERSION"));

/// Total and free bytes of the host's memory.
#[must_use]
pub fn memory() -> (u64, u64) {
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit.max(1));
    (info.totalram.saturating_mul(unit), info.freeram.saturating_mul(unit))
}

/// Processors that the sandbox may use.
#[must_use]
pub fn processors() -> usize {
    static COUNT: std::sync::LazyLock<usize> = std::sync::LazyLock::new(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    });
    *COUNT
}

/// Linux for 32 bits, by name only.
const PER_LINUX32: u32 = 8;
/// Bits of the domain.
const DOMAIN: u32 = 0xff;
/// The machine says that it is an older one.
const UNAME26: u32 = 0x2_0000;
/// Programs are where they were the last time.
pub(super) const ADDR_NO_RANDOMIZE: u32 = 0x4_0000;
/// select(2) and its relatives don't tell how much time is left.
pub(super) const STICKY_TIMEOUTS: u32 = 0x400_0000;

/// personality(2): what has no effect here has none on Linux without 32-bit programs.
pub(super) fn personality(call: &Call<'_>) -> Outcome {
    const ASK: u32 = u32::MAX;
    const READ_IMPLIES_EXEC: u32 = 0x40_0000;
    let (wanted, own) = (call.uint(0), &call.thread.process.personality);
    if wanted == ASK {
        return Ok(own.load(Ordering::SeqCst).into());
    }
    if wanted & READ_IMPLIES_EXEC != 0 {
        return Err(Errno::INVAL.into());
    }
    Ok(own.swap(wanted, Ordering::SeqCst).into())
}

/// The release, as programs know it that can't count to three.
fn old_release() -> String {
    let end = RELEASE.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(RELEASE.len());
    let (number, rest) = RELEASE.split_at_checked(end).unwrap_or((RELEASE, ""));
    let minor = number.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    format!("2.6.{}{rest}", minor.unwrap_or(0) + 60)
}

pub(super) fn uname(call: &Call<'_>) -> Outcome {
    let names = call.thread.namespaces().names;
    let node = host_name(call.kernel, names.as_deref());
    let personality = call.thread.process.personality.load(Ordering::SeqCst);
    let machine: &[u8] = if personality & DOMAIN == PER_LINUX32 { b"i686" } else { b"x86_64" };
    let old = if personality & UNAME26 != 0 { old_release() } else { RELEASE.to_owned() };
    let own = domain_name(call.kernel, names.as_deref());
    let domain: &[u8] = if own.is_empty() { NO_DOMAIN } else { &own };
    let fields: [&[u8]; 6] = [b"Linux", &node, old.as_bytes(), VERSION.as_bytes(), machine, domain];
    let mut bytes = Vec::new();
    for (field, end) in fields.iter().zip((65..).step_by(65)) {
        bytes.extend(field.iter().take(64));
        bytes.resize(end, 0);
    }
    call.memory().write(call.arg(0), &bytes)?;
    Ok(0)
}

/// What uname(2) says where there is no domain.
pub const NO_DOMAIN: &[u8] = b"(none)";

/// A name of the machine, for who may change it.
fn new_name(call: &Call<'_>) -> Result<(Vec<u8>, Option<Arc<Names>>), Errno> {
    let names = call.thread.namespaces().names;
    let owner = names.as_ref().and_then(|names| names.owner.clone());
    lock(&call.thread.credentials).require_in(&owner, Caps::SYS_ADMIN)?;
    let length = usize::try_from(call.int(1)).ok().filter(|l| *l <= 64).ok_or(Errno::INVAL)?;
    let mut name = vec![0; length];
    call.memory().read(call.arg(0), &mut name)?;
    Ok((name, names))
}

pub(super) fn sethostname(call: &Call<'_>) -> Outcome {
    let (name, names) = new_name(call)?;
    match names {
        Some(names) => *lock(&names.host) = name,
        None => *lock(&call.kernel.host_name) = name,
    }
    Ok(0)
}

pub(super) fn setdomainname(call: &Call<'_>) -> Outcome {
    let (name, names) = new_name(call)?;
    match names {
        Some(names) => *lock(&names.domain) = name,
        None => *lock(&call.kernel.domain_name) = name,
    }
    Ok(0)
}

pub(super) fn sysinfo(call: &Call<'_>) -> Outcome {
    let (total, free) = call.kernel.memory();
    let up = call.kernel.booted.elapsed().as_secs();
    let processes = lock(&call.kernel.tree).rows().count() as u64;
    // In parts of 65,536.
    let parts = |load: Duration| u64::try_from(load.as_micros() * 65_536 / 1_000_000).unwrap_or(0);
    let [one, five, fifteen] = vfs::load(call.kernel).map(parts);
    let mut words = vec![up, one, five, fifteen, total, free, 0, 0, 0, 0, processes & 0xffff, 0, 0];
    // The unit of memory is one byte.
    words.push(1);
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    call.memory().write(call.arg(0), bytes.get(..112).unwrap_or_default())?;
    Ok(0)
}

pub(super) fn syslog(call: &Call<'_>) -> Outcome {
    const READ_ALL: i32 = 3;
    const READ_CLEAR: i32 = 4;
    const SIZE_UNREAD: i32 = 9;
    const SIZE_BUFFER: i32 = 10;
    let text = call.kernel.log.text().into_bytes();
    match call.int(0) {
        READ_ALL | READ_CLEAR => {
            let room = usize::try_from(call.int(2)).map_err(|_| Errno::INVAL)?;
            // The last part, if not all of it fits.
            let start = text.len().saturating_sub(room);
            let part = text.get(start..).unwrap_or_default();
            call.memory().write(call.arg(1), part)?;
            Ok(i64::try_from(part.len()).unwrap_or(0))
        }
        SIZE_UNREAD => Ok(i64::try_from(text.len()).unwrap_or(0)),
        SIZE_BUFFER => Ok(1 << 17),
        0 | 1 | 5..=8 => Ok(0),
        _ => Err(Errno::INVAL.into()),
    }
}

pub(super) fn getrandom(call: &Call<'_>) -> Outcome {
    const KNOWN: u32 = 7;
    const MOST: u64 = 1 << 20;
    if call.uint(2) & !KNOWN != 0 {
        return Err(Errno::INVAL.into());
    }
    let length = usize::try_from(call.arg(1).min(MOST)).unwrap_or(0);
    let mut bytes = vec![0; length];
    if !crate::platform::random(&mut bytes) {
        return Err(Errno::IO.into());
    }
    call.memory().write(call.arg(0), &bytes)?;
    Ok(i64::try_from(length).unwrap_or(0))
}

pub(super) fn getcpu(call: &Call<'_>) -> Outcome {
    // Where this thread runs; its partner was most likely there, too.
    let here = crate::platform::affinity::current() % processors().max(1);
    for (index, value) in [u32::try_from(here).unwrap_or(0), 0].into_iter().enumerate() {
        if call.arg(index) != 0 {
            call.memory().write(call.arg(index), &value.to_le_bytes())?;
        }
    }
    Ok(0)
}

/// Every host thread has the same share.
pub(super) fn sched_yield(_: &Call<'_>) -> Outcome {
    std::thread::yield_now();
    Ok(0)
}

pub(super) fn sync(call: &Call<'_>) -> Outcome {
    call.kernel.files.sync();
    Ok(0)
}
