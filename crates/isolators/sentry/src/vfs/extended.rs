//! Extended attributes: who may see and set which.

use rustix::io::Errno;

use super::inotify::{self, event};
use super::{Entry, Kind, Node, Walker, access, permit};
use crate::task::{Caps, FileCaps};

/// What a file gives to who executes it.
const FILE_CAPS: &[u8] = b"security.capability";

/// Families of names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    User,
    Trusted,
    Security,
}

fn family(name: &[u8]) -> Result<Family, Errno> {
    let is = |prefix: &[u8]| name.starts_with(prefix) && name.len() > prefix.len();
    if is(b"user.") {
        Ok(Family::User)
    } else if is(b"trusted.") {
        Ok(Family::Trusted)
    } else if is(b"security.") {
        Ok(Family::Security)
    } else {
        // Access lists (`system.`) too.
        Err(Errno::OPNOTSUPP)
    }
}

impl Walker<'_> {
    fn check_extended(&self, entry: &Entry, name: &[u8], write: bool) -> Result<Family, Errno> {
        let family = family(name)?;
        let root = self.credentials.can(Caps::SYS_ADMIN);
        let denied = if write { Errno::PERM } else { Errno::NODATA };
        if write {
            Walker::writable(entry)?;
        }
        match family {
            Family::User => {
                if !matches!(entry.kind(), Kind::Regular | Kind::Directory) {
                    return Err(denied);
                }
                let wanted = if write { access::WRITE } else { access::READ };
                permit(&self.credentials, &entry.attributes(self.kernel)?, wanted)?;
            }
            Family::Trusted if !root => return Err(denied),
            // Only file capabilities mean something here.
            Family::Security if write && name == FILE_CAPS => {
                self.credentials.require(Caps::SETFCAP)?;
            }
            Family::Security if write && !root => return Err(Errno::PERM),
            _ => {}
        }
        Ok(family)
    }

    /// getxattr(2)
    ///
    /// # Errors
    /// As getxattr(2).
    pub fn extended(&self, entry: &Entry, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let family = self.check_extended(entry, name, false)?;
        match &entry.node {
            Node::Tmp(node) => node.extended(name),
            Node::Host(node) if family == Family::User || name == FILE_CAPS => {
                let broker = &self.kernel.files.broker;
                broker.extended(node.handle(broker)?, name)
            }
            // What the host knows for itself is not the guest's.
            Node::Host(_) => Err(Errno::NODATA),
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    /// What a file gives to who executes it, whoever asks.
    #[must_use]
    pub fn file_caps(&self, entry: &Entry) -> Option<FileCaps> {
        let value = match &entry.node {
            Node::Tmp(node) => node.extended(FILE_CAPS).ok()?,
            Node::Host(node) => {
                let broker = &self.kernel.files.broker;
                let ask = || broker.extended(node.handle(broker).ok()?, FILE_CAPS).ok();
                node.caps(ask)?
            }
            _ => return None,
        };
        FileCaps::parse(&value)
    }

    /// setxattr(2), removexattr(2); `must_be`: whether it must be there, or must not.
    ///
    /// # Errors
    /// As setxattr(2).
    pub fn set_extended(
        &self,
        entry: &Entry,
        name: &[u8],
        value: Option<&[u8]>,
        must_be: Option<bool>,
    ) -> Result<(), Errno> {
        let family = self.check_extended(entry, name, true)?;
        let done = match &entry.node {
            Node::Tmp(node) => node.set_extended(name, value, must_be),
            Node::Host(node) if family == Family::User => {
                let broker = &self.kernel.files.broker;
                let done = broker.set_extended(node.handle(broker)?, name, value, must_be);
                node.alter();
                done
            }
            _ => Err(Errno::OPNOTSUPP),
        };
        done?;
        inotify::happened(entry, event::ATTRIBUTES);
        Ok(())
    }

    /// listxattr(2): names, each with its zero.
    ///
    /// # Errors
    /// As listxattr(2).
    pub fn extended_names(&self, entry: &Entry) -> Result<Vec<u8>, Errno> {
        let root = self.credentials.can(Caps::SYS_ADMIN);
        let names = match &entry.node {
            Node::Tmp(node) => node.extended_names(),
            Node::Host(node) if matches!(entry.kind(), Kind::Regular | Kind::Directory) => {
                let broker = &self.kernel.files.broker;
                let all = broker.extended_names(node.handle(broker)?)?;
                all.split(|b| *b == 0).map(<[u8]>::to_vec).collect()
            }
            _ => Vec::new(),
        };
        let host = matches!(entry.node, Node::Host(_));
        let seen = names.into_iter().filter(|name| match family(name) {
            Ok(Family::User) => true,
            Ok(Family::Trusted) => root && !host,
            Ok(Family::Security) => !host || *name == FILE_CAPS,
            Err(_) => false,
        });
        Ok(seen.flat_map(|name| [name, vec![0]].concat()).collect())
    }
}
