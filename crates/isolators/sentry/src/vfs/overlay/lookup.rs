//! How names are found in an overlay's layers.

use std::sync::{Arc, Weak};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::waiter::lock;
use crate::vfs::weak_table::find_or_keep;

use super::super::{Entry, Kind, Node, TmpNode, access};
use super::{OverlayFs, OverlayNode};

/// A file's place in the upper layer, and in lower ones.
type Layers = (Option<Arc<TmpNode>>, Vec<Arc<Entry>>);

/// Whether what a lower layer has is there to say that there is nothing.
pub(super) fn is_whiteout(kernel: &Kernel, entry: &Entry) -> Result<bool, Errno> {
    Ok(entry.kind() == Kind::Character && entry.attributes(kernel)?.number == 0)
}

/// Whether a directory of a lower layer hides those below it.
fn is_opaque(fs: &OverlayFs, entry: &Entry) -> bool {
    match &entry.node {
        Node::Tmp(directory) => fs.is_opaque(directory),
        // Attributes of that kind are not reached on the host.
        _ => false,
    }
}

impl OverlayNode {
    /// What a name in a directory stands for.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, and what the host says.
    pub fn child(
        self: &Arc<Self>,
        kernel: &Kernel,
        name: &[u8],
        opens: bool,
    ) -> Result<Arc<OverlayNode>, Errno> {
        if let Some(known) = self.known(name) {
            return Ok(known);
        }
        let _looking = self.fs.looking();
        self.find(kernel, name, opens)
    }

    /// What a name is known to stand for.
    pub fn known(&self, name: &[u8]) -> Option<Arc<OverlayNode>> {
        lock(&self.children).get(name).and_then(Weak::upgrade)
    }

    /// The same for who holds the names.
    pub(super) fn find(
        self: &Arc<Self>,
        kernel: &Kernel,
        name: &[u8],
        opens: bool,
    ) -> Result<Arc<OverlayNode>, Errno> {
        if let Some(known) = self.known(name) {
            return Ok(known);
        }
        if self.kind != Kind::Directory {
            return Err(Errno::NOTDIR);
        }
        if self.is_gone() {
            return Err(Errno::NOENT);
        }
        let (upper, lowers) = self.layers(kernel, name, opens)?;
        let place = Some((Arc::clone(self), name.to_vec()));
        let node = OverlayNode::new(&self.fs, place, upper, lowers)?;
        Ok(self.keep(name, node))
    }

    /// From now on the name stands for this, unless it has been found meanwhile.
    fn keep(&self, name: &[u8], node: Arc<OverlayNode>) -> Arc<OverlayNode> {
        find_or_keep(&mut lock(&self.children), name.to_vec(), || node)
    }

    /// From now on the name stands for this, or for nothing.
    pub(super) fn name(&self, name: &[u8], node: Option<&Arc<OverlayNode>>) {
        let mut children = lock(&self.children);
        match node {
            Some(node) => drop(children.insert(name.to_vec(), Arc::downgrade(node))),
            None => drop(children.remove(name)),
        }
    }

    fn layers(&self, kernel: &Kernel, name: &[u8], opens: bool) -> Result<Layers, Errno> {
        let upper = match self.above().map(|directory| directory.child(name)) {
            Some(Ok(upper)) => Some(upper),
            None | Some(Err(Errno::NOENT)) => None,
            Some(Err(errno)) => return Err(errno),
        };
        if let Some(upper) = &upper {
            if upper.is_whiteout() {
                return Err(Errno::NOENT);
            }
            if upper.kind() != Kind::Directory || self.fs.is_opaque(upper) {
                return Ok((Some(Arc::clone(upper)), Vec::new()));
            }
            if let Some(moved) = self.fs.moved(upper) {
                return Ok((Some(Arc::clone(upper)), moved));
            }
        }
        let mut lowers = Vec::new();
        for lower in &self.lowers {
            self.fs.allow(kernel, lower, access::EXECUTE)?;
            let found = match lower.lookup(kernel, name, opens) {
                Err(Errno::NOENT) => continue,
                found => found?,
            };
            if matches!(found.node, Node::Point | Node::Proc(_)) {
                continue;
            }
            if is_whiteout(kernel, &found)? {
                break;
            }
            if found.kind() != Kind::Directory {
                if upper.is_none() && lowers.is_empty() {
                    lowers.push(found);
                }
                break;
            }
            let last = is_opaque(&self.fs, &found);
            lowers.push(found);
            if last {
                break;
            }
        }
        if upper.is_none() && lowers.is_empty() { Err(Errno::NOENT) } else { Ok((upper, lowers)) }
    }

    /// Whether a lower layer has this name: taking it away needs a mark.
    pub(super) fn is_below(&self, kernel: &Kernel, name: &[u8]) -> Result<bool, Errno> {
        for lower in &self.lowers {
            self.fs.allow(kernel, lower, access::EXECUTE)?;
            match lower.lookup(kernel, name, false) {
                Err(Errno::NOENT) => {}
                Ok(found) if matches!(found.node, Node::Point | Node::Proc(_)) => {}
                found => {
                    let found = found?;
                    return Ok(!is_whiteout(kernel, &found)?);
                }
            }
        }
        Ok(false)
    }
}
