//! Names of UNIX sockets, and who has them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::net::socket::Type;
use crate::task::waiter::lock;
use crate::vfs::Entry;
use crate::vfs::mount::MountUse;

use super::{FAMILY, Unix};

/// Type and name of an abstract one.
type Key = (u8, Vec<u8>);

/// Sockets by device and inode of their files, each with the number of its network.
type Files = HashMap<(u64, u64), (Weak<Unix>, u64)>;

/// Names of sockets of a network.
#[derive(Debug, Default)]
pub struct Names {
    /// Abstract ones, each type by itself.
    abstracted: Mutex<HashMap<Key, Weak<Unix>>>,
    /// Those of all networks: who reaches the file reaches the socket.
    files: Arc<Mutex<Files>>,
    /// That of the network.
    number: u64,
}

/// The socket, unless it is closed.
fn open(socket: &Weak<Unix>) -> Option<Arc<Unix>> {
    socket.upgrade().filter(|socket| !socket.is_closed())
}

impl Names {
    /// Those of another network.
    #[must_use]
    pub fn beside(&self, number: u64) -> Names {
        Names { abstracted: Mutex::default(), files: Arc::clone(&self.files), number }
    }

    /// Enters a socket's name.
    ///
    /// # Errors
    /// `EADDRINUSE` if another socket has it.
    pub(super) fn enter(&self, name: &Name, socket: &Arc<Unix>) -> Result<(), Errno> {
        match name {
            Name::Abstract(text) => {
                let mut taken = lock(&self.abstracted);
                let key = (socket.kind as u8, text.clone());
                if taken.get(&key).and_then(open).is_some() {
                    return Err(Errno::ADDRINUSE);
                }
                taken.retain(|_, socket| socket.strong_count() > 0);
                taken.insert(key, Arc::downgrade(socket));
            }
            Name::File(_, id, _) => {
                let mut taken = lock(&self.files);
                taken.retain(|_, (socket, _)| socket.strong_count() > 0);
                taken.insert(*id, (Arc::downgrade(socket), self.number));
            }
        }
        Ok(())
    }

    /// The socket of a type with an abstract name.
    #[must_use]
    pub fn abstracted(&self, kind: Type, name: Vec<u8>) -> Option<Arc<Unix>> {
        lock(&self.abstracted).get(&(kind as u8, name)).and_then(open)
    }

    /// All that are its network's: type, whether it listens, name.
    #[must_use]
    pub fn all(&self) -> Vec<(u8, bool, Vec<u8>)> {
        let abstracted: Vec<_> = lock(&self.abstracted).values().filter_map(open).collect();
        let files: Vec<_> = {
            let files = lock(&self.files);
            let own = files.values().filter(|(_, number)| *number == self.number);
            own.filter_map(|(socket, _)| open(socket)).collect()
        };
        let all = abstracted.iter().chain(&files).filter_map(|socket| {
            let name = socket.name()?;
            let name = name.strip_suffix(&[0]).unwrap_or(&name).get(2..)?.to_vec();
            Some((socket.kind as u8, socket.listens(), name))
        });
        all.collect()
    }

    /// The socket that is bound to the file of that device and inode.
    #[must_use]
    pub fn file(&self, id: (u64, u64)) -> Option<Arc<Unix>> {
        lock(&self.files).get(&id).and_then(|(socket, _)| open(socket))
    }
}

/// Where a socket is bound.
#[derive(Clone, Debug)]
pub enum Name {
    /// `sun_path` begins with a zero byte.
    Abstract(Vec<u8>),
    /// A file: the path as it was given, its device and inode, and the entry, which
    /// keeps the inode from being another's.
    File(Vec<u8>, (u64, u64), (Arc<Entry>, Arc<MountUse>)),
}

impl Name {
    /// `struct sockaddr_un`.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let family = FAMILY.to_le_bytes();
        match self {
            Name::Abstract(name) => [&family[..], name].concat(),
            Name::File(path, ..) => [&family[..], path, &[0]].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::net::inbox::Sender;

    #[test]
    fn two_that_connect_to_each_other_while_they_become_listeners_go_on() {
        let (names, owner) = (Names::default(), Sender::default());
        for round in 0..300_u32 {
            let both: [Arc<Unix>; 2] = [0, 1].map(|number| {
                let socket = Unix::new(Type::Stream, 4096);
                let name = [round.to_le_bytes(), [number; 4]].concat();
                socket.bind(&names, Name::Abstract(name)).unwrap();
                socket
            });
            let begin = Barrier::new(4);
            let [one, two] = &both;
            std::thread::scope(|scope| {
                for (from, to) in [(one, two), (two, one)] {
                    let begin = &begin;
                    scope.spawn(move || {
                        begin.wait();
                        let _ = from.connect(to, owner);
                        let _ = from.connect(to, owner);
                    });
                    scope.spawn(move || {
                        begin.wait();
                        let _ = from.listen(1, owner);
                    });
                }
            });
            // Nobody is both.
            assert!(!one.listens() || one.peer_name().is_err());
        }
        let alone = Unix::new(Type::Stream, 4096);
        assert_eq!(alone.connect(&alone, owner), Err(Errno::CONNREFUSED));
    }
}
