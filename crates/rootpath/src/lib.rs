//! The only way into a container's file tree.
//!
//! Whoever wrote the image, and whoever runs inside while we work, is an
//! attacker: any component of any path may be, or become at any moment, a
//! symbolic link to the host, a mount, a FIFO or a device. So nothing here
//! hands a path to the kernel and hopes. [`Root`] resolves by descriptor with
//! `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)`, creates one component
//! at a time below a descriptor it already holds, and checks what it got.
//! [`ProcHandle`] does the same for procfs, on a private mount where the
//! kernel allows one.
//!
//! Paths of the container are read relative to its root; a leading `/` and
//! any `..` stop there. Descriptors returned are close-on-exec.
//!
//! Kernel: 5.12 or newer (`openat2` is 5.6; `fsopen` 5.2).
//!
//! What this does not promise: that a name still leads to the returned
//! descriptor a moment later. Go on with the descriptor, never with the name.

mod beneath;
mod create;
mod error;
mod inode;
mod node;
mod procfs;
mod root;
mod sysctl;
mod would_be;

pub use beneath::open_beneath;
pub use error::{FileKind, PathFault, Place, RootPathError};
pub use inode::{
    check_block_device, check_char_device, check_null, check_ptmx, check_pty_slave, check_regular,
    same_inode,
};
pub use node::{Node, NodeKind};
pub use procfs::{ProcHandle, ProcScope, ProcSource};
pub use root::Root;
pub use sysctl::sysctl_path;
