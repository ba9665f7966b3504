//! The thread of the broker that waits for disks: meanwhile the other one serves.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::platform::broker_calls::BROKER;
use crate::platform::host_calls::confine;
use crate::task::waiter::lock;
use crate::wall::step;

use super::told::mount_of;
use super::{NOT_MINE, Operation, Request, StartBrokerError, line, receive, send};

/// Numbers of the mounts that a broker serves.
pub(super) type Mounts = Arc<Mutex<BTreeSet<u64>>>;

/// Starts it, behind the broker's filter if `confined`; returns the end of its line that the
/// sentry is to have.
pub(super) fn start(mounts: &Mounts, confined: bool) -> Result<OwnedFd, StartBrokerError> {
    const SMALL: usize = 128 << 10;
    let failed = |step| move |errno| StartBrokerError::Step { step, errno };
    let (theirs, socket) = line()?;
    let (tell, hear) = mpsc::sync_channel(1);
    let mounts = Arc::clone(mounts);
    let work = move || {
        let wall = if confined { confine(&BROKER) } else { Ok(()) };
        let stands = wall.is_ok();
        if tell.send(wall).is_ok() && stands {
            serve(&socket, &mounts);
        }
        // What the C library does at a thread's end is not in the filter: it goes with the process.
        if confined && stands {
            loop {
                std::thread::park();
            }
        }
    };
    std::thread::Builder::new()
        .stack_size(SMALL)
        .spawn(work)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
        .map_err(failed("start a thread"))?;
    // Nothing is served before both are confined.
    let wall = hear.recv().unwrap_or(Err(Errno::IO));
    wall.map_err(step("filter the calls of the thread that waits for disks"))?;
    Ok(theirs)
}

/// Until the sentry is gone.
fn serve(socket: &OwnedFd, mounts: &Mounts) {
    const REQUEST: usize = 64;
    let mut buffer = [0; REQUEST];
    while let Ok((length, with)) = receive(socket, &mut buffer) {
        if length == 0 {
            return;
        }
        let request = buffer.get(..length).and_then(Request::decode);
        let errno = match (request, with.first()) {
            (Some((_, Request { operation, .. })), Some(file))
                if operation == Operation::SyncAll as u8 =>
            {
                sync(file, mounts)
            }
            _ => Err(Errno::INVAL),
        };
        let answer = match errno {
            Ok(true) => 0,
            Ok(false) => NOT_MINE,
            Err(errno) => errno.raw_os_error(),
        };
        if send(socket, &answer.to_le_bytes(), &[]).is_err() {
            return;
        }
    }
}

/// False if the file is another broker's.
fn sync(file: &OwnedFd, mounts: &Mounts) -> Result<bool, Errno> {
    let mount = mount_of(file)?;
    if !lock(mounts).contains(&mount) {
        return Ok(false);
    }
    rustix::fs::syncfs(file)?;
    Ok(true)
}
