//! Descriptors: duplicates, pipes, flags.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use crate::task::Credentials;
use crate::task::waiter::lock;
use crate::vfs::tmpfs::{self, New};
use crate::vfs::{FileTable, Kind, Node, NoticeFile, OpenFile, Ready, open, pipe, pipe_of, status};

use super::file_owner::{self, command, request};
use super::{Call, Outcome, leases, locks};

pub(super) fn dup(call: &Call<'_>) -> Outcome {
    let file = call.file(0)?;
    Ok(call.files().add(file, 0, false)?.into())
}

pub(super) fn dup2(call: &Call<'_>) -> Outcome {
    let (old, new) = (call.uint(0), call.uint(1));
    let file = call.file(0)?;
    if old != new {
        call.files().put(new, file, false)?;
    }
    Ok(new.into())
}

pub(super) fn dup3(call: &Call<'_>) -> Outcome {
    let (old, new, flags) = (call.uint(0), call.uint(1), call.uint(2));
    if old == new || flags & !status::CLOSE_ON_EXEC != 0 {
        return Err(Errno::INVAL.into());
    }
    let file = call.file(0)?;
    call.files().put(new, file, flags != 0)?;
    Ok(new.into())
}

pub(super) fn pipe2(call: &Call<'_>) -> Outcome {
    make_pipe(call, call.uint(1))
}

pub(super) fn pipe1(call: &Call<'_>) -> Outcome {
    make_pipe(call, 0)
}

fn make_pipe(call: &Call<'_>, flags: u32) -> Outcome {
    static INODE: AtomicU64 = AtomicU64::new(1000);
    if flags & !(status::CLOSE_ON_EXEC | status::NONBLOCK | status::DIRECT) != 0 {
        return Err(Errno::INVAL.into());
    }
    let owner = {
        let who = lock(&call.thread.credentials);
        (who.users[3], who.groups[3])
    };
    let (reader, writer) = pipe(INODE.fetch_add(1, Ordering::Relaxed), owner);
    let keep = flags & status::NONBLOCK;
    let reader = OpenFile::stream(reader, keep);
    let writer = OpenFile::stream(writer, keep | flags & status::DIRECT | status::WRITE_ONLY);
    let files = call.files();
    let close_on_exec = flags & status::CLOSE_ON_EXEC != 0;
    let first = files.add(reader, 0, close_on_exec)?;
    let second = files.add(writer, 0, close_on_exec).inspect_err(|_| drop(files.remove(first)))?;
    let mut bytes = [0; 8];
    let (low, high) = bytes.split_at_mut(4);
    low.copy_from_slice(&first.to_le_bytes());
    high.copy_from_slice(&second.to_le_bytes());
    if call.memory().write(call.arg(0), &bytes).is_err() {
        let both = [files.remove(first), files.remove(second)];
        drop(both);
        return Err(Errno::FAULT.into());
    }
    Ok(0)
}

pub(super) fn fcntl(call: &Call<'_>) -> Outcome {
    const DUPFD: u32 = 0;
    const GETFD: u32 = 1;
    const SETFD: u32 = 2;
    const GETFL: u32 = 3;
    const SETFL: u32 = 4;
    const GETLK: u32 = 5;
    const SETLK: u32 = 6;
    const SETLKW: u32 = 7;
    const OFD_GETLK: u32 = 36;
    const OFD_SETLK: u32 = 37;
    const OFD_SETLKW: u32 = 38;
    const SETLEASE: u32 = 1024;
    const GETLEASE: u32 = 1025;
    const NOTIFY: u32 = 1026;
    const DUPFD_CLOEXEC: u32 = 1030;
    const SETPIPE_SIZE: u32 = 1031;
    const GETPIPE_SIZE: u32 = 1032;
    const ADD_SEALS: u32 = 1033;
    const GET_SEALS: u32 = 1034;
    const GET_HINT: u32 = 1035;
    const SET_HINT: u32 = 1036;
    const SETTABLE: u32 = status::APPEND | status::NONBLOCK;
    let file = call.file(0)?;
    let files: Arc<FileTable> = call.files();
    let (number, argument) = (call.uint(0), call.arg(2));
    match call.uint(1) {
        command @ (DUPFD | DUPFD_CLOEXEC) => {
            let lowest =
                u32::try_from(argument).ok().filter(|l| *l < files.limit()).ok_or(Errno::INVAL)?;
            Ok(files.add(file, lowest, command == DUPFD_CLOEXEC)?.into())
        }
        GETFD => Ok(files.close_on_exec(number)?.into()),
        SETFD => files.set_close_on_exec(number, argument & 1 != 0).map(|()| 0).map_err(Into::into),
        GETFL => Ok(i64::from(file.flags.load(Ordering::SeqCst) | 0o10_0000)),
        SETFL => {
            // Others tell nobody, and don't say so.
            let _ = file_owner::ask(call, &file, call.uint(2) & status::ASYNC != 0);
            let direct = pipe_of(&*file.file).is_some() || file.file.direct().is_some();
            if call.uint(2) & status::DIRECT != 0 && !direct {
                return Err(Errno::INVAL.into());
            }
            let settable = if direct { SETTABLE | status::DIRECT } else { SETTABLE };
            let wanted = call.uint(2) & settable;
            let old = file.flags.load(Ordering::SeqCst);
            file.flags.store(old & !settable | wanted, Ordering::SeqCst);
            Ok(0)
        }
        _ if file.is_path() => Err(Errno::BADF.into()),
        command @ (GETLK | OFD_GETLK) => locks::get(call, &file, command == OFD_GETLK),
        command @ (SETLK | SETLKW | OFD_SETLK | OFD_SETLKW) => {
            let of_file = matches!(command, OFD_SETLK | OFD_SETLKW);
            locks::set(call, &file, of_file, matches!(command, SETLKW | OFD_SETLKW))
        }
        command::SETOWN
        | command::GETOWN
        | command::SETSIG
        | command::GETSIG
        | command::SETOWN_EX
        | command::GETOWN_EX => file_owner::control(call, &file),
        NOTIFY => file_owner::notify(call, &file),
        SETLEASE => leases::set(call, &file),
        GETLEASE => Ok(leases::get(&file)),
        command @ (SETPIPE_SIZE | GETPIPE_SIZE) => {
            let pipe = pipe_of(&*file.file).ok_or(Errno::BADF)?;
            let size = if command == SETPIPE_SIZE {
                pipe.resize(argument & u64::from(u32::MAX))?
            } else {
                pipe.capacity()
            };
            Ok(i64::try_from(size).unwrap_or(i64::MAX))
        }
        command @ (ADD_SEALS | GET_SEALS) => {
            let entry = file.entry.as_ref().ok_or(Errno::INVAL)?;
            if command == GET_SEALS {
                return Ok(tmpfs::seals(entry)?.into());
            }
            if !file.writable() {
                return Err(Errno::PERM.into());
            }
            let seals = u32::try_from(argument).map_err(|_| Errno::INVAL)?;
            tmpfs::add_seals(entry, seals)?;
            Ok(0)
        }
        GET_HINT => {
            let hint = file.write_hint()?.load(Ordering::SeqCst);
            call.memory().write(argument, &hint.to_le_bytes())?;
            Ok(0)
        }
        SET_HINT => {
            /// `RWH_WRITE_LIFE_EXTREME`
            const MOST: u64 = 5;
            let hint = call.memory().read_u64(argument)?;
            if hint > MOST {
                return Err(Errno::INVAL.into());
            }
            file.write_hint()?.store(hint, Ordering::SeqCst);
            Ok(0)
        }
        _ => Err(Errno::INVAL.into()),
    }
}

