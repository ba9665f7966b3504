//! File systems in memory: tmpfs, devtmpfs, and what sysfs and memfds are made of. The content
//! of one may lie in files of the host's instead (`store`).

mod attributes;
mod booked;
mod content;
mod directory;
mod huge;
mod memory;
mod open;
mod room;
mod small;
mod store;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use content::Content;
pub use directory::{AT_ONCE, Names};
pub use huge::{HugeFile, page_size};
pub use memory::{SEAL_EXECUTION, add_seals, is_memory, memory_file, seals};
pub use open::{TmpDirectory, TmpFile};
use room::{Extended, FILE, Room, all_extended};
use rustix::io::Errno;
pub use store::Store;

use crate::ipc::queues::{Accounts, Queue};
use crate::task::waiter::lock;
use crate::task::{Caps, Credentials};

use super::extended::FILE_CAPS;
use super::file_use::Uses;
use super::kept::without_set_ids;
use super::{Attributes, Kind, Time};

/// A file system in memory.
#[derive(Debug)]
pub struct TmpFs {
    /// Its device number.
    pub device: u64,
    /// For content.
    space: Room,
    /// For files, their further names and their extended attributes.
    files: Room,
    made: AtomicU64,
    /// Held while a name in any directory is changed: a rename has two of them, and what it
    /// takes the place of.
    naming: Mutex<()>,
    /// Its files are message queues.
    queues: Option<Arc<Accounts>>,
    /// Where content lies, if not in memory.
    store: Option<Arc<Store>>,
}

/// A file in it.
#[derive(Debug)]
pub struct TmpNode {
    fs: Arc<TmpFs>,
    inode: u64,
    kind: Kind,
    /// Number of a device; of a file of huge pages, their size.
    number: u64,
    made: Time,
    changeable: Mutex<Changeable>,
    content: Content,
    uses: OnceLock<Arc<Uses>>,
}

/// What of a file's attributes changes.
#[derive(Debug)]
struct Changeable {
    permissions: u32,
    user: u32,
    group: u32,
    links: u64,
    accessed: Time,
    modified: Time,
    changed: Time,
    extended: Extended,
    /// Whether permissions to execute it stay as they are.
    execution_sealed: bool,
}

/// What a new file is.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Its type.
    pub kind: Kind,
    /// Its permissions.
    pub permissions: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Number of a device.
    pub number: u64,
    /// Where a link leads, or the content of a file.
    pub text: &'a [u8],
}

impl New<'static> {
    /// What an overlay has in place of a name that is to be missing.
    pub const WHITEOUT: Self =
        New { kind: Kind::Character, permissions: 0, owner: (0, 0), number: 0, text: b"" };
}

impl TmpFs {
    /// An empty one with room for so many bytes and files; returns its root.
    #[must_use]
    pub fn with_root(device: u64, space: u64, files: u64, root: New<'_>) -> Arc<TmpNode> {
        let fs = TmpFs::new(device, (space, files), None);
        Arc::new(fs).root(root)
    }

    /// The same, with content in a store; without `space` as much as the host has room for.
    #[must_use]
    pub fn stored(
        device: u64,
        (space, files): (Option<u64>, u64),
        store: Arc<Store>,
        root: New<'_>,
    ) -> Arc<TmpNode> {
        let fs = TmpFs::new(device, (space.unwrap_or(u64::MAX), files), None);
        Arc::new(TmpFs { store: Some(store), ..fs }).root(root)
    }

    /// Where content lies, if not in memory.
    #[must_use]
    pub fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// One of message queues, at most so many.
    #[must_use]
    pub fn of_queues(
        device: u64,
        files: u64,
        accounts: Arc<Accounts>,
        root: New<'_>,
    ) -> Arc<TmpNode> {
        Arc::new(TmpFs::new(device, (0, files), Some(accounts))).root(root)
    }

