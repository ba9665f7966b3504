//! How an overlay comes to be: the one that keeps a container's writes, and those that the
//! guest mounts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::Credentials;

use super::super::mount::{Description, Mount, MountFlags, MountTable};
use super::super::tmpfs::{New, Store, TmpFs};
use super::super::{
    Attributes, Entry, Kind, Node, Resolve, TmpNode, Walker, access, kinds, permit,
};
use super::{OverlayFs, OverlayNode};

/// What the upper layer of such an overlay may have.
pub(in super::super) struct Upper {
    /// Bytes of content; `None`: as many as the store has room for.
    pub(in super::super) space: Option<u64>,
    /// Bytes of memory: names and attributes are there in any case.
    pub(in super::super) memory: u64,
    /// Where content lies, if not in memory.
    pub(in super::super) store: Option<Arc<Store>>,
}

/// An overlay over a tree of the host's whose upper layer is the sandbox's, with its description
/// as a mount.
///
/// # Errors
/// `EINVAL` if it is no file or directory.
pub(in super::super) fn covering(
    node: Node,
    found: &Attributes,
    upper: Upper,
    of: Description,
) -> Result<(Node, Description), Errno> {
    const BYTES_OF_A_FILE: u64 = 4096;
    let kind = node.kind();
    let flags = of.flags | MountFlags::READ_ONLY;
    let lower = Mount::hidden(Description { flags, ..of.clone() });
    let lower = Entry::mounted(&lower, node, kind);
    let new = New {
        kind: Kind::Directory,
        permissions: found.mode & 0o7777,
        owner: (found.user, found.group),
        number: 0,
        text: b"",
    };
    let (files, device) = (upper.memory / BYTES_OF_A_FILE, kinds::anonymous_device());
    let root = match upper.store {
        Some(store) => TmpFs::stored(device, (upper.space, files), store, new),
        None => TmpFs::with_root(device, upper.space.unwrap_or(upper.memory), files, new),
    };
    root.set_times(Some(found.accessed), Some(found.modified));
    let device = kinds::anonymous_device();
    let fs = OverlayFs {
        device,
        upper: Some(Arc::clone(root.file_system())),
        moved: Some(Mutex::new(HashMap::new())),
        devices: Mutex::default(),
        names: RwLock::default(),
        prefix: b"trusted.overlay.",
        maker: None,
    };
    // Of a file's own mount nothing is above until it is written.
    let upper = (kind == Kind::Directory).then_some(root);
    let node = made(fs, upper, vec![lower])?;
    let (kind, source) = ("overlay".to_owned(), b"overlay".to_vec());
    Ok((Node::Overlay(node), Description { kind, source, device, ..of }))
}

fn made(
    fs: OverlayFs,
    upper: Option<Arc<TmpNode>>,
    lowers: Vec<Arc<Entry>>,
) -> Result<Arc<OverlayNode>, Errno> {
    let fs = Arc::new(fs);
    if let (Some(upper), Some(id)) = (&upper, lowers.first().and_then(|lower| lower.node.id())) {
        let inode = fs.number(id).to_le_bytes();
        upper.set_extended(&fs.name(b"origin"), Some(&inode), None)?;
    }
    OverlayNode::new(&fs, None, upper, lowers)
}

/// What mount(2) is told of an overlay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlayOptions {
    /// Lower directories, the topmost first.
    pub lower: Vec<Vec<u8>>,
    /// The directory that is written.
    pub upper: Option<Vec<u8>>,
    /// An empty one beside it.
    pub work: Option<Vec<u8>>,
    /// Own attributes are `user.overlay.*`.
    pub user: bool,
}

impl OverlayOptions {
    /// As mount(8) has them for overlayfs; what it could be told besides is refused, unless it
    /// changes nothing here.
    ///
    /// # Errors
    /// `EINVAL`
    pub fn parse(data: &[u8]) -> Result<Self, Errno> {
        let mut all = OverlayOptions::default();
        for option in split(data, b',').into_iter().filter(|option| !option.is_empty()) {
            let at = option.iter().position(|b| *b == b'=').unwrap_or(option.len());
            let (key, value) = option.split_at_checked(at).ok_or(Errno::INVAL)?;
            let value = value.get(1..).unwrap_or_default();
            let only = |allowed: &[&[u8]]| {
                if allowed.contains(&value) { Ok(()) } else { Err(Errno::INVAL) }
            };
            match key {
                b"lowerdir" => all.lower = split(value, b':').iter().map(|p| plain(p)).collect(),
                b"lowerdir+" => all.lower.push(value.to_vec()),
                b"upperdir" => all.upper = Some(plain(value)),
                b"workdir" => all.work = Some(plain(value)),
                b"userxattr" => all.user = true,
                b"volatile" => only(&[b""])?,
                // Directories of lower layers are not renamed, files with several names not
                // kept together, and everything is copied.
                b"redirect_dir" => only(&[b"off", b"nofollow"])?,
                b"index" | b"metacopy" | b"nfs_export" => only(&[b"off"])?,
                b"xino" => only(&[b"on", b"off", b"auto"])?,
                b"uuid" => only(&[b"on", b"off", b"auto", b"null"])?,
                _ => return Err(Errno::INVAL),
            }
        }
        let empty = all.lower.iter().any(Vec::is_empty);
        let written = all.upper.is_some();
        if empty || all.lower.is_empty() || written != all.work.is_some() {
            return Err(Errno::INVAL);
        }
        if !written && all.lower.len() < 2 {
            return Err(Errno::INVAL);
        }
        Ok(all)
    }
}

