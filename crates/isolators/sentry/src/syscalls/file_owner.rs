//! fcntl(2), ioctl(2): who is told by signals what happens to a file.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::signal::owner::{Owner, Whose};
use crate::vfs::{Asks, OpenFile, directory_notice, status};

use super::{Call, Outcome, signals};

/// Commands of fcntl(2).
pub(super) mod command {
    pub(in super::super) const SETOWN: u32 = 8;
    pub(in super::super) const GETOWN: u32 = 9;
    pub(in super::super) const SETSIG: u32 = 10;
    pub(in super::super) const GETSIG: u32 = 11;
    pub(in super::super) const SETOWN_EX: u32 = 15;
    pub(in super::super) const GETOWN_EX: u32 = 16;
}

/// Requests of ioctl(2) for sockets.
pub(super) mod request {
    pub(in super::super) const FIOSETOWN: u32 = 0x8901;
    pub(in super::super) const SIOCSPGRP: u32 = 0x8902;
    pub(in super::super) const FIOGETOWN: u32 = 0x8903;
    pub(in super::super) const SIOCGPGRP: u32 = 0x8904;
}

/// Process and group, of `F_SETOWN_EX`.
const PROCESS: i32 = 1;
const GROUP: i32 = 2;

fn set(call: &Call<'_>, file: &Arc<OpenFile>, kind: i32, id: i32) -> Result<(), Errno> {
    let whose = match id {
        0 if (0..=GROUP).contains(&kind) => None,
        id => Some(Whose::find(call.kernel, kind, call.id_of(id))?),
    };
    Owner::of(file).set(call.kernel, whose, signals::sender(call).0);
    Ok(())
}

/// A process, or a group by its negative number.
fn set_by_number(call: &Call<'_>, file: &Arc<OpenFile>, number: i32) -> Result<(), Errno> {
    match number {
        i32::MIN => Err(Errno::INVAL),
        group if group < 0 => set(call, file, GROUP, -group),
        process => set(call, file, PROCESS, process),
    }
}

/// Kind and id, as the caller has them.
fn whose(call: &Call<'_>, file: &OpenFile) -> (i32, i32) {
    let whose = file.owner.get().and_then(|owner| owner.whose());
    whose.map_or((PROCESS, 0), |(kind, id)| (kind, call.number_of(id)))
}

fn number(call: &Call<'_>, file: &OpenFile) -> i32 {
    match whose(call, file) {
        (GROUP, id) => -id,
        (_, id) => id,
    }
}

/// A command of [`command`].
pub(super) fn control(call: &Call<'_>, file: &Arc<OpenFile>) -> Outcome {
    let (memory, argument) = (call.memory(), call.arg(2));
    match call.uint(1) {
        command::SETOWN => set_by_number(call, file, call.int(2))?,
        command::GETOWN => return Ok(number(call, file).into()),
        command::SETSIG => {
            let signal = i32::try_from(argument).ok().filter(|s| (0..=64).contains(s));
            Owner::of(file).set_signal(signal.ok_or(Errno::INVAL)?);
        }
        command::GETSIG => return Ok(file.owner.get().map_or(0, |owner| owner.signal()).into()),
        command::SETOWN_EX => {
            let pair = memory.read_u64(argument)?.to_le_bytes();
            let word = |at: usize| {
                let word = pair.get(at..at + 4).and_then(|word| word.try_into().ok());
                word.map_or(0, i32::from_le_bytes)
            };
            set(call, file, word(0), word(4))?;
        }
        command::GETOWN_EX => {
            let (kind, id) = whose(call, file);
            memory.write(argument, &[kind.to_le_bytes(), id.to_le_bytes()].concat())?;
        }
        _ => return Err(Errno::INVAL.into()),
    }
    Ok(0)
}

/// A request of [`request`].
pub(super) fn socket(call: &Call<'_>, file: &Arc<OpenFile>) -> Outcome {
    let (memory, argument) = (call.memory(), call.arg(2));
    match call.uint(1) {
        request::FIOSETOWN | request::SIOCSPGRP => {
            set_by_number(call, file, memory.read_u32(argument)?.cast_signed())?;
        }
        _ => memory.write(argument, &number(call, file).to_le_bytes())?,
    }
    Ok(0)
}

/// Signals are to be sent, or no longer (`O_ASYNC`).
///
/// # Errors
/// `ENOTTY` if the file sends none.
pub(super) fn ask(call: &Call<'_>, file: &Arc<OpenFile>, on: bool) -> Result<(), Errno> {
    let changes = on != (file.flags.load(Ordering::SeqCst) & status::ASYNC != 0);
    let asks = file.file.asks();
    if changes && asks == Asks::Never {
        return Err(Errno::NOTTY);
    }
    if changes {
        let owner = Owner::of(file);
        if let (Asks::Terminal(group), true, None) = (asks, on, owner.whose()) {
            let own = call.thread.process.pid;
            let (kind, id) = group.map_or((PROCESS, own), |group| (GROUP, group));
            let whose = Whose::find(call.kernel, kind, id).ok();
            owner.set(call.kernel, whose, signals::sender(call).0);
        }
        owner.ask(on.then(|| call.uint(0)));
        let old = file.flags.load(Ordering::SeqCst) & !status::ASYNC;
        file.flags.store(if on { old | status::ASYNC } else { old }, Ordering::SeqCst);
    }
    Ok(())
}

/// `F_NOTIFY`: the caller is told of what happens in a directory, if nobody else is.
pub(super) fn notify(call: &Call<'_>, file: &Arc<OpenFile>) -> Outcome {
    let events = call.uint(2);
    directory_notice::ask(file, (call.uint(0), &call.files()), events)?;
    let owner = Owner::of(file);
    if owner.whose().is_none() {
        let own = call.thread.process.pid;
        let whose = Whose::find(call.kernel, PROCESS, own).ok();
        owner.set(call.kernel, whose, signals::sender(call).0);
    }
    Ok(0)
}
