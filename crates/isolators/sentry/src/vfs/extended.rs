//! Extended attributes: who may see and set which.

use rustix::io::Errno;

use crate::kernel::Kernel;

use super::inotify::{self, event};
use super::{Entry, Kind, Node, Walker, access, permit};
use crate::task::{Caps, FileCaps};

/// What a file gives to who executes it.
pub(super) const FILE_CAPS: &[u8] = b"security.capability";

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

/// An extended attribute, whoever asks.
///
/// # Errors
/// As getxattr(2).
pub(super) fn value(kernel: &Kernel, node: &Node, name: &[u8]) -> Result<Vec<u8>, Errno> {
    match node {
        Node::Tmp(node) => node.extended(name),
        Node::Host(node) if family(name)? == Family::User || name == FILE_CAPS => {
            let broker = &kernel.files.broker;
            broker.extended(node.handle(broker)?, name)
        }
        // What the host knows for itself is not the guest's.
        Node::Host(_) => Err(Errno::NODATA),
        Node::Overlay(node) => value(kernel, &node.extended_in(name).ok_or(Errno::NODATA)?, name),
        _ => Err(Errno::OPNOTSUPP),
    }
}

/// Names of all extended attributes that [`value`] tells of a file.
///
/// # Errors
/// As listxattr(2).
pub(super) fn names(kernel: &Kernel, node: &Node) -> Result<Vec<Vec<u8>>, Errno> {
    match node {
        Node::Tmp(node) => Ok(node.extended_names()),
        Node::Host(node) if matches!(node.kind(), Kind::Regular | Kind::Directory) => {
            let broker = &kernel.files.broker;
            let all = broker.extended_names(node.handle(broker)?)?;
            let all = all.split(|b| *b == 0).filter(|name| {
                *name == FILE_CAPS || family(name).is_ok_and(|family| family == Family::User)
            });
            Ok(all.map(<[u8]>::to_vec).collect())
        }
        Node::Overlay(overlay) => {
            let Some(layer) = overlay.extended_in(b"") else { return Ok(Vec::new()) };
            let mut all = names(kernel, &layer)?;
            all.retain(|name| overlay.extended_in(name).is_some());
            Ok(all)
        }
        _ => Ok(Vec::new()),
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
        self.check_extended(entry, name, false)?;
        value(self.kernel, &entry.node, name)
    }

    /// What a file gives to who executes it, whoever asks.
    #[must_use]
    pub fn file_caps(&self, entry: &Entry) -> Option<FileCaps> {
        self.caps_of(&entry.node)
    }

    fn caps_of(&self, node: &Node) -> Option<FileCaps> {
        let value = match node {
            Node::Tmp(node) => node.extended(FILE_CAPS).ok()?,
            Node::Host(node) => {
                let broker = &self.kernel.files.broker;
                let ask = || broker.extended(node.handle(broker).ok()?, FILE_CAPS).ok();
                node.caps(ask)?
            }
            Node::Overlay(node) => return self.caps_of(&node.extended_in(FILE_CAPS)?),
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
            Node::Overlay(node) if node.extended_in(name).is_some() => {
                node.copy_up(self.kernel, true)?.set_extended(name, value, must_be)
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
        let names = names(self.kernel, &entry.node)?;
        let seen = names.into_iter().filter(|name| match family(name) {
            Ok(Family::User | Family::Security) => true,
            Ok(Family::Trusted) => root,
            Err(_) => false,
        });
        Ok(seen.flat_map(|name| [name, vec![0]].concat()).collect())
    }
}
