//! Overlays: one tree of names made of several, of which only the topmost is written, and
//! that one is the sandbox's: in its memory, or in files of the host's that have no name.
//!
//! The layer on top is a directory of a tmpfs and has Linux's own format: a name that is to
//! be missing is a character device with the number 0, a directory that hides what is below
//! it has the attribute `trusted.overlay.opaque`. What is below is any directory of ours; it
//! is looked at by entries, so what is mounted in it is not seen, and it is never written.
//! A file that is to be changed is copied up first, with the directories above it.

mod change;
mod copy_up;
mod lookup;
mod mount;
mod open;
mod rename;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::Anchor;
use crate::task::Credentials;
use crate::task::waiter::lock;

use super::file_use::Uses;
use super::tmpfs::{Store, TmpFile, TmpFs};
use super::{Attributes, Entry, Kind, Node, TmpNode, Walker, permit};

pub use mount::{OverlayOptions, mounted};
pub(super) use mount::{Upper, covering};
pub(super) use open::{OverlayDirectory, OverlayFile, OverlayNames};

/// An overlay.
#[derive(Debug)]
pub struct OverlayFs {
    /// Its device number.
    device: u64,
    /// What new files are made in; `None` if nothing can be written.
    upper: Option<Arc<TmpFs>>,
    /// What is in lower layers of directories that were renamed, by their inode above. Only an
    /// overlay that nobody mounts again lets them be renamed.
    moved: Option<Mutex<HashMap<u64, Vec<Arc<Entry>>>>>,
    /// Devices of lower layers: which one a file is on is told by its inode number.
    devices: Mutex<Vec<u64>>,
    /// Held to look names up, and alone to change what they stand for.
    names: RwLock<()>,
    /// How attributes of its own begin.
    prefix: &'static [u8],
    /// Who made it in a user namespace: it does to its layers what he may.
    maker: Option<Credentials>,
}

/// A file in an overlay.
#[derive(Debug)]
pub struct OverlayNode {
    fs: Arc<OverlayFs>,
    kind: Kind,
    inode: AtomicU64,
    /// The number that its copy in the upper layer gets, if it has none yet.
    copy: OnceLock<u64>,
    /// Where it is; `None` for the root and what has no name.
    place: Mutex<Option<(Arc<OverlayNode>, Vec<u8>)>>,
    /// Once it is there, it is the file.
    upper: OnceLock<TmpFile>,
    /// Of a directory what is merged, the topmost first; of anything else at most one.
    lowers: Vec<Arc<Entry>>,
    children: Mutex<HashMap<Vec<u8>, Weak<OverlayNode>>>,
    /// Held while it is copied up.
    copying: Mutex<()>,
    /// Its name was taken away.
    gone: AtomicBool,
    uses: OnceLock<Arc<Uses>>,
}

/// Bits of an inode number that tell a file's layer: lower ones by their device's place in the
/// list, so that the first one's numbers stay as they are.
const LAYER: u32 = 56;
const UPPER: u64 = 0xff;

impl OverlayFs {
    fn looking(&self) -> RwLockReadGuard<'_, ()> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> RwLockWriteGuard<'_, ()> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether who made it may do that to a file of a layer.
    fn permit(&self, file: &Attributes, wanted: u32) -> Result<(), Errno> {
        self.maker.as_ref().map_or(Ok(()), |maker| permit(maker, file, wanted))
    }

    /// The same of an entry.
    fn allow(&self, kernel: &Kernel, entry: &Entry, wanted: u32) -> Result<(), Errno> {
        match &self.maker {
            None => Ok(()),
            Some(maker) => permit(maker, &entry.attributes(kernel)?, wanted),
        }
    }

    /// The inode number that a file of a lower layer has here.
    fn number(&self, (device, inode): (u64, u64)) -> u64 {
        let mut devices = lock(&self.devices);
        let known = devices.iter().position(|known| *known == device);
        let at = known.unwrap_or_else(|| {
            devices.push(device);
            devices.len() - 1
        });
        inode ^ (at as u64).min(UPPER - 1) << LAYER
    }

