//! The tree of names, and how a path is walked.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::Credentials;
use crate::task::waiter::lock;

use super::{Attributes, Device, HostNode, Kind, ProcNode};

/// What a name stands for.
#[derive(Debug)]
pub enum Node {
    /// A file of the root file system.
    Host(HostNode),
    /// A device.
    Device(Device),
    /// A directory that holds nothing but what is mounted on, or linked in it.
    Directory,
    /// A link of the kernel's own.
    Link(&'static str),
    /// Something of procfs.
    Proc(ProcNode),
}

/// A name and what it stands for.
#[derive(Debug)]
pub struct Entry {
    place: Mutex<(Option<Arc<Entry>>, Vec<u8>)>,
    /// What it stands for.
    pub node: Node,
    kind: Kind,
    children: Mutex<HashMap<Vec<u8>, Arc<Entry>>>,
}

static CACHED: AtomicUsize = AtomicUsize::new(0);
/// Handles that the cache of names holds at most.
const CACHE_LIMIT: usize = 4096;
const LINKS_LIMIT: usize = 40;
const PATH_LIMIT: usize = 4096;
const NAME_LIMIT: usize = 255;

impl Entry {
    /// A root, or a child that is not cached.
    #[must_use]
    pub fn new(parent: Option<Arc<Entry>>, name: &[u8], node: Node, kind: Kind) -> Arc<Self> {
        Arc::new(Entry {
            place: Mutex::new((parent, name.to_vec())),
            node,
            kind,
            children: Mutex::default(),
        })
    }

    /// The type of file.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The directory that holds it; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Entry>> {
        lock(&self.place).0.clone()
    }