pub(super) fn ioctl(call: &Call<'_>) -> Outcome {
    const FIOCLEX: u32 = 0x5451;
    const FIONCLEX: u32 = 0x5450;
    const FIONBIO: u32 = 0x5421;
    const FIOASYNC: u32 = 0x5452;
    let file = call.open_file(0)?;
    match call.uint(1) {
        FIOCLEX => call.files().set_close_on_exec(call.uint(0), true)?,
        FIONCLEX => call.files().set_close_on_exec(call.uint(0), false)?,
        FIOASYNC => {
            let on = call.memory().read_u32(call.arg(2))? != 0;
            file_owner::ask(call, &file, on)?;
        }
        request::FIOSETOWN | request::SIOCSPGRP | request::FIOGETOWN | request::SIOCGPGRP
            if file.file.socket().is_some() =>
        {
            return file_owner::socket(call, &file);
        }
        FIONBIO => {
            let on = call.memory().read_u32(call.arg(2))? != 0;
            let old = file.flags.load(Ordering::SeqCst) & !status::NONBLOCK;
            let new = if on { old | status::NONBLOCK } else { old };
            file.flags.store(new, Ordering::SeqCst);
        }
        request => {
            let own = file.file.own().and_then(|own| own.downcast_ref::<NoticeFile>());
            if let Some(NoticeFile(notifier)) = own {
                return super::notices::control(call, notifier, request, call.arg(2));
            }
            file.file.admit(call, Ready::PRI, false)?;
            return Ok(file.file.control(call, request, call.arg(2))?);
        }
    }
    Ok(0)
}

/// A file in memory that has no name.
pub(super) fn memfd_create(call: &Call<'_>) -> Outcome {
    const CLOSE_ON_EXEC: u32 = 1;
    const ALLOW_SEALING: u32 = 2;
    const HUGE: u32 = 4;
    const NO_EXEC_SEAL: u32 = 8;
    const EXEC: u32 = 16;
    const HUGE_SIZE: u32 = 0x3f << 26;
    const LONGEST: usize = 249;
    const SEAL: u32 = 1;
    let flags = call.uint(1);
    let sizes = if flags & HUGE != 0 { HUGE_SIZE } else { 0 };
    if flags & !(CLOSE_ON_EXEC | ALLOW_SEALING | HUGE | NO_EXEC_SEAL | EXEC | sizes) != 0
        || flags & (NO_EXEC_SEAL | EXEC) == NO_EXEC_SEAL | EXEC
    {
        return Err(Errno::INVAL.into());
    }
    let name = call.memory().read_string(call.arg(0), LONGEST + 1)?.ok_or(Errno::INVAL)?;
    let huge = (flags & HUGE != 0).then(|| tmpfs::page_size(flags >> 26).ok_or(Errno::NODEV));
    let number = huge.transpose()?.unwrap_or(0);
    let Credentials { users: [.., user], groups: [.., group], .. } =
        lock(&call.thread.credentials).clone();
    let permissions = if flags & NO_EXEC_SEAL != 0 { 0o666 } else { 0o777 };
    let kind = Kind::Regular;
    let new = New { kind, permissions, owner: (user, group), number, text: b"" };
    let entry = tmpfs::memory_file(new, &name)?;
    let seals = match flags & (ALLOW_SEALING | NO_EXEC_SEAL) {
        0 => SEAL,
        ALLOW_SEALING => 0,
        _ => tmpfs::SEAL_EXECUTION,
    };
    tmpfs::add_seals(&entry, seals)?;
    let Node::Tmp(node) = &entry.node else { return Err(Errno::IO.into()) };
    let file = open::memory(&entry, node)?;
    Ok(call.files().add(file, 0, flags & CLOSE_ON_EXEC != 0)?.into())
}
