//! What a thread sets for itself.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::task::waiter::lock;
use crate::task::{Row, may_trace};

use super::{Call, Outcome, identity, scheduling};

pub(super) fn set_tid_address(call: &Call<'_>) -> Outcome {
    call.thread.clear_tid.store(call.arg(0), Ordering::SeqCst);
    Ok(call.number_of(call.thread.tid).into())
}

const LIST_SIZE: u64 = 24;

pub(super) fn set_robust_list(call: &Call<'_>) -> Outcome {
    if call.arg(1) != LIST_SIZE {
        return Err(Errno::INVAL.into());
    }
    call.thread.robust_list.store(call.arg(0), Ordering::SeqCst);
    Ok(0)
}

pub(super) fn get_robust_list(call: &Call<'_>) -> Outcome {
    let thread = scheduling::any_thread(call, call.int(0))?;
    let process = &thread.process;
    if process.pid != call.thread.process.pid && !may_trace(&identity::who(call), process, false) {
        return Err(Errno::PERM.into());
    }
    let head = thread.robust_list.load(Ordering::SeqCst);
    call.memory().write(call.arg(1), &head.to_le_bytes())?;
    call.memory().write(call.arg(2), &LIST_SIZE.to_le_bytes())?;
    Ok(0)
}

fn change_row(call: &Call<'_>, f: impl FnOnce(&mut Row)) -> Outcome {
    let mut tree = lock(&call.kernel.tree);
    f(tree.row_mut(call.thread.process.pid).ok_or(Errno::SRCH)?);
    Ok(0)
}

fn of_row<T>(call: &Call<'_>, f: impl FnOnce(&Row) -> T) -> Result<T, Errno> {
    lock(&call.kernel.tree).row(call.thread.process.pid).map(f).ok_or(Errno::SRCH)
}

pub(super) fn prctl(call: &Call<'_>) -> Outcome {
    const SET_DEATH_SIGNAL: i32 = 1;
    const GET_DEATH_SIGNAL: i32 = 2;
    const SET_SUBREAPER: i32 = 36;
    const GET_SUBREAPER: i32 = 37;
    const GET_DUMPABLE: i32 = 3;
    const SET_DUMPABLE: i32 = 4;
    const SET_NAME: i32 = 15;
    const GET_NAME: i32 = 16;
    const GET_SECCOMP: i32 = 21;
    const SET_SECCOMP: i32 = 22;
    match call.int(0) {
        SET_NAME => {
            let name = call.memory().read_string(call.arg(1), 16)?;
            let mut name = match name {
                Some(name) => name,
                None => call.memory().read_array::<15>(call.arg(1))?.to_vec(),
            };
            name.truncate(15);
            *lock(&call.thread.name) = name;
            Ok(0)
        }
        GET_NAME => {
            let mut name = lock(&call.thread.name).clone();
            name.resize(16, 0);
            call.memory().write(call.arg(1), &name)?;
            Ok(0)
        }
        SET_DEATH_SIGNAL => {
            let signal = i32::try_from(call.arg(1)).map_err(|_| Errno::INVAL)?;
            if !(0..=crate::signal::MAX).contains(&signal) {
                return Err(Errno::INVAL.into());
            }
            change_row(call, |row| row.death_signal = signal)
        }
        GET_DEATH_SIGNAL => {
            let signal = of_row(call, |row| row.death_signal)?;
            call.memory().write(call.arg(1), &signal.to_le_bytes())?;
            Ok(0)
        }
        SET_SUBREAPER => change_row(call, |row| row.subreaper = call.arg(1) != 0),
        GET_SUBREAPER => {
            let on = i32::from(of_row(call, |row| row.subreaper)?);
            call.memory().write(call.arg(1), &on.to_le_bytes())?;
            Ok(0)
        }
        GET_DUMPABLE => Ok(call.thread.process.dumpable.load(Ordering::SeqCst).into()),
        SET_DUMPABLE if call.arg(1) <= 1 => {
            call.thread.process.dumpable.store(call.arg(1) == 1, Ordering::SeqCst);
            Ok(0)
        }
        GET_SECCOMP => super::seccomp::prctl_get(call),
        SET_SECCOMP => super::seccomp::prctl_set(call),
        _ => super::prctl::serve(call).unwrap_or_else(|| super::capabilities::prctl(call)),
    }
}
