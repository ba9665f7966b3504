//! Leases: the part of fcntl(2).

use std::sync::Arc;

use rustix::io::Errno;

use crate::signal::owner::{Owner, Whose};
use crate::task::Caps;
use crate::task::waiter::lock;
use crate::vfs::leases::{Kind, Wanted};
use crate::vfs::locks::Taker;
use crate::vfs::{self, OpenFile};

use super::{Call, Outcome, signals};

const READ: i32 = 0;
const WRITE: i32 = 1;
const NONE: i32 = 2;
/// A process, as `F_SETOWN_EX` has it.
const PROCESS: i32 = 1;

/// `F_SETLEASE`
pub(super) fn set(call: &Call<'_>, file: &Arc<OpenFile>) -> Outcome {
    let kind = match call.int(2) {
        READ => Some(Kind::Read),
        WRITE => Some(Kind::Write),
        NONE => None,
        _ => return Err(Errno::INVAL.into()),
    };
    let attributes = file.file.attributes()?;
    let may = {
        let who = lock(&call.thread.credentials);
        let [_, _, _, user] = who.users;
        user == attributes.user || who.can(Caps::LEASE)
    };
    if !may {
        return Err(Errno::ACCESS.into());
    }
    let file_use = file.file_use.as_ref().filter(|_| attributes.kind() == vfs::Kind::Regular);
    let file_use = file_use.ok_or(Errno::INVAL)?;
    let Some(kind) = kind else {
        return if file_use.end_lease() { Ok(0) } else { Err(Errno::AGAIN.into()) };
    };
    let (owner, own) = (Owner::of(file), call.thread.process.pid);
    let id = (attributes.device, attributes.inode);
    let wanted =
        Wanted { kind, told: (owner, call.uint(0)), seen: (id, Taker::of(call.kernel, own)) };
    let whose = Whose::find(call.kernel, PROCESS, own).ok();
    let by = signals::sender(call).0;
    file_use.lease(&wanted, || owner.set_first(call.kernel, whose, by))?;
    Ok(0)
}

/// `F_GETLEASE`
pub(super) fn get(file: &OpenFile) -> i64 {
    let kind = file.file_use.as_ref().and_then(|file_use| file_use.leased());
    i64::from(match kind {
        Some(Kind::Read) => READ,
        Some(Kind::Write) => WRITE,
        None => NONE,
    })
}
