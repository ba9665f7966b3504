//! Mounts that are in no tree any more. Descriptors may still lead into them: what another
//! mount covered there that was to stay is not to be seen by them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::task::waiter::lock;

use super::super::{Entry, Node};
use super::Mount;
use super::table::uncover;

/// What has become of a mount.
#[derive(Debug, Default)]
pub(super) struct End {
    ended: AtomicBool,
    sealed: Mutex<Sealed>,
}

/// What was covered in a mount when it ended. It holds no entry: they hold the mount.
#[derive(Debug, Default)]
struct Sealed {
    /// Names, with the directory if that can be told again by its numbers.
    names: Vec<(Number, Vec<u8>)>,
    /// All of it: its root was covered.
    all: bool,
}

/// Device and inode, where they stay the same as long as the file is there.
type Number = Option<(u64, u64)>;

fn number(node: &Node) -> Number {
    if matches!(node, Node::Overlay(_)) { None } else { node.id() }
}

impl Mount {
    /// Whether it is in no tree any more. Names in it are not cached then, as nothing would let
    /// go of them.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end.ended.load(Ordering::SeqCst)
    }

    /// Whether a name in one of its directories was covered for good when it ended.
    #[must_use]
    pub fn seals(&self, directory: &Node, name: &[u8]) -> bool {
        if !self.has_ended() {
            return false;
        }
        let sealed = lock(&self.end.sealed);
        let here = number(directory);
        let same = |there: &Number| there.is_none() || here.is_none() || *there == here;
        sealed.all || sealed.names.iter().any(|(there, own)| own == name && same(there))
    }

    fn seal(&self, place: &Arc<Entry>) {
        let mut sealed = lock(&self.end.sealed);
        match place.parent() {
            Some(parent) if self.root().is_none_or(|root| !Arc::ptr_eq(&root, place)) => {
                sealed.names.push((number(&parent.node), place.name()));
            }
            _ => sealed.all = true,
        }
    }
}

/// Ends mounts that were taken out of a table. [`dissolve`] is to be called with what this
/// returns, without locks.
pub(super) fn end(mounts: &[Arc<Mount>]) -> Vec<Arc<Entry>> {
    let all: HashSet<u64> = mounts.iter().map(|mount| mount.id).collect();
    // Who walks there meanwhile finds either what covers a name, or that it is sealed.
    for mount in mounts.iter().filter(|mount| mount.is_locked()) {
        if let Some(place) = mount.place().filter(|place| all.contains(&place.mount.id)) {
            place.mount.seal(&place);
        }
    }
    mounts.iter().for_each(|mount| mount.end.ended.store(true, Ordering::SeqCst));
    let roots = mounts.iter().filter_map(|mount| {
        let root = mount.root();
        // Without cached names a file may be known twice.
        if let Some(Node::Host(node)) = root.as_deref().map(|root| &root.node) {
            node.fs.share();
        }
        let inside = mount.place().is_some_and(|place| all.contains(&place.mount.id));
        if mount.is_locked() && inside {
            // Only the way up is let go of, or they would hold each other.
            lock(&mount.place).take();
        } else {
            uncover(mount);
        }
        root
    });
    roots.collect()
}

/// Lets go of the names that are cached in mounts that have ended.
pub(super) fn dissolve(roots: &[Arc<Entry>]) {
    roots.iter().for_each(|root| root.dissolve());
}

/// Ends the mounts of a namespace that nobody is in any more. One of them may be the last that
/// holds another such, and so on, deeper than a stack goes: those are ended here, too, one after
/// another.
pub(super) fn end_in_turn(mounts: Vec<Arc<Mount>>) {
    static ENDED: Mutex<Vec<Vec<Arc<Mount>>>> = Mutex::new(Vec::new());
    static TURN: Mutex<()> = Mutex::new(());
    lock(&ENDED).push(mounts);
    while !lock(&ENDED).is_empty() {
        // Who has the turn looks again after it.
        let Ok(_turn) = TURN.try_lock() else { return };
        let next = lock(&ENDED).pop();
        if let Some(mounts) = next {
            dissolve(&end(&mounts));
        }
    }
}
