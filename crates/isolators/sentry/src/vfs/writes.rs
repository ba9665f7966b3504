//! Where what is written to the host's folders goes: to them, or into an overlay that is the
//! sandbox's, in memory or on a disk.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use super::broker::store_tree;
use super::mount::{Description, size_of};
use super::overlay::{self, Upper};
use super::setup::MountError;
use super::tmpfs::Store;
use super::{BrokerClient, Kind, Node};

/// Where what is written to the host's folders goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Which folders are covered by one.
    pub covered: Covered,
    /// Where the content of what is written lies.
    pub medium: Medium,
    /// How many bytes there may be, in each.
    pub size: Option<u64>,
}

/// Of which folders what is written stays in the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Covered {
    /// Of none.
    #[default]
    None,
    /// Of the root.
    Root,
    /// Of all of them.
    All,
}

/// Where the content of what is written lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// In the sandbox's memory.
    #[default]
    Memory,
    /// On the disk of the folder itself, in files that have no name in it.
    Own,
    /// The same of this folder of the host's.
    Folder(PathBuf),
}

impl Overlay {
    /// All that is written stays in memory.
    pub const ALL_IN_MEMORY: Self =
        Overlay { covered: Covered::All, medium: Medium::Memory, size: None };

    /// As [`Self::parse`] reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let covered = match self.covered {
            Covered::None => return "none".to_owned(),
            Covered::Root => "root",
            Covered::All => "all",
        };
        let medium = match &self.medium {
            Medium::Memory => "memory".to_owned(),
            Medium::Own => "self".to_owned(),
            Medium::Folder(path) => format!("dir={}", path.display()),
        };
        let size = self.size.map(|size| format!(",size={size}")).unwrap_or_default();
        format!("{covered}:{medium}{size}")
    }

    /// As the command line has it.
    ///
    /// # Errors
    /// [`MountError::Overlay`]
    pub fn parse(text: &str) -> Result<Self, MountError> {
        Self::read(text).ok_or_else(|| MountError::Overlay(text.to_owned()))
    }

    fn read(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Overlay::default());
        }
        let (covered, rest) = text.split_once(':')?;
        let covered = match covered {
            "root" => Covered::Root,
            "all" => Covered::All,
            _ => return None,
        };
        let (medium, size) = match rest.rsplit_once(",size=") {
            Some((medium, size)) => {
                (medium, Some(size_of("size", size).ok().filter(|size| *size > 0)?))
            }
            None => (rest, None),
        };
        let medium = match (medium, medium.strip_prefix("dir=").map(PathBuf::from)) {
            ("memory", _) => Medium::Memory,
            ("self", _) => Medium::Own,
            (_, Some(path)) if path.is_absolute() && !medium.contains(',') => Medium::Folder(path),
            _ => return None,
        };
        Some(Overlay { covered, medium, size })
    }

    /// Opens the folder that it names, if it does, for a broker.
    ///
    /// # Errors
    /// [`MountError::Store`]
    pub fn open_folder(&self) -> Result<Option<OwnedFd>, MountError> {
        let Medium::Folder(path) = &self.medium else { return Ok(None) };
        let fail = |errno| MountError::Store { whose: path.display().to_string(), errno };
        store_tree(path).map(Some).map_err(fail)
    }

    /// Covers a folder or file of the host's. `memory`: bytes of it that the container may have;
    /// `root`: what files of the host's that are mounted alone share their disk with.
    ///
    /// # Errors
    /// [`MountError::Store`] if there is no room for what is written where it is to be.
    pub(super) fn cover(
        &self,
        (node, of): (Node, Description),
        memory: u64,
        broker: &BrokerClient,
        root: Option<&Node>,
    ) -> Result<(Node, Description), MountError> {
        let whose = match &self.medium {
            Medium::Folder(path) => path.display().to_string(),
            _ => String::from_utf8_lossy(&of.inside).into_owned(),
        };
        let fail = |errno| MountError::Store { whose: whose.clone(), errno };
        let store = self.store(&node, broker, root).map_err(fail)?;
        let found = node.now_there().and_then(|found| found.ok_or(Errno::INVAL)).map_err(fail)?;
        let space = self.size.map(|size| size.checked_next_multiple_of(4096).unwrap_or(u64::MAX));
        overlay::covering(node, &found, Upper { space, memory, store }, of).map_err(fail)
    }

    fn store(
        &self,
        node: &Node,
        broker: &BrokerClient,
        root: Option<&Node>,
    ) -> Result<Option<Arc<Store>>, Errno> {
        let maker = match (&self.medium, node) {
            (Medium::Memory, _) => return Ok(None),
            (Medium::Folder(_), _) => broker.store_maker(None),
            (Medium::Own, Node::Host(node)) if node.kind() == Kind::Directory => {
                let directory = rustix::io::fcntl_dupfd_cloexec(node.handle(broker)?, 0)?;
                broker.store_maker(Some(directory))
            }
            // Nothing can be made in it.
            (Medium::Own, _) => {
                let Some(Node::Overlay(root)) = root else { return Ok(None) };
                return Ok(root.file_system().store().cloned());
            }
        };
        Store::new(maker).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_told_as_it_was() {
        for (text, again) in [
            ("none", "none"),
            ("root:memory", "root:memory"),
            ("all:self", "all:self"),
            ("root:self,size=2g", "root:self,size=2147483648"),
            ("all:dir=/a:b/c,size=64k", "all:dir=/a:b/c,size=65536"),
        ] {
            let read = Overlay::parse(text).unwrap();
            assert_eq!(read.text(), again);
            assert_eq!(Overlay::parse(again).unwrap(), read);
        }
        for bad in [
            "",
            "root",
            "self",
            "some:self",
            "root:disk",
            "root:dir=",
            "root:dir=x",
            "root:self,size=",
            "root:self,size=0",
            "root:self,size=1,size=2",
            "root:memory,x=1",
            "none,size=1",
        ] {
            assert!(Overlay::parse(bad).is_err(), "{bad}");
        }
    }
}