    fn new(device: u64, (space, files): (u64, u64), queues: Option<Arc<Accounts>>) -> Self {
        TmpFs {
            device,
            space: Room::new(space),
            files: Room::new(files.saturating_mul(FILE)),
            made: AtomicU64::new(1),
            naming: Mutex::default(),
            queues,
            store: None,
        }
    }

    fn root(self: &Arc<Self>, new: New<'_>) -> Arc<TmpNode> {
        self.files.exceed(FILE);
        let root = self.node(new, Content::new(new.kind, new.text), self.number());
        lock(&root.changeable).links = 2;
        root
    }

    /// A file for which room was taken.
    fn node(self: &Arc<Self>, new: New<'_>, content: Content, inode: u64) -> Arc<TmpNode> {
        let now = Time::now();
        Arc::new(TmpNode {
            inode,
            kind: new.kind,
            number: new.number,
            made: now,
            changeable: Mutex::new(Changeable {
                permissions: new.permissions & 0o7777,
                user: new.owner.0,
                group: new.owner.1,
                links: if new.kind == Kind::Directory { 2 } else { 1 },
                accessed: now,
                modified: now,
                changed: now,
                extended: Extended::new(),
                execution_sealed: false,
            }),
            content,
            uses: OnceLock::new(),
            fs: Arc::clone(self),
        })
    }

    /// An inode number that no file has.
    pub(super) fn number(&self) -> u64 {
        self.made.fetch_add(1, Ordering::SeqCst)
    }

    /// A file of a number that it was given before, without a name.
    ///
    /// # Errors
    /// `ENOSPC`
    pub(super) fn unnamed_numbered(
        self: &Arc<Self>,
        new: New<'_>,
        number: u64,
    ) -> Result<Arc<TmpNode>, Errno> {
        self.unnamed_of(new, Content::new(new.kind, new.text), number)
    }

    /// A file that has no name yet.
    ///
    /// # Errors
    /// `ENOSPC`
    pub fn unnamed(self: &Arc<Self>, new: New<'_>) -> Result<Arc<TmpNode>, Errno> {
        let content = match &self.queues {
            None => Content::new(new.kind, new.text),
            Some(accounts) if new.kind == Kind::Regular => {
                Content::Queue(accounts.usual(new.owner.0)?)
            }
            Some(_) => return Err(Errno::PERM),
        };
        self.unnamed_of(new, content, self.number())
    }

    fn unnamed_of(
        self: &Arc<Self>,
        new: New<'_>,
        content: Content,
        number: u64,
    ) -> Result<Arc<TmpNode>, Errno> {
        self.files.take(FILE)?;
        if let Err(full) = self.space.take(content.booked()) {
            self.files.give(FILE);
            return Err(full);
        }
        Ok(self.node(new, content, number))
    }

    /// Does something that takes room where content lies, as [`Store::with_room`].
    fn with_room<T>(&self, mut f: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        match &self.store {
            Some(store) => store.with_room(f),
            None => f(),
        }
    }

    /// Room for all bytes and files, and what of it is used.
    #[must_use]
    pub fn figures(&self) -> [u64; 4] {
        let (space, files) = (&self.space, &self.files);
        let own = [space.most(), space.taken()];
        let [most, taken] = match &self.store {
            Some(store) if !space.is_limited() => store.figures().unwrap_or(own),
            _ => own,
        };
        [most, taken, files.most() / FILE, files.taken().div_ceil(FILE)]
    }
}

impl Drop for TmpNode {
    fn drop(&mut self) {
        self.fs.space.give(self.content.booked());
        self.fs.files.give(FILE + all_extended(&lock(&self.changeable).extended));
        // A guest can nest directories deeper than this thread's stack goes.
        let mut left = self.content.emptied();
        while let Some(node) = left.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                left.extend(node.content.emptied());
            }
        }
    }
}