    /// The same of one of the upper layer.
    fn number_above(&self, upper: &TmpNode) -> u64 {
        self.number_by(&self.name(b"origin"), upper)
    }

    /// The same for who knows the name of the attribute that tells it.
    fn number_by(&self, origin: &[u8], upper: &TmpNode) -> u64 {
        let origin = upper.extended(origin).ok();
        let origin = origin.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        origin.unwrap_or_else(|| upper.inode() ^ UPPER << LAYER)
    }

    /// The name of an attribute of its own.
    fn name(&self, last: &[u8]) -> Vec<u8> {
        [self.prefix, last].concat()
    }

    fn is_opaque(&self, directory: &TmpNode) -> bool {
        directory.extended(&self.name(b"opaque")).is_ok_and(|value| value == b"y")
    }

    fn set_opaque(&self, directory: &TmpNode) -> Result<(), Errno> {
        if self.is_opaque(directory) {
            return Ok(());
        }
        directory.set_extended(&self.name(b"opaque"), Some(b"y"), None)
    }

    /// What is merged into a directory that was renamed.
    fn moved(&self, upper: &TmpNode) -> Option<Vec<Arc<Entry>>> {
        lock(self.moved.as_ref()?).get(&upper.inode()).cloned()
    }

    /// Where the content of what is written lies, if not in memory.
    #[must_use]
    pub fn store(&self) -> Option<&Arc<Store>> {
        self.upper.as_ref()?.store()
    }

    /// Room for bytes and files, and what of it is used.
    #[must_use]
    pub fn figures(&self) -> [u64; 4] {
        self.upper.as_ref().map_or([0; 4], |upper| upper.figures())
    }
}

impl Drop for OverlayNode {
    fn drop(&mut self) {
        // What holds it may be a long way of directories that nothing else holds.
        let mut above = lock(&self.place).take();
        while let Some((parent, _)) = above {
            above = Arc::into_inner(parent).and_then(|parent| lock(&parent.place).take());
        }
    }
}

impl OverlayNode {
    fn new(
        fs: &Arc<OverlayFs>,
        place: Option<(Arc<OverlayNode>, Vec<u8>)>,
        upper: Option<Arc<TmpNode>>,
        lowers: Vec<Arc<Entry>>,
    ) -> Result<Arc<Self>, Errno> {
        let below = lowers.first().map(|lower| (lower.kind(), lower.node.id()));
        let (kind, inode) = match (&upper, below) {
            (Some(upper), _) => (upper.kind(), fs.number_above(upper)),
            (None, Some((kind, Some(id)))) => (kind, fs.number(id)),
            // Of such no layer can be made.
            _ => return Err(Errno::INVAL),
        };
        Ok(Arc::new(OverlayNode {
            fs: Arc::clone(fs),
            kind,
            inode: AtomicU64::new(inode),
            copy: OnceLock::new(),
            place: Mutex::new(place),
            upper: upper.map(|upper| OnceLock::from(TmpFile(upper))).unwrap_or_default(),
            lowers,
            children: Mutex::default(),
            copying: Mutex::default(),
            gone: AtomicBool::new(false),
            uses: OnceLock::new(),
        }))
    }

