//! What lies in a directory, in every respect that unpacking decides.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime: (i64, i64),
    pub(crate) device: u64,
    pub(crate) target: Option<PathBuf>,
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// First path of the same inode.
    pub(crate) same_as: PathBuf,
    /// Not compared: file systems round in their own way.
    pub(crate) blocks: Blocks,
}

/// 512-byte blocks on disk; equal if about the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks(pub(crate) u64);

impl PartialEq for Blocks {
    fn eq(&self, other: &Self) -> bool {
        self.0.abs_diff(other.0) <= 16 + self.0 / 50
    }
}

impl Eq for Blocks {}

pub(crate) type Tree = BTreeMap<PathBuf, Node>;

/// All below `root`, and `root` itself as the empty path.
pub(crate) fn scan(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut inodes = HashMap::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let meta = fs::symlink_metadata(&full).unwrap();
        let kind = meta.file_type();
        if kind.is_dir() {
            let mut names: Vec<_> =
                fs::read_dir(&full).unwrap().map(|e| path.join(e.unwrap().file_name())).collect();
            names.sort();
            names.reverse();
            todo.extend(names);
        }
        tree.insert(
            path.clone(),
            Node {
                kind: match () {
                    () if kind.is_dir() => 'd',
                    () if kind.is_symlink() => 'l',
                    () if kind.is_fifo() => 'p',
                    () if kind.is_char_device() => 'c',
                    () if kind.is_block_device() => 'b',
                    () => '-',
                },
                mode: meta.mode() & 0o7777,
                uid: meta.uid(),
                gid: meta.gid(),
                size: if kind.is_dir() { 0 } else { meta.size() },
                mtime: (meta.mtime(), meta.mtime_nsec()),
                device: meta.rdev(),
                target: kind.is_symlink().then(|| fs::read_link(&full).unwrap()),
                content: if kind.is_file() && meta.size() < 64 << 20 {
                    fs::read(&full).unwrap_or_else(|e| panic!("{full:?}: {e}"))
                } else {
                    Vec::new()
                },
                xattrs: xattrs(&full),
                same_as: if kind.is_dir() {
                    path.clone()
                } else {
                    inodes.entry((meta.dev(), meta.ino())).or_insert(path).clone()
                },
                blocks: Blocks(if kind.is_dir() { 0 } else { meta.blocks() }),
            },
        );
    }
    // Links are grouped by their first name in order, whatever was seen first.
    let mut first = HashMap::new();
    for (path, node) in &mut tree {
        node.same_as = first.entry(node.same_as.clone()).or_insert_with(|| path.clone()).clone();
    }
    tree
}

pub(crate) fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut list = vec![0; 65536];
    let len = rustix::fs::llistxattr(path, list.as_mut_slice()).unwrap();
    let mut found: Vec<_> = list[..len]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 65536];
            let name_text = std::ffi::OsStr::from_bytes(name);
            let len = rustix::fs::lgetxattr(path, name_text, value.as_mut_slice()).unwrap();
            (name.to_vec(), value[..len].to_vec())
        })
        .collect();
    found.sort();
    found
}

/// The first differences, readable.
pub(crate) fn differences(ours: &Tree, theirs: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for path in ours.keys().chain(theirs.keys()) {
        let (a, b) = (ours.get(path), theirs.get(path));
        if a != b {
            let short = |node: Option<&Node>| {
                node.map(|n| Node {
                    content: n.content.iter().take(16).copied().collect(),
                    ..n.clone()
                })
            };
            found.push(format!("{path:?}:\n  ours   {:?}\n  theirs {:?}", short(a), short(b)));
        }
    }
    found.dedup();
    found.truncate(10);
    found
}
