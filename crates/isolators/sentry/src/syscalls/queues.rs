//! POSIX message queues: mq_open(2), mq_unlink(2), mq_timedsend(2), mq_timedreceive(2),
//! mq_notify(2), mq_getsetattr(2).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::ipc::queues::{How, PRIORITIES, Queue, Registration};
use crate::net::Body;
use crate::signal::{self, Info, MAX, Target};
use crate::task::limits::resource;
use crate::task::waiter::{Woken, lock};
use crate::task::{Caps, Restart};
use crate::vfs::queue_file::{self, QueueFile};
use crate::vfs::tmpfs::New;
use crate::vfs::{Kind, OpenFile, access, permit, status};

use super::identity::who;
use super::{Call, Failure, Outcome, time};

/// `SI_MESGQ`
const FROM_QUEUE: i32 = -3;

/// The name of a queue, which is one of a file without folders.
fn name(call: &Call<'_>) -> Result<Vec<u8>, Errno> {
    let name = call.path(0)?;
    match name.as_slice() {
        b"" => Err(Errno::NOENT),
        b"." | b".." => Err(Errno::ACCESS),
        name if name.contains(&b'/') => Err(Errno::ACCESS),
        name if name.len() > 255 => Err(Errno::NAMETOOLONG),
        _ => Ok(name),
    }
}

/// `struct mq_attr`: flags, most messages, most bytes of one, how many there are.
fn attributes(call: &Call<'_>, address: u64) -> Result<[i64; 4], Errno> {
    let bytes: [u8; 32] = call.memory().read_array(address)?;
    let word = |at: usize| {
        let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
        word.map_or(0, i64::from_le_bytes)
    };
    Ok([word(0), word(8), word(16), word(24)])
}

pub(super) fn mq_open(call: &Call<'_>) -> Outcome {
    let ipc = call.ipc();
    let flags = call.uint(1);
    let name = name(call)?;
    let has = |flag: u32| flags & flag != 0;
    let access = flags & status::ACCESS;
    let limits = match call.arg(3) {
        address if address != 0 && has(status::CREATE) => {
            let [_, most, largest, _] = attributes(call, address)?;
            let number = |number: i64| usize::try_from(number).unwrap_or(0);
            (number(most), number(largest))
        }
        _ => call.ipc().queues.accounts.limits(),
    };
    let who = who(call);
    let all = &ipc.queues;
    let node = match all.root.child(&name) {
        Ok(_) if has(status::CREATE) && has(status::EXCLUSIVE) => return Err(Errno::EXIST.into()),
        Ok(node) => {
            let wanted = match access {
                0 => access::READ,
                1 => access::WRITE,
                2 => access::READ | access::WRITE,
                _ => return Err(Errno::INVAL.into()),
            };
            permit(&who, &node.attributes()?, wanted)?;
            node
        }
        Err(Errno::NOENT) if has(status::CREATE) => {
            permit(&who, &all.root.attributes()?, access::WRITE | access::EXECUTE)?;
            let limit = lock(&call.thread.process.limits).soft(resource::MSGQUEUE);
            let umask = call.thread.fs().umask.load(Ordering::SeqCst);
            let owner = (who.users[3], who.groups[3]);
            let permissions = call.uint(2) & 0o7777 & !umask;
            let new = New { kind: Kind::Regular, permissions, owner, number: 0, text: b"" };
            let queue = all.accounts.queue(limits, who.users[0], limit)?;
            all.root.make_queue(&name, new, queue)?
        }
        Err(errno) => return Err(errno.into()),
    };
    let queue = node.queue().ok_or(Errno::ACCESS)?;
    let file = OpenFile::nameless(Box::new(QueueFile::new(&node, queue, &name)));
    file.flags.store(access | flags & status::NONBLOCK, Ordering::SeqCst);
    Ok(call.files().add(file, 0, true)?.into())
}

pub(super) fn mq_unlink(call: &Call<'_>) -> Outcome {
    let ipc = call.ipc();
    let name = name(call)?;
    let root = &ipc.queues.root;
    let (who, above) = (who(call), root.attributes()?);
    let file = root.child(&name)?.attributes()?;
    let owner = file.user;
    permit(&who, &above, access::WRITE | access::EXECUTE)?;
    let [_, _, _, user] = who.users;
    if above.mode & 0o1000 != 0
        && ![owner, above.user].contains(&user)
        && !who.can_about((file.user, file.group), Caps::FOWNER)
    {
        return Err(Errno::PERM.into());
    }
    root.remove(&name, false)?;
    Ok(0)
}

fn queue(file: &OpenFile) -> Result<Arc<Queue>, Errno> {
    QueueFile::of(file).map(|file| Arc::clone(&file.queue)).ok_or(Errno::BADF)
}

/// Tries until there is what is wanted, the time at `address` is there, or a signal.
fn until<T>(
    call: &Call<'_>,
    (file, queue): (&OpenFile, &Queue),
    deadline: Option<std::time::Instant>,
    attempt: impl Fn() -> Result<T, Errno>,
) -> Result<T, Failure> {
    loop {
        queue.changed.join(call.waiter());
        match attempt() {
            Err(Errno::AGAIN) if !file.flag(status::NONBLOCK) => {}
            done => return Ok(done?),
        }
        match call.waiter().wait(deadline) {
            Woken::Called => {}
            Woken::TimedOut => return Err(Errno::TIMEDOUT.into()),
            Woken::Interrupted => return Err(Failure::Interrupted(Restart::IfAsked)),
        }
    }
}

