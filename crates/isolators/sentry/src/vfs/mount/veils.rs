//! What covers things in `/proc/net`: that is in every process's folder, which comes and goes
//! with it, so no mount can be there.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::net::procfs::NAMES;
use crate::task::waiter::lock;

use super::super::proc::ProcNode;
use super::super::walk::names;
use super::super::{Entry, Kind, Node, Walker};
use super::Description;
use super::table::made;

/// A thing in `/proc/net`; without a name, all of it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct OfNet(Vec<u8>);

/// What covers some of them in a procfs: roots of mounts that are in no namespace.
#[derive(Debug, Default)]
pub struct Veils(Mutex<BTreeMap<OfNet, Arc<Entry>>>);

impl OfNet {
    /// Which one a path leads to, and the root of its procfs. Whose it is does not matter:
    /// `/proc/self/net` is the same. There need not be a process.
    #[must_use]
    pub fn find(walker: &Walker<'_>, path: &[u8]) -> Option<(Arc<Entry>, OfNet)> {
        let parts: Vec<_> = names(path).filter(|name| *name != b".").collect();
        let of = |at: usize| {
            let (above, rest) = (parts.get(..at)?, parts.get(at + 1..)?);
            let above = match above {
                [above @ .., b"self" | b"thread-self"] => above,
                above => above,
            };
            let above = [b"/".as_slice(), &above.join(&b'/')].concat();
            let root = walker.walk(&walker.root, &above, true).ok()?.entry?;
            let name = match rest {
                [] => Vec::new(),
                [name] => name.to_vec(),
                _ => return None,
            };
            matches!(&root.node, Node::Proc(ProcNode::Root(_))).then_some((root, OfNet(name)))
        };
        parts.iter().enumerate().filter(|(_, part)| **part == b"net").find_map(|(at, _)| of(at))
    }

    /// What type of file it is, if it is there.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self.0.as_slice() {
            b"" => Some(Kind::Directory),
            name => NAMES.iter().any(|own| own.as_bytes() == name).then_some(Kind::Regular),
        }
    }

    /// Which one an entry is.
    fn of(entry: &Entry) -> Option<Self> {
        match &entry.node {
            Node::Proc(ProcNode::Net(_)) => Some(OfNet(Vec::new())),
            Node::Proc(ProcNode::OfNet(name, _)) => Some(OfNet(name.as_bytes().to_vec())),
            _ => None,
        }
    }
}

impl Veils {
    /// Has one of them be covered for good.
    ///
    /// # Errors
    /// As mounting there would fail: `ENOENT`, `ENOTDIR`.
    pub fn add(&self, what: OfNet, of: Description, node: Node) -> Result<(), Errno> {
        let (kind, covered) = (node.kind(), what.kind().ok_or(Errno::NOENT)?);
        if (kind == Kind::Directory) != (covered == Kind::Directory) {
            return Err(Errno::NOTDIR);
        }
        let root = made(of, node, kind);
        root.mount.detached.store(true, Ordering::SeqCst);
        lock(&self.0).insert(what, root);
        Ok(())
    }

    /// Whether nothing is covered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// Covers what was found, if it is to be.
    pub(in super::super) fn cover(&self, found: &Arc<Entry>) {
        let Some(what) = OfNet::of(found) else { return };
        let veil = lock(&self.0).get(&what).cloned();
        if let Some(veil) = veil {
            let root = Entry::mounted(&veil.mount, veil.node.clone(), veil.kind());
            root.stand(Some(found));
            found.set_covering(Some(&root));
        }
    }
}
