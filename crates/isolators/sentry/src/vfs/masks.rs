//! Empty things that hide others.

use super::kinds::anonymous_device;
use super::mount::Description;
use super::tmpfs::{New, TmpFs};
use super::{Kind, MountFlags, Node};

/// What hides a thing of this type: an empty folder, or `/dev/null`.
pub(super) fn mask(over: Kind) -> (Node, Description) {
    let device = anonymous_device();
    let null = rustix::fs::makedev(1, 3);
    let new = if over == Kind::Directory {
        New { kind: Kind::Directory, permissions: 0o755, owner: (0, 0), number: 0, text: b"" }
    } else {
        New { kind: Kind::Character, permissions: 0o666, owner: (0, 0), number: null, text: b"" }
    };
    let of = Description {
        kind: "tmpfs".to_owned(),
        source: b"tmpfs".to_vec(),
        inside: b"/".to_vec(),
        device,
        flags: MountFlags::READ_ONLY,
        ..Description::default()
    };
    (Node::Tmp(TmpFs::with_root(device, 0, 1, new)), of)
}
