//! How a path is walked, and who may.

use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::{Caps, Credentials};

use super::mount::MountFlags;
use super::{Attributes, Entry, Kind, Node};

const LINKS_LIMIT: usize = 40;
const PATH_LIMIT: usize = 4096;
const NAME_LIMIT: usize = 255;

/// Who walks, and from where.
pub struct Walker<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Process that `/proc/self` stands for.
    pub pid: i32,
    /// Thread that `/proc/thread-self` stands for.
    pub tid: i32,
    /// Root of the process.
    pub root: Arc<Entry>,
    /// For permissions.
    pub credentials: Credentials,
    /// Whether what is found is not used by that.
    pub only_looks: bool,
}

bitflags::bitflags! {
    /// Where a walk must not lead, as openat2(2) numbers it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Limits: u64 {
        /// `RESOLVE_NO_XDEV`
        const NO_MOUNTS = 1;
        /// `RESOLVE_NO_MAGICLINKS`
        const NO_MAGIC_LINKS = 2;
        /// `RESOLVE_NO_SYMLINKS`
        const NO_LINKS = 4;
        /// `RESOLVE_BENEATH`
        const BENEATH = 8;
        /// `RESOLVE_IN_ROOT`
        const IN_ROOT = 16;
    }
}

/// What a walk's end is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The place: a link of procfs to an open file that has one leads there.
    Place,
    /// What is open: such a link is found itself, to be asked for its file.
    File,
    /// The same, to be opened for reading.
    Read,
}

/// What a walk found.
pub struct Resolve {
    /// The directory of the last name.
    pub parent: Arc<Entry>,
    /// The last name; empty if the path ends in `.`, `..` or at the root.
    pub name: Vec<u8>,
    /// What it stands for, if it is there.
    pub entry: Option<Arc<Entry>>,
    /// Whether the path ended in a slash.
    pub slash: bool,
}

impl Resolve {
    /// What is there.
    ///
    /// # Errors
    /// `ENOENT`
    pub fn existing(self) -> Result<Arc<Entry>, Errno> {
        self.entry.ok_or(Errno::NOENT)
    }
}

/// Permission bits.
pub mod access {
    /// Execute, or search.
    pub const EXECUTE: u32 = 1;
    /// Write.
    pub const WRITE: u32 = 2;
    /// Read.
    pub const READ: u32 = 4;
}

/// Whether `who` may do `wanted` (see [`access`]).
///
/// # Errors
/// `EACCES`
pub fn permit(who: &Credentials, file: &Attributes, wanted: u32) -> Result<(), Errno> {
    let [_, _, _, user] = who.users;
    let owner = (file.user, file.group);
    let bits = if user == file.user {
        file.mode >> 6
    } else if who.in_group(file.group) {
        file.mode >> 3
    } else {
        file.mode
    };
    let is_directory = file.kind() == Kind::Directory;
    // What nobody may execute, no capability lets execute.
    let executable = file.mode & 0o111 != 0 || is_directory;
    let looks = wanted & access::WRITE == 0 && (is_directory || wanted & access::EXECUTE == 0);
    let may = bits & wanted == wanted
        || (who.can_about(owner, Caps::DAC_OVERRIDE)
            && (wanted & access::EXECUTE == 0 || executable))
        || (who.can_about(owner, Caps::DAC_READ_SEARCH) && looks);
    if may { Ok(()) } else { Err(Errno::ACCESS) }
}