/// Parts between separators that no backslash stands before.
fn split(text: &[u8], by: u8) -> Vec<Vec<u8>> {
    let (mut parts, mut escaped) = (vec![Vec::new()], false);
    for byte in text {
        if *byte == by && !escaped {
            parts.push(Vec::new());
            continue;
        }
        escaped = *byte == b'\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(*byte);
        }
    }
    parts
}

/// Without the backslashes.
fn plain(text: &[u8]) -> Vec<u8> {
    let (mut plain, mut escaped) = (Vec::with_capacity(text.len()), false);
    for byte in text {
        escaped = *byte == b'\\' && !escaped;
        if !escaped {
            plain.push(*byte);
        }
    }
    plain
}

/// Makes the overlay that a guest asks for; `find` finds a directory by its path. It does to
/// its layers no more than `maker` may, if there is one, and shows nothing that is hidden in his
/// mounts. Returns its root and its device number.
///
/// # Errors
/// As mount(2); `EINVAL` for an upper directory that is in no tmpfs.
pub fn mounted(
    kernel: &Kernel,
    options: &OverlayOptions,
    maker: Option<(Credentials, Arc<MountTable>)>,
    find: impl Fn(&[u8]) -> Result<Resolve, Errno>,
) -> Result<(Node, u64), Errno> {
    /// As Linux: so many overlays may lie on each other.
    const DEEPEST: usize = 2;
    const MOST: usize = 500;
    let directory = |path: &Vec<u8>| {
        let found = find(path)?.existing()?;
        if found.kind() == Kind::Directory { Ok(found) } else { Err(Errno::INVAL) }
    };
    let above = options.upper.as_ref().zip(options.work.as_ref());
    let above = above.map(|(upper, work)| Ok::<_, Errno>((directory(upper)?, directory(work)?)));
    let above = above.transpose()?;
    let lowers = options.lower.iter().map(directory).collect::<Result<Vec<_>, Errno>>()?;
    if lowers.len() > MOST {
        return Err(Errno::INVAL);
    }
    if let Some((_, mounts)) = &maker {
        let all = above.iter().flat_map(|(upper, work)| [upper, work]).chain(&lowers);
        if !all.into_iter().all(|layer| mounts.hides_nothing(layer)) {
            return Err(Errno::INVAL);
        }
    }
    let maker = maker.map(|(maker, _)| maker);
    for lower in &lowers {
        let is_layer = matches!(lower.node, Node::Host(_) | Node::Tmp(_) | Node::Overlay(_));
        if !is_layer || depth(&lower.node) >= DEEPEST {
            return Err(Errno::INVAL);
        }
        // Held, as its name may go.
        lower.node.hold(kernel)?;
    }
    let upper = match above {
        None => None,
        Some((upper, work)) => {
            let Node::Tmp(root) = &upper.node else { return Err(Errno::INVAL) };
            let apart = upper.mount.id == work.mount.id && !is_within(&upper, &work);
            Walker::writable(&upper).map_err(|_| Errno::INVAL)?;
            if upper.mount.kind != "tmpfs" || !apart || is_within(&work, &upper) {
                return Err(Errno::INVAL);
            }
            let overlaps = |lower| is_within(&upper, lower) || is_within(lower, &upper);
            if lowers.iter().any(overlaps) {
                return Err(Errno::LOOP);
            }
            if let Some(maker) = &maker {
                for directory in [&upper, &work] {
                    permit(maker, &directory.attributes(kernel)?, access::WRITE | access::EXECUTE)?;
                }
            }
            Some(Arc::clone(root))
        }
    };
    let device = kinds::anonymous_device();
    let fs = OverlayFs {
        device,
        upper: upper.as_ref().map(|root| Arc::clone(root.file_system())),
        moved: None,
        devices: Mutex::default(),
        names: RwLock::default(),
        prefix: if options.user { b"user.overlay." } else { b"trusted.overlay." },
        maker,
    };
    Ok((Node::Overlay(made(fs, upper, lowers)?), device))
}

/// How many overlays lie on each other.
fn depth(node: &Node) -> usize {
    let Node::Overlay(node) = node else { return 0 };
    1 + node.lowers().iter().map(|lower| depth(&lower.node)).max().unwrap_or(0)
}

fn is_within(entry: &Arc<Entry>, directory: &Arc<Entry>) -> bool {
    let mut next = Some(Arc::clone(entry));
    while let Some(at) = next {
        if at.node.id().is_some_and(|id| directory.node.id() == Some(id)) {
            return true;
        }
        next = at.parent();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_overlayfs() {
        let text = br"lowerdir=/a:/b\:c,upperdir=/u\,v,workdir=/w,index=off,xino=auto";
        let all = OverlayOptions::parse(text).unwrap();
        assert_eq!(all.lower, [b"/a".to_vec(), b"/b:c".to_vec()]);
        assert_eq!((all.upper, all.work), (Some(b"/u,v".to_vec()), Some(b"/w".to_vec())));
        for bad in [
            &b""[..],
            b"lowerdir=/a",
            b"lowerdir=/a:,upperdir=/u,workdir=/w",
            b"lowerdir=/a,upperdir=/u",
            b"lowerdir=/a,upperdir=/u,workdir=/w,redirect_dir=on",
            b"lowerdir=/a,upperdir=/u,workdir=/w,metacopy=on",
            b"upperdir=/u,workdir=/w",
            b"lowerdir=/a:/b,what=1",
        ] {
            let text = String::from_utf8_lossy(bad);
            assert_eq!(OverlayOptions::parse(bad), Err(Errno::INVAL), "{text}");
        }
    }
}