    /// The overlay that it is in.
    #[must_use]
    pub fn file_system(&self) -> &Arc<OverlayFs> {
        &self.fs
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Device and inode.
    #[must_use]
    pub fn id(&self) -> (u64, u64) {
        (self.fs.device, self.inode.load(Ordering::SeqCst))
    }

    /// What it is by to who uses, locks or watches it: it stays the same file when it is copied up,
    /// and where something can be written, each name of one below is a file of its own, as on
    /// Linux. Holds while somebody has the node.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        match &self.fs.upper {
            Some(upper) if self.kind != Kind::Directory => {
                let inode = self.above().map_or_else(|| self.copy_number(upper), |own| own.inode());
                (self.fs.device, inode ^ UPPER << LAYER)
            }
            _ => self.id(),
        }
    }

    fn copy_number(&self, upper: &TmpFs) -> u64 {
        *self.copy.get_or_init(|| upper.number())
    }

    /// Who uses it.
    pub fn uses(&self) -> &Arc<Uses> {
        self.uses.get_or_init(|| Uses::of_overlay(self.identity()))
    }

    /// Lower layers of a directory, or what a file is below.
    pub(super) fn lowers(&self) -> &[Arc<Entry>] {
        &self.lowers
    }

    fn above(&self) -> Option<&Arc<TmpNode>> {
        self.upper.get().map(|file| &file.0)
    }

    /// As [`TmpNode::disarm`], of what is written.
    pub(super) fn disarm(&self, who: impl FnOnce() -> Credentials) {
        if let Some(upper) = self.above() {
            upper.disarm(who);
        }
    }

    fn below(&self) -> Result<&Arc<Entry>, Errno> {
        self.lowers.first().ok_or(Errno::IO)
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// Whether its name was taken away and it was never copied up: no other name stands for it.
    #[must_use]
    pub fn is_below_and_gone(&self) -> bool {
        self.is_gone() && self.above().is_none()
    }

    /// Attributes now.
    ///
    /// # Errors
    /// What the host says.
    pub fn attributes(&self, kernel: &Kernel) -> Result<Attributes, Errno> {
        match self.above() {
            Some(upper) => upper.attributes().map(|told| self.told(told)),
            None => self.below()?.attributes(kernel).map(|told| self.told(told)),
        }
    }

    /// The same of a file that is held.
    ///
    /// # Errors
    /// What the host says.
    pub fn now_there(&self) -> Result<Attributes, Errno> {
        let told = match self.above() {
            Some(upper) => upper.attributes()?,
            None => self.below()?.node.now_there()?.ok_or(Errno::IO)?,
        };
        Ok(self.told(told))
    }

    /// Attributes of a layer's file as the overlay tells them.
    fn told(&self, layer: Attributes) -> Attributes {
        let (device, inode) = self.id();
        let layers = self.lowers.len() + usize::from(self.above().is_some());
        let links = match self.kind {
            Kind::Directory if self.is_gone() => 0,
            // As Linux has it, where nobody counts directories in several layers.
            Kind::Directory if layers > 1 => 1,
            _ if self.is_below_and_gone() => layer.links.saturating_sub(1),
            _ => layer.links,
        };
        Attributes { device, inode, links, ..layer }
    }

    /// Has it be there when its name is not any more.
    ///
    /// # Errors
    /// What the host says.
    pub fn hold(&self, kernel: &Kernel) -> Result<(), Errno> {
        if self.above().is_some() { Ok(()) } else { self.below()?.node.hold(kernel) }
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// `EINVAL` if it is none.
    pub fn target(&self, walker: &Walker<'_>) -> Result<Vec<u8>, Errno> {
        match self.above() {
            Some(upper) => upper.target(),
            None if self.kind == Kind::Link => self.below()?.target(walker),
            None => Err(Errno::INVAL),
        }
    }

    /// A descriptor of the host's by which it is mapped.
    ///
    /// # Errors
    /// What the host says.
    pub fn to_execute(&self, kernel: &Kernel) -> Result<Arc<OwnedFd>, Errno> {
        match self.above() {
            Some(upper) => Node::Tmp(Arc::clone(upper)).to_execute(kernel),
            None => self.below()?.node.to_execute(kernel),
        }
    }

    /// What has to stay while it is mapped.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        match (self.above(), self.below()) {
            (Some(upper), _) => Anchor::of(Arc::clone(upper) as _),
            (None, Ok(lower)) => lower.node.anchor(),
            (None, Err(_)) => Anchor::default(),
        }
    }

    /// The layer that an attribute is to be asked of; `None` if it is the overlay's own.
    #[must_use]
    pub fn extended_in(&self, name: &[u8]) -> Option<Node> {
        if name.starts_with(self.fs.prefix) {
            return None;
        }
        self.above()
            .map(|upper| Node::Tmp(Arc::clone(upper)))
            .or_else(|| self.lowers.first().map(|lower| lower.node.clone()))
    }
}