/// Until when a call waits.
fn deadline(call: &Call<'_>) -> Result<Option<std::time::Instant>, Errno> {
    match call.arg(4) {
        0 => Ok(None),
        address => time::absolute(call, address, true).map(Some),
    }
}

pub(super) fn mq_timedsend(call: &Call<'_>) -> Outcome {
    let deadline = deadline(call)?;
    let priority = u32::try_from(call.arg(3)).ok().filter(|priority| *priority < PRIORITIES);
    let priority = priority.ok_or(Errno::INVAL)?;
    let file = call.file(0)?;
    let queue = queue(&file)?;
    if !file.writable() {
        return Err(Errno::BADF.into());
    }
    let length = usize::try_from(call.arg(2)).ok().filter(|length| *length <= queue.largest);
    let mut message = vec![0; length.ok_or(Errno::MSGSIZE)?];
    call.memory().read(call.arg(1), &mut message)?;
    let told = until(call, (&file, &queue), deadline, || queue.send(priority, &message))?;
    if let Some(told) = told {
        notify(call, &told);
    }
    Ok(0)
}

/// Tells whoever asked for it that the queue is not empty any more.
fn notify(call: &Call<'_>, told: &Registration) {
    const WOKEN: u8 = 1;
    match &told.how {
        How::Nothing => {}
        How::Signal(number, value) => {
            let Some(process) = told.process.upgrade() else { return };
            let [user, ..] = lock(&call.thread.credentials).users;
            let pid = process.number_of(call.thread.process.pid);
            let mut info = Info::from_user(*number, FROM_QUEUE, pid, user);
            info.set_value(*value);
            signal::send(call.kernel, &Target::Process(process), info);
        }
        How::Socket(socket, cookie) => {
            if let Body::Netlink(netlink) = &socket.body {
                queue_file::tell(netlink, *cookie, WOKEN);
            }
        }
    }
}

pub(super) fn mq_timedreceive(call: &Call<'_>) -> Outcome {
    let deadline = deadline(call)?;
    let file = call.file(0)?;
    let queue = queue(&file)?;
    if !file.readable() {
        return Err(Errno::BADF.into());
    }
    if call.arg(2) < queue.largest as u64 {
        return Err(Errno::MSGSIZE.into());
    }
    queue.waits(true);
    let received = until(call, (&file, &queue), deadline, || queue.receive());
    queue.waits(false);
    let (priority, message) = received?;
    if call.arg(3) != 0 {
        call.memory().write(call.arg(3), &priority.to_le_bytes())?;
    }
    call.memory().write(call.arg(1), &message)?;
    Ok(i64::try_from(message.len()).unwrap_or(0))
}

/// How `struct sigevent` says to tell.
fn how(call: &Call<'_>, address: u64) -> Result<How, Errno> {
    const SIGNAL: u32 = 0;
    const NONE: u32 = 1;
    const THREAD: u32 = 2;
    let memory = call.memory();
    let value = memory.read_u64(address)?;
    let number = memory.read_u32(address.wrapping_add(8))?;
    match memory.read_u32(address.wrapping_add(12))? {
        NONE => Ok(How::Nothing),
        SIGNAL => match number.cast_signed() {
            number @ 0..=MAX => Ok(How::Signal(number, value)),
            _ => Err(Errno::INVAL),
        },
        THREAD => {
            let cookie = memory.read_array(value)?;
            let file = call.files().get(number)?;
            let socket = file.file.socket().ok_or(Errno::NOTSOCK)?;
            match socket.body {
                Body::Netlink(_) => Ok(How::Socket(Arc::clone(socket), cookie)),
                _ => Err(Errno::INVAL),
            }
        }
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn mq_notify(call: &Call<'_>) -> Outcome {
    let address = call.arg(1);
    let how = if address == 0 { None } else { Some(how(call, address)?) };
    let file = call.file(0)?;
    let queue = queue(&file)?;
    let process = &call.thread.process;
    let table = Arc::as_ptr(&call.files()).addr();
    match how {
        None => queue_file::forget(&queue, table),
        Some(how) => {
            let (pid, process) = (process.pid, Arc::downgrade(process));
            queue.register(Registration { table, process, pid, how })?;
        }
    }
    Ok(0)
}

pub(super) fn mq_getsetattr(call: &Call<'_>) -> Outcome {
    let new = match call.arg(1) {
        0 => None,
        address => {
            let [flags, ..] = attributes(call, address)?;
            if flags & !i64::from(status::NONBLOCK) != 0 {
                return Err(Errno::INVAL.into());
            }
            Some(flags != 0)
        }
    };
    let file = call.file(0)?;
    let queue = queue(&file)?;
    let old = file.flags.load(Ordering::SeqCst) & status::NONBLOCK;
    let count = queue.count();
    match new {
        Some(true) => _ = file.flags.fetch_or(status::NONBLOCK, Ordering::SeqCst),
        Some(false) => _ = file.flags.fetch_and(!status::NONBLOCK, Ordering::SeqCst),
        None => {}
    }
    if call.arg(2) != 0 {
        let words = [u64::from(old), queue.most as u64, queue.largest as u64, count as u64];
        let words = words.into_iter().chain([0; 4]);
        let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        call.memory().write(call.arg(2), &bytes)?;
    }
    Ok(0)
}