    /// Its path from the root of all.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let mut parts = Vec::new();
        let (mut parent, mut name) = lock(&self.place).clone();
        while let Some(above) = parent {
            parts.push(name);
            (parent, name) = lock(&above.place).clone();
        }
        if parts.is_empty() {
            return b"/".to_vec();
        }
        parts.iter().rev().flat_map(|part| [b"/", part.as_slice()].concat()).collect()
    }

    /// Adds a child of the kernel's own.
    pub fn add(self: &Arc<Self>, name: &str, node: Node, kind: Kind) -> Arc<Entry> {
        let child = Entry::new(Some(Arc::clone(self)), name.as_bytes(), node, kind);
        lock(&self.children).insert(name.as_bytes().to_vec(), Arc::clone(&child));
        child
    }

    /// Names of the children that the kernel itself added.
    #[must_use]
    pub fn own_children(&self) -> Vec<(Vec<u8>, Kind)> {
        lock(&self.children).iter().map(|(name, child)| (name.clone(), child.kind)).collect()
    }

    /// Whether the kernel itself put a name here, which nobody can take away.
    #[must_use]
    pub fn holds_fast(&self, name: &[u8]) -> bool {
        lock(&self.children).get(name).is_some_and(|c| !matches!(c.node, Node::Host(_)))
    }

    /// Forgets a name: it was removed, or may stand for something else now.
    pub fn forget(&self, name: &[u8]) {
        if lock(&self.children).remove(name).is_some() {
            CACHED.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Follows a rename: the child called `from` is `to` in `other` from now on.
    pub fn rename(self: &Arc<Self>, from: &[u8], other: &Arc<Entry>, to: &[u8]) {
        other.forget(to);
        let child = lock(&self.children).remove(from);
        if let Some(child) = child {
            *lock(&child.place) = (Some(Arc::clone(other)), to.to_vec());
            lock(&other.children).insert(to.to_vec(), child);
        }
    }

    /// Attributes now.
    ///
    /// # Errors
    /// What the host says.
    pub fn attributes(&self, kernel: &Kernel) -> Result<Attributes, Errno> {
        let own = |kind: Kind, permissions: u32| Attributes {
            device: 5,
            inode: 1,
            mode: kind as u32 | permissions,
            links: 1,
            block_size: 4096,
            ..Attributes::default()
        };
        match &self.node {
            Node::Host(node) => node.attributes(),
            Node::Device(device) => Ok(device.attributes()),
            Node::Directory => Ok(own(Kind::Directory, 0o755)),
            Node::Link(_) => Ok(own(Kind::Link, 0o777)),
            Node::Proc(node) => node.attributes(kernel),
        }
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// `EINVAL` if it is none.
    pub fn target(&self, kernel: &Kernel, pid: i32) -> Result<Vec<u8>, Errno> {
        match &self.node {
            Node::Host(node) if self.kind == Kind::Link => node.target(),
            Node::Link(target) => Ok(target.as_bytes().to_vec()),
            Node::Proc(node) => node.target(kernel, pid),
            _ => Err(Errno::INVAL),
        }
    }

    fn lookup(self: &Arc<Self>, kernel: &Kernel, name: &[u8]) -> Result<Arc<Entry>, Errno> {
        if let Some(child) = lock(&self.children).get(name) {
            return Ok(Arc::clone(child));
        }
        match &self.node {
            Node::Host(directory) => {
                let handle = kernel.files.broker.lookup(directory.handle.as_fd(), name)?;
                let node = HostNode { handle };
                let kind = node.attributes()?.kind();
                let parent = Some(Arc::clone(self));
                let child = Entry::new(parent, name, Node::Host(node), kind);
                if CACHED.fetch_add(1, Ordering::Relaxed) > CACHE_LIMIT {
                    kernel.files.root.trim(0);
                }
                let mut children = lock(&self.children);
                Ok(Arc::clone(children.entry(name.to_vec()).or_insert(child)))
            }
            Node::Proc(node) => {
                let (node, kind) = node.lookup(kernel, name)?;
                Ok(Entry::new(Some(Arc::clone(self)), name, Node::Proc(node), kind))
            }
            _ => Err(Errno::NOENT),
        }
    }

    /// Drops cached names that nobody uses, down to a depth: a guest can nest
    /// directories deeper than this thread's stack goes.
    fn trim(&self, depth: usize) {
        const DEEPEST: usize = 200;
        if depth > DEEPEST {
            return;
        }
        lock(&self.children).retain(|_, child| {
            child.trim(depth + 1);
            let host = matches!(child.node, Node::Host(_));
            let used = !host || Arc::strong_count(child) > 1 || !lock(&child.children).is_empty();
            if !used {
                CACHED.fetch_sub(1, Ordering::Relaxed);
            }
            used
        });
    }
}

/// Who walks, and from where.
pub struct Walker<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Process that `/proc/self` stands for.
    pub pid: i32,
    /// Root of the process.
    pub root: Arc<Entry>,
    /// For permissions.
    pub credentials: Credentials,
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
    let [_, _, _, group] = who.groups;
    if user == 0 {
        // Root may do anything but execute what nobody may.
        let executable = file.mode & 0o111 != 0 || file.kind() == Kind::Directory;
        let refused = wanted & access::EXECUTE != 0 && !executable;
        return if refused { Err(Errno::ACCESS) } else { Ok(()) };
    }
    let bits = if user == file.user {
        file.mode >> 6
    } else if group == file.group || who.others.contains(&file.group) {
        file.mode >> 3
    } else {
        file.mode
    };
    if bits & wanted == wanted { Ok(()) } else { Err(Errno::ACCESS) }
}

impl Walker<'_> {
    /// The host's directory behind `parent`, in which the walker may add and
    /// remove names; and the owner that new files get.
    ///
    /// # Errors
    /// `EACCES`; `EPERM` in a file system of the kernel's own.
    pub fn directory_to_change<'e>(
        &self,
        parent: &'e Entry,
    ) -> Result<(&'e HostNode, (u32, u32)), Errno> {
        let Node::Host(directory) = &parent.node else { return Err(Errno::PERM) };
        let attributes = directory.attributes()?;
        permit(&self.credentials, &attributes, access::WRITE | access::EXECUTE)?;
        // Files in a directory with S_ISGID belong to its group.
        let own = self.credentials.groups[3];
        let group = if attributes.mode & 0o2000 != 0 { attributes.group } else { own };
        Ok((directory, (self.credentials.users[3], group)))
    }

    /// Walks `path` from `start`; follows a link at its end if `follow`.
    ///
    /// # Errors
    /// As path_resolution(7).
    pub fn walk(&self, start: &Arc<Entry>, path: &[u8], follow: bool) -> Result<Resolve, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        if path.len() >= PATH_LIMIT {
            return Err(Errno::NAMETOOLONG);
        }
        let slash = path.ends_with(b"/");
        let mut at =
            if path.starts_with(b"/") { Arc::clone(&self.root) } else { Arc::clone(start) };
        let mut rest = components(path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            let last = rest.is_empty();
            if at.kind() != Kind::Directory {
                return Err(Errno::NOTDIR);
            }
            if self.credentials.users[3] != 0 {
                permit(&self.credentials, &at.attributes(self.kernel)?, access::EXECUTE)?;
            }
            if name == b"." {
                continue;
            }
            if name == b".." {
                if !Arc::ptr_eq(&at, &self.root)
                    && let Some(parent) = at.parent()
                {
                    at = parent;
                }
                continue;
            }
            if name.len() > NAME_LIMIT {
                return Err(Errno::NAMETOOLONG);
            }
            let child = match at.lookup(self.kernel, &name) {
                Err(Errno::NOENT) if last => {
                    return Ok(Resolve { parent: at, name, entry: None, slash });
                }
                other => other?,
            };
            let magic = matches!(&child.node, Node::Proc(node) if node.is_magic());
            if child.kind() == Kind::Link && (!last || follow || slash) && !(magic && last) {
                links += 1;
                if links > LINKS_LIMIT {
                    return Err(Errno::LOOP);
                }
                let target = child.target(self.kernel, self.pid)?;
                if target.starts_with(b"/") {
                    at = Arc::clone(&self.root);
                }
                rest.extend(components(&target));
                continue;
            }
            if last {
                if slash && child.kind() != Kind::Directory {
                    return Err(Errno::NOTDIR);
                }
                return Ok(Resolve { parent: at, name, entry: Some(child), slash });
            }
            at = child;
        }
        let parent = at.parent().unwrap_or_else(|| Arc::clone(&at));
        Ok(Resolve { parent, name: Vec::new(), entry: Some(at), slash })
    }
}

