//! What a name stands for, of whatever file system it is.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::Anchor;

use super::file_use::{FileUse, Purpose, Uses};
use super::host::direct_alignment;
use super::{
    Attributes, HostNode, Kind, MountTable, NamespaceFile, OverlayNode, ProcNode, TmpNode,
};

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Node {
    /// A file of the host's.
    Host(Arc<HostNode>),
    /// A file in memory.
    Tmp(Arc<TmpNode>),
    /// A file of an overlay, which is in one of its layers.
    Overlay(Arc<OverlayNode>),
    /// A name that is only there to be mounted on.
    Point,
    /// Something of procfs.
    Proc(ProcNode),
    /// A namespace, which is there as long as this is.
    Namespace(Arc<NamespaceFile>),
}

impl Node {
    /// The type of file that the root of a mount is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Node::Host(node) => node.kind(),
            Node::Tmp(node) => node.kind(),
            Node::Overlay(node) => node.kind(),
            Node::Proc(node) => node.kind(),
            Node::Point => Kind::Directory,
            Node::Namespace(_) => Kind::Regular,
        }
    }

    /// Device and inode, of what has such.
    #[must_use]
    pub fn id(&self) -> Option<(u64, u64)> {
        match self {
            Node::Host(node) => Some(node.id()),
            Node::Tmp(node) => Some((node.file_system().device, node.inode())),
            Node::Overlay(node) => Some(node.id()),
            Node::Namespace(file) => Some(file.id()),
            Node::Proc(_) | Node::Point => None,
        }
    }

    /// What it is by to who locks or watches it: names of one file have it in common, and it
    /// stays, whatever [`Self::id`] becomes.
    #[must_use]
    pub fn identity(&self) -> Option<(u64, u64)> {
        if let Node::Overlay(node) = self { Some(node.identity()) } else { self.id() }
    }

    /// The namespace of mounts that it stands for.
    #[must_use]
    pub fn mounts(&self) -> Option<&Arc<MountTable>> {
        if let Node::Namespace(file) = self { file.mounts() } else { None }
    }

    /// Who uses it, if it is a regular file of which that is known.
    fn uses(&self) -> Option<&Arc<Uses>> {
        match self {
            Node::Host(node) if node.kind() == Kind::Regular => Some(node.uses()),
            Node::Tmp(node) if node.kind() == Kind::Regular => Some(node.uses()),
            Node::Overlay(node) if node.kind() == Kind::Regular => Some(node.uses()),
            _ => None,
        }
    }

    /// Somebody comes to use it; `None` if nobody counts that.
    ///
    /// # Errors
    /// As [`Uses::begin`].
    pub fn begin(&self, purpose: Purpose) -> Result<Option<Arc<FileUse>>, Errno> {
        self.uses().map(|uses| uses.begin(purpose)).transpose()
    }

    /// Has it be there when its name is not any more.
    ///
    /// # Errors
    /// What the host says.
    pub fn hold(&self, kernel: &Kernel) -> Result<(), Errno> {
        match self {
            Node::Host(node) => node.handle(&kernel.files.broker).map(drop),
            Node::Overlay(node) => node.hold(kernel),
            _ => Ok(()),
        }
    }

    /// What [`super::File::direct`] tells of a file of the host's.
    ///
    /// # Errors
    /// What the host says.
    pub fn direct_alignment(&self, kernel: &Kernel) -> Result<Option<u64>, Errno> {
        match self {
            Node::Host(node) if node.kind() == Kind::Regular => {
                let handle = node.handle(&kernel.files.broker)?;
                Ok(Some(direct_alignment(handle)).filter(|alignment| *alignment > 1))
            }
            _ => Ok(None),
        }
    }

    /// Attributes of a file that is held; `None` if it is of a kind that none are kept of.
    ///
    /// # Errors
    /// What the host says.
    pub fn now_there(&self) -> Result<Option<Attributes>, Errno> {
        match self {
            Node::Host(node) => node.now_there().map(Some),
            Node::Tmp(node) => node.attributes().map(Some),
            Node::Overlay(node) => node.now_there().map(Some),
            Node::Proc(_) | Node::Point | Node::Namespace(_) => Ok(None),
        }
    }

    /// A descriptor of the host's by which a regular file is mapped.
    ///
    /// # Errors
    /// `EACCES` if there is none; what the host says.
    pub fn to_execute(&self, kernel: &Kernel) -> Result<Arc<OwnedFd>, Errno> {
        match self {
            Node::Host(node) => node.reader(&kernel.files.broker),
            Node::Tmp(node) => Ok(Arc::new(rustix::io::fcntl_dupfd_cloexec(node.memory()?, 0)?)),
            Node::Overlay(node) => node.to_execute(kernel),
            Node::Proc(_) | Node::Point | Node::Namespace(_) => Err(Errno::ACCESS),
        }
    }

    /// What of a use stays with who maps it: of an overlay's file only a layer's.
    #[must_use]
    pub fn mapped_use(&self, used: &Arc<FileUse>) -> Option<Arc<FileUse>> {
        (!matches!(self, Node::Overlay(_))).then(|| Arc::clone(used))
    }

    /// What has to stay while it is mapped.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        match self {
            Node::Tmp(node) => Anchor::of(Arc::clone(node) as _),
            Node::Overlay(node) => node.anchor(),
            Node::Host(_) | Node::Proc(_) | Node::Point | Node::Namespace(_) => Anchor::default(),
        }
    }
}
