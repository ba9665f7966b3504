//! Names of UNIX sockets: files and abstract ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::net::unix::{Name, Names};
use crate::net::{Socket, Type, Unix};
use crate::task::waiter::lock;
use crate::vfs::mount::MountUse;
use crate::vfs::{Kind, Make, access, permit};

use super::{AF_UNIX, Call, Failure, Patience, family, sender};

/// Bytes of `struct sockaddr_un`.
const LENGTH: usize = 110;

/// What an address names.
enum Target {
    Unnamed,
    Abstract(Vec<u8>),
    Path(Vec<u8>),
}

fn parse(address: &[u8]) -> Result<Target, Errno> {
    if family(address)? != AF_UNIX || address.len() > LENGTH {
        return Err(Errno::INVAL);
    }
    let name = address.get(2..).unwrap_or_default();
    match name.first() {
        None => Ok(Target::Unnamed),
        Some(0) => Ok(Target::Abstract(name.to_vec())),
        Some(_) => {
            let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
            Ok(Target::Path(name.get(..end).unwrap_or_default().to_vec()))
        }
    }
}

/// Gives a socket a name that nobody has.
fn bind_to_any(names: &Names, own: &Arc<Unix>) -> Result<(), Errno> {
    for _ in 0..1000 {
        let mut number = [0; 3];
        if !crate::platform::random(&mut number) {
            return Err(Errno::IO);
        }
        let [a, b, c] = number;
        let text = format!("\0{a:02x}{b:02x}{:x}", c & 0xf);
        match own.bind(names, Name::Abstract(text.into_bytes())) {
            Err(Errno::ADDRINUSE) => {}
            other => return other,
        }
    }
    Err(Errno::NOSPC)
}

pub(super) fn bind(
    call: &Call<'_>,
    (socket, own): (&Socket, &Arc<Unix>),
    address: &[u8],
) -> Result<(), Errno> {
    let names = &socket.network.unix;
    let name = match parse(address)? {
        Target::Unnamed if own.is_bound() => return Ok(()),
        Target::Unnamed => return bind_to_any(names, own),
        Target::Abstract(name) => Name::Abstract(name),
        Target::Path(path) => {
            let walker = call.walker();
            let start = call.working_directory();
            let found = walker.walk(&start, &path, false)?;
            if found.entry.is_some() || found.name.is_empty() {
                return Err(Errno::ADDRINUSE);
            }
            if own.is_bound() {
                return Err(Errno::INVAL);
            }
            let umask = call.thread.fs().umask.load(Ordering::SeqCst);
            let file = Make::Node(Kind::Socket, 0o777 & !umask, 0);
            walker
                .make(&found, file)
                .map_err(|errno| if errno == Errno::EXIST { Errno::ADDRINUSE } else { errno })?;
            let entry = walker.walk(&start, &path, false)?.existing()?;
            let attributes = entry.attributes(call.kernel)?;
            let used = MountUse::of(&entry.mount);
            Name::File(path, (attributes.device, attributes.inode), (entry, used))
        }
    };
    own.bind(names, name)
}

/// The socket that an address names.
pub(super) fn find(
    call: &Call<'_>,
    names: &Names,
    (kind, address): (Type, &[u8]),
) -> Result<Arc<Unix>, Errno> {
    match parse(address)? {
        Target::Unnamed => Err(Errno::INVAL),
        Target::Abstract(name) => names.abstracted(kind, name).ok_or(Errno::CONNREFUSED),
        Target::Path(path) => {
            let walker = call.walker();
            let start = call.working_directory();
            let entry = walker.walk(&start, &path, true)?.existing()?;
            let attributes = entry.attributes(call.kernel)?;
            permit(&walker.credentials, &attributes, access::WRITE)?;
            if attributes.kind() != Kind::Socket {
                return Err(Errno::CONNREFUSED);
            }
            names.file((attributes.device, attributes.inode)).ok_or(Errno::CONNREFUSED)
        }
    }
}

pub(super) fn connect(
    call: &Call<'_>,
    socket: &Socket,
    own: &Arc<Unix>,
    address: &[u8],
    patience: &Patience,
) -> Result<(), Failure> {
    if family(address)? == 0 {
        own.disconnect();
        return Ok(());
    }
    let names = &socket.network.unix;
    let passes = lock(&socket.options).pass_credentials;
    if passes && !own.is_bound() {
        bind_to_any(names, own)?;
    }
    let target = find(call, names, (own.kind, address))?;
    let who = sender(call);
    patience.wait(call, || target.watch_for_room(call.waiter()), || own.connect(&target, who))
}