impl Walker<'_> {
    /// Whether the walker may do `wanted` to a file (see [`access`]).
    ///
    /// # Errors
    /// `EACCES`
    pub fn permit(&self, entry: &Entry, of: &Attributes, wanted: u32) -> Result<(), Errno> {
        match &entry.node {
            Node::Proc(node) => node.permit(self, of, wanted),
            _ => permit(&self.credentials, of, wanted),
        }
    }

    /// Refuses what changes a file on a mount that is read-only.
    ///
    /// # Errors
    /// `EROFS`
    pub fn writable(entry: &Entry) -> Result<(), Errno> {
        let read_only = entry.mount.flags().contains(MountFlags::READ_ONLY);
        if read_only { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// Whether the walker may add and remove names in `parent`; the owner that new files
    /// get.
    ///
    /// # Errors
    /// `EACCES`, `EROFS`
    pub fn directory_to_change(&self, parent: &Entry) -> Result<(Attributes, (u32, u32)), Errno> {
        let attributes = parent.attributes(self.kernel)?;
        Walker::writable(parent)?;
        permit(&self.credentials, &attributes, access::WRITE | access::EXECUTE)?;
        // Files in a directory with S_ISGID belong to its group.
        let own = self.credentials.groups[3];
        let group = if attributes.mode & 0o2000 != 0 { attributes.group } else { own };
        Ok((attributes, (self.credentials.users[3], group)))
    }

    /// Walks `path` from `start`; follows a link at its end if `follow`.
    ///
    /// # Errors
    /// As path_resolution(7).
    pub fn walk(&self, start: &Arc<Entry>, path: &[u8], follow: bool) -> Result<Resolve, Errno> {
        self.walk_within(start, path, follow, Limits::empty())
    }

    /// The same within limits.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn walk_within(
        &self,
        start: &Arc<Entry>,
        path: &[u8],
        follow: bool,
        limits: Limits,
    ) -> Result<Resolve, Errno> {
        self.walk_to(start, path, follow, limits, End::Place)
    }

    /// The same for an end of its own.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn walk_to(
        &self,
        start: &Arc<Entry>,
        path: &[u8],
        follow: bool,
        limits: Limits,
        end: End,
    ) -> Result<Resolve, Errno> {
        let found = self.find(start, path, (follow, limits, end))?;
        if let Some(entry) = found.entry.as_ref().filter(|_| !self.only_looks) {
            entry.mount.is_looked_at();
        }
        Ok(found)
    }

    fn find(
        &self,
        start: &Arc<Entry>,
        path: &[u8],
        (follow, limits, end): (bool, Limits, End),
    ) -> Result<Resolve, Errno> {
        let enclosed = limits.intersects(Limits::BENEATH | Limits::IN_ROOT);
        let root = if enclosed { start } else { &self.root };
        let leave = |absolute: bool| {
            let out = absolute && limits.contains(Limits::BENEATH);
            if out { Err(Errno::XDEV) } else { Ok(Arc::clone(root)) }
        };
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        if path.len() >= PATH_LIMIT {
            return Err(Errno::NAMETOOLONG);
        }
        let slash = path.ends_with(b"/");
        let mut at = if path.starts_with(b"/") { leave(true)? } else { Arc::clone(start) };
        let mut rest = components(path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            let last = rest.is_empty();
            if at.kind() != Kind::Directory {
                return Err(Errno::NOTDIR);
            }
            if matches!(at.node, Node::Proc(_)) || !self.credentials.can(Caps::DAC_OVERRIDE) {
                self.permit(&at, &at.attributes(self.kernel)?, access::EXECUTE)?;
            }
            if name == b"." {
                continue;
            }
            if name == b".." {
                if Arc::ptr_eq(&at, root) {
                    if limits.contains(Limits::BENEATH) {
                        return Err(Errno::XDEV);
                    }
                } else if let Some(parent) = at.parent() {
                    let above = parent.top();
                    if limits.contains(Limits::NO_MOUNTS) && above.mount.id != at.mount.id {
                        return Err(Errno::XDEV);
                    }
                    at = above;
                }
                continue;
            }
            if name.len() > NAME_LIMIT {
                return Err(Errno::NAMETOOLONG);
            }
            let child = match at.lookup(self.kernel, &name, last && end == End::Read) {
                Err(Errno::NOENT) if last => {
                    return Ok(Resolve { parent: at, name, entry: None, slash });
                }
                other => other?.top(),
            };
            if limits.contains(Limits::NO_MOUNTS) && child.mount.id != at.mount.id {
                return Err(Errno::XDEV);
            }
            let magic = matches!(&child.node, Node::Proc(node) if node.is_magic());
            let followed = child.kind() == Kind::Link && (!last || follow || slash);
            if followed && limits.contains(Limits::NO_LINKS) {
                return Err(Errno::LOOP);
            }
            if followed && magic && !limits.is_empty() {
                let refused = limits.contains(Limits::NO_MAGIC_LINKS);
                return Err(if refused { Errno::LOOP } else { Errno::XDEV });
            }
            // What is open is for who asks; a directory to go on from is it itself.
            let open = last
                && !slash
                && matches!(&child.node, Node::Proc(node)
                    if if end == End::Place { node.is_nameless() } else { node.is_open() });
            if followed
                && open
                && let Node::Proc(node) = &child.node
            {
                node.may_follow(self)?;
            }
            if followed && !open {
                links += 1;
                if links > LINKS_LIMIT {
                    return Err(Errno::LOOP);
                }
                if child.mount.flags().contains(MountFlags::NO_LINKS) {
                    return Err(Errno::LOOP);
                }
                if let Node::Proc(node) = &child.node
                    && let Some(place) = node.place(self)?
                {
                    at = place;
                    continue;
                }
                let target = child.target(self)?;
                if target.starts_with(b"/") {
                    at = leave(true)?;
                }
                rest.extend(components(&target));
                continue;
            }
            if last {
                if slash && child.kind() != Kind::Directory {
                    return Err(Errno::NOTDIR);
                }
                let child = match (&at.node, &child.node) {
                    (Node::Proc(folder), Node::Proc(link)) if !followed => {
                        let link = folder.unfollowed(link, &name).map(Node::Proc);
                        link.map_or(child, |link| Entry::new(&at, &name, link, Kind::Link))
                    }
                    _ => child,
                };
                return Ok(Resolve { parent: at, name, entry: Some(child), slash });
            }
            at = child;
        }
        if slash && at.kind() != Kind::Directory {
            return Err(Errno::NOTDIR);
        }
        let parent = at.parent().unwrap_or_else(|| Arc::clone(&at));
        Ok(Resolve { parent, name: Vec::new(), entry: Some(at), slash })
    }
}

/// Names of a path.
pub(super) fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|name| !name.is_empty())
}

/// Names of a path, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    names(path).rev().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_those_of_the_closest_class() {
        let file = Attributes { mode: 0o100_604, user: 1, group: 2, ..Attributes::default() };
        let who =
            |user: u32, group: u32, others: &[u32]| Credentials::of(user, group, others.to_vec());
        assert!(permit(&who(1, 9, &[]), &file, access::READ | access::WRITE).is_ok());
        assert!(permit(&who(5, 2, &[]), &file, access::READ).is_err());
        assert!(permit(&who(5, 9, &[2]), &file, access::READ).is_err());
        assert!(permit(&who(5, 9, &[]), &file, access::READ).is_ok());
        assert!(permit(&who(0, 0, &[]), &file, access::WRITE).is_ok());
        assert!(permit(&who(0, 0, &[]), &file, access::EXECUTE).is_err());
    }

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!(components(b"//x/./y/"), [b"y".to_vec(), b".".to_vec(), b"x".to_vec()]);
    }
}