impl TmpNode {
    /// The file system that it is in.
    #[must_use]
    pub fn file_system(&self) -> &Arc<TmpFs> {
        &self.fs
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// When it was made.
    #[must_use]
    pub fn made(&self) -> Time {
        self.made
    }

    /// What stat(2) tells.
    ///
    /// # Errors
    /// What the host says of its memory.
    pub fn attributes(&self) -> Result<Attributes, Errno> {
        let (size, bytes) = self.content.size()?;
        let now = lock(&self.changeable);
        Ok(Attributes {
            device: self.fs.device,
            inode: self.inode,
            mode: self.kind as u32 | now.permissions,
            links: now.links,
            user: now.user,
            group: now.group,
            number: if self.huge_page().is_some() { 0 } else { self.number },
            size,
            block_size: self.huge_page().unwrap_or(room::PAGE),
            blocks: bytes / 512,
            accessed: now.accessed,
            modified: now.modified,
            changed: now.changed,
        })
    }

    /// Who uses it.
    pub fn uses(&self) -> &Arc<Uses> {
        self.uses.get_or_init(Arc::default)
    }

    /// Whether it is a mark like [`New::WHITEOUT`].
    #[must_use]
    pub fn is_whiteout(&self) -> bool {
        self.kind == Kind::Character && self.number == 0
    }

    /// The message queue, if it is one.
    #[must_use]
    pub fn queue(&self) -> Option<&Arc<Queue>> {
        if let Content::Queue(queue) = &self.content { Some(queue) } else { None }
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// `EINVAL` if it is none.
    pub fn target(&self) -> Result<Vec<u8>, Errno> {
        self.content.target().ok_or(Errno::INVAL)
    }

    /// Gives it other permissions.
    ///
    /// # Errors
    /// `EPERM` if they are sealed.
    pub fn set_permissions(&self, permissions: u32) -> Result<(), Errno> {
        let mut now = lock(&self.changeable);
        if now.execution_sealed && (now.permissions ^ permissions) & 0o111 != 0 {
            return Err(Errno::PERM);
        }
        now.permissions = permissions & 0o7777;
        now.changed = Time::now();
        Ok(())
    }

    /// Gives it an owner, a group, or both; `u32::MAX` leaves one as it is.
    pub fn set_owner(&self, user: u32, group: u32) {
        let mut now = lock(&self.changeable);
        if user != u32::MAX {
            now.user = user;
        }
        if group != u32::MAX {
            now.group = group;
        }
        if self.kind != Kind::Directory {
            // What it gives to who executes it doesn't change hands.
            now.permissions = without_set_ids(now.permissions, true);
            self.forget(&mut now.extended, FILE_CAPS);
        }
        now.changed = Time::now();
    }

    /// Before a file is written or cut: what it gives to who executes it goes, set-id bits
    /// unless `who` writes may keep them.
    pub fn disarm(&self, who: impl FnOnce() -> Credentials) {
        if self.kind != Kind::Regular {
            return;
        }
        let (permissions, owner) = {
            let mut now = lock(&self.changeable);
            self.forget(&mut now.extended, FILE_CAPS);
            (now.permissions, (now.user, now.group))
        };
        if permissions & 0o6000 == 0 {
            return;
        }
        let who = who();
        if !who.can(Caps::FSETID) {
            let belongs = who.keeps_group_id(owner);
            let mut now = lock(&self.changeable);
            now.permissions = without_set_ids(now.permissions, belongs);
        }
    }

    /// Sets the times that are given.
    pub fn set_times(&self, accessed: Option<Time>, modified: Option<Time>) {
        let mut now = lock(&self.changeable);
        now.accessed = accessed.unwrap_or(now.accessed);
        now.modified = modified.unwrap_or(now.modified);
        now.changed = Time::now();
    }

    /// It has no name, and may never get one.
    pub fn unname(&self) {
        lock(&self.changeable).links = 0;
    }

    fn touched(&self) {
        let mut now = lock(&self.changeable);
        now.modified = Time::now();
        now.changed = now.modified;
    }

    /// It has so many names more.
    pub fn linked(&self, by: i64) {
        let mut now = lock(&self.changeable);
        now.links = now.links.saturating_add_signed(by);
        now.changed = Time::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(kind: Kind) -> New<'static> {
        New { kind, permissions: 0o755, owner: (0, 0), number: 0, text: b"" }
    }

    fn empty(space: u64) -> Arc<TmpNode> {
        TmpFs::with_root(1, space, 100, new(Kind::Directory))
    }

    #[test]
    fn room_is_counted() {
        let root = empty(3 * room::PAGE);
        let file = root.make(b"f", new(Kind::Regular)).unwrap();
        assert_eq!(file.write(&[1; 5000], 0, false), Ok(5000));
        assert_eq!(file.attributes().unwrap().size, 5000);
        // As much as fits.
        assert_eq!(file.write(&[1; 9000], 5000, false), Ok(7288));
        assert_eq!(file.write(&[1; 1], 12288, false), Err(Errno::NOSPC));
        assert_eq!(file.write(&[1; 9000], 0, false), Ok(9000));
        file.truncate(10).unwrap();
        assert_eq!(file.write(&[2; 3], 0, true), Ok(3));
        let mut bytes = [0; 20];
        assert_eq!(file.read(&mut bytes, 8), Ok(5));
        assert_eq!(bytes[..5], [1, 1, 2, 2, 2]);
        root.remove(b"f", false).unwrap();
        assert_eq!(file.attributes().unwrap().links, 0);
        drop(file);
        assert_eq!(root.file_system().figures()[1], 0);
    }

    /// Not even for a moment.
    #[test]
    fn no_more_is_allocated_than_there_is() {
        use std::sync::atomic::AtomicBool;
        const MOST: u64 = 256 * room::PAGE;
        let (root, over) = (empty(MOST), AtomicBool::new(false));
        let [first, second] =
            [&b"a"[..], b"b"].map(|name| root.make(name, new(Kind::Regular)).unwrap());
        let plain = rustix::fs::FallocateFlags::empty();
        first.allocate(plain, 0, MOST - 16 * room::PAGE).unwrap();
        assert_eq!(second.allocate(plain, 0, MOST), Err(Errno::NOSPC));
        std::thread::scope(|scope| {
            let trying = scope.spawn(|| {
                for _ in 0..200 {
                    assert_eq!(second.allocate(plain, 0, MOST), Err(Errno::NOSPC));
                }
            });
            while !trying.is_finished() {
                // One page is looked at before it is known whether there is room.
                if second.attributes().unwrap().blocks > 17 * room::PAGE / 512 {
                    over.store(true, Ordering::SeqCst);
                }
            }
        });
        assert!(!over.into_inner());
        assert_eq!(second.attributes().unwrap().blocks, 0);
    }

    #[test]
    fn names_keep_their_positions() {
        let root = empty(1 << 20);
        for name in ["a", "b", "c"] {
            root.make(name.as_bytes(), new(Kind::Directory)).unwrap();
        }
        assert_eq!(root.make(b"a", new(Kind::Regular)).err(), Some(Errno::EXIST));
        assert_eq!(root.attributes().unwrap().links, 5);
        let all = root.list(0, 2);
        root.remove(b"a", true).unwrap();
        let rest = root.list(all[0].next, 9);
        let names: Vec<_> = rest.iter().map(|l| l.name.as_slice()).collect();
        assert_eq!(names, [b"b", b"c"]);
        let b = root.child(b"b").unwrap();
        b.make(b"x", new(Kind::Regular)).unwrap();
        assert_eq!(root.remove(b"b", true), Err(Errno::NOTEMPTY));
        assert_eq!(root.rename(b"c", &b, b"d", 0, None), Ok(()));
        assert_eq!(b.attributes().unwrap().links, 3);
    }
}