/// Names of a path, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|b| *b == b'/').filter(|part| !part.is_empty());
    let mut parts: Vec<Vec<u8>> = parts.map(<[u8]>::to_vec).collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_those_of_the_closest_class() {
        let file = Attributes { mode: 0o100_604, user: 1, group: 2, ..Attributes::default() };
        let who = |user: u32, group: u32, others: &[u32]| Credentials {
            users: [user; 4],
            groups: [group; 4],
            others: others.to_vec(),
        };
        assert!(permit(&who(1, 9, &[]), &file, access::READ | access::WRITE).is_ok());
        assert!(permit(&who(5, 2, &[]), &file, access::READ).is_err());
        assert!(permit(&who(5, 9, &[2]), &file, access::READ).is_err());
        assert!(permit(&who(5, 9, &[]), &file, access::READ).is_ok());
        assert!(permit(&who(0, 0, &[]), &file, access::WRITE).is_ok());
        assert!(permit(&who(0, 0, &[]), &file, access::EXECUTE).is_err());
    }

    #[test]
    fn paths_are_told_from_the_root() {
        let root = Entry::new(None, b"", Node::Directory, Kind::Directory);
        let a = root.add("a", Node::Directory, Kind::Directory);
        let b = a.add("b", Node::Directory, Kind::Directory);
        assert_eq!(root.path(), b"/");
        assert_eq!(b.path(), b"/a/b");
        assert_eq!(components(b"//x/./y/"), [b"y".to_vec(), b".".to_vec(), b"x".to_vec()]);
    }
}
