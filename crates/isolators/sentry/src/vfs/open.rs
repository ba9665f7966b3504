//! Opening: from a name to an open file.

use std::sync::Arc;

use rustix::io::Errno;

use crate::syscalls::{Call, Failure};

use super::change_attributes::check_owner;
use super::device::OpenDevice;
use super::file_use::{FileUse, Purpose};
use super::host::HostDirectory;
use super::inotify::{self, event};
use super::mount::DetachedTree;
use super::mount::MountFlags;
use super::overlay::{OverlayDirectory, OverlayFile, OverlayNames};
use super::path_file::PathFile;
use super::proc::TextFile;
use super::queue_file::QueueFile;
use super::tmpfs::{HugeFile, Names, New, TmpDirectory, TmpFile};
use super::{
    Device, Directory, Entry, File, HostFile, Kind, NamespaceFile, Node, OpenFile, ProcNode,
    Resolve, TmpNode, Walker, access, permit, status,
};

/// What an open file is made of: itself, and its names if it is a directory.
type Parts = (Box<dyn File>, Option<Box<dyn Directory>>);

/// Flags that count only while a file is opened.
const ONCE: u32 = status::CREATE | status::EXCLUSIVE | status::NO_TTY | status::TRUNCATE;

/// Opens what a walk found, or makes it if `O_CREAT` says so. `mode` has the
/// umask applied.
///
/// # Errors
/// As open(2).
pub fn open(
    walker: &Walker<'_>,
    call: &Call<'_>,
    found: Resolve,
    flags: u32,
    mode: u32,
) -> Result<Arc<OpenFile>, Failure> {
    let has = |flag: u32| flags & flag != 0;
    let creates = has(status::CREATE) && !has(status::PATH);
    if creates && has(status::DIRECTORY) {
        return Err(Errno::INVAL.into());
    }
    let entry = match found.entry {
        Some(_) if creates && has(status::EXCLUSIVE) => return Err(Errno::EXIST.into()),
        Some(entry) => entry,
        None if creates => {
            if found.slash {
                return Err(Errno::ISDIR.into());
            }
            return Ok(create(walker, &found.parent, &found.name, flags, mode)?);
        }
        None => return Err(Errno::NOENT.into()),
    };
    if let Node::Proc(ProcNode::Descriptor(file, _)) = &entry.node {
        return again(walker, call, (&entry, file), flags);
    }
    open_entry(walker, call, &entry, flags)
}

/// Opens a file that is open already, by the link that procfs has to it.
fn again(
    walker: &Walker<'_>,
    call: &Call<'_>,
    (link, file): (&Arc<Entry>, &Arc<OpenFile>),
    flags: u32,
) -> Result<Arc<OpenFile>, Failure> {
    match &file.entry {
        Some(entry) => {
            // A name of what has none: that was followed, so it is no other such name.
            if let Node::Proc(ProcNode::Descriptor(file, _)) = &entry.node {
                return again(walker, call, (entry, file), flags);
            }
            open_entry(walker, call, entry, flags)
        }
        None => nameless(walker, (link, file), flags).map_err(Failure::from),
    }
}

/// The same with one that has no name.
fn nameless(
    walker: &Walker<'_>,
    (link, file): (&Arc<Entry>, &Arc<OpenFile>),
    flags: u32,
) -> Result<Arc<OpenFile>, Errno> {
    let attributes = file.file.attributes()?;
    if flags & status::DIRECTORY != 0 {
        return Err(Errno::NOTDIR);
    }
    if flags & status::PATH != 0 {
        return Ok(opened((Box::new(PathFile::new(link, attributes)), None), link, None, flags));
    }
    let keep = flags & !ONCE & !status::CLOSE_ON_EXEC;
    let (reads, writes) = match flags & status::ACCESS {
        0 => (true, false),
        status::WRITE_ONLY => (false, true),
        _ => (true, true),
    };
    let read = if reads { access::READ } else { 0 };
    let wanted = read | if writes { access::WRITE } else { 0 };
    if !attributes.has_kind() {
        permit(&walker.credentials, &attributes, wanted)?;
    }
    if !attributes.has_kind() || file.file.socket().is_some() {
        return Err(Errno::NXIO);
    }
    if let Some(ends) = super::fifo::ends_again(&*file.file, reads, writes) {
        if flags & status::DIRECT != 0 {
            return Err(Errno::INVAL);
        }
        permit(&walker.credentials, &attributes, wanted)?;
        return Ok(OpenFile::stream(ends, keep));
    }
    // What the sandbox was given is the same file, with no more rights.
    let may = (!reads || file.readable()) && (!writes || file.writable());
    if may { Ok(Arc::clone(file)) } else { Err(Errno::ACCESS) }
}

/// The root of a detached tree of mounts, as a name; the tree is kept with it.
///
/// # Errors
/// If it can't be looked at.
pub fn tree(call: &Call<'_>, tree: Arc<DetachedTree>) -> Result<Arc<OpenFile>, Errno> {
    let root = Arc::clone(tree.root());
    let attributes = root.attributes(call.kernel)?;
    root.node.hold(call.kernel)?;
    let file = Box::new(PathFile::of_tree(tree, attributes));
    Ok(opened((file, None), &root, None, status::PATH))
}

/// An entry as a name.
///
/// # Errors
/// If it can't be looked at.
pub fn name(call: &Call<'_>, entry: &Arc<Entry>) -> Result<Arc<OpenFile>, Errno> {
    let attributes = entry.attributes(call.kernel)?;
    entry.node.hold(call.kernel)?;
    Ok(opened((Box::new(PathFile::new(entry, attributes)), None), entry, None, status::PATH))
}

fn open_entry(
    walker: &Walker<'_>,
    call: &Call<'_>,
    entry: &Arc<Entry>,
    flags: u32,
) -> Result<Arc<OpenFile>, Failure> {
    let has = |flag: u32| flags & flag != 0;
    let kernel = walker.kernel;
    let kind = entry.kind();
    if has(status::DIRECTORY) && kind != Kind::Directory {
        return Err(Errno::NOTDIR.into());
    }
    let attributes = entry.attributes(kernel)?;
    if has(status::PATH) || !matches!(kind, Kind::Regular | Kind::Directory) {
        // It is to be there when its name is not.
        entry.node.hold(kernel)?;
    }
    if has(status::PATH) {
        let file = Box::new(PathFile::new(entry, attributes));
        return Ok(opened((file, None), entry, None, flags));
    }
    if kind == Kind::Link {
        return Err(Errno::LOOP.into());
    }
    let writes = flags & status::ACCESS != 0;
    if kind == Kind::Directory && (writes || has(status::CREATE)) {
        return Err(Errno::ISDIR.into());
    }
    let read = if flags & status::ACCESS == status::WRITE_ONLY { 0 } else { access::READ };
    let write = if writes || has(status::TRUNCATE) { access::WRITE } else { 0 };
    walker.permit(entry, &attributes, read | write)?;
    if has(status::NO_ACCESS_TIME) {
        check_owner(&walker.credentials, &attributes)?;
    }
    if write != 0 && matches!(entry.node, Node::Namespace(_)) {
        return Err(Errno::PERM.into());
    }
    let file_use = entry.node.begin(purpose(flags))?;
    // Who opens it to read may cut it, too.
    let cuts = has(status::TRUNCATE) && !writes;
    let _cutting = cuts.then(|| entry.node.begin(Purpose::Writing)).transpose()?;
    if write != 0 && kind == Kind::Regular {
        Walker::writable(entry)?;
    }
    if let Some(file_use) = &file_use {
        file_use.break_leases(call, writes, !has(status::NONBLOCK))?;
    }
    let parts: Parts = match kind {
        Kind::Socket => return Err(Errno::NXIO.into()),
        Kind::Fifo => {
            let id = (attributes.device, attributes.inode);
            let file = kernel.files.fifos.open(call, id, entry, flags)?;
            // That it carries packets is said of one that is open.
            if flags & status::DIRECT != 0 {
                return Err(Errno::INVAL.into());
            }
            return Ok(opened((file, None), entry, None, flags));
        }
        Kind::Character | Kind::Block => {
            if entry.mount.flags().contains(MountFlags::NO_DEVICES) {
                return Err(Errno::ACCESS.into());
            }
            let terminals = &call.kernel.terminals;
            let number = attributes.number;
            if kind == Kind::Character
                && let Some(file) = terminals.open(walker, call, number, entry, flags)?
            {
                return Ok(opened((file, None), entry, None, flags));
            }
            let device = Device::of(attributes.number).filter(|_| kind == Kind::Character);
            // Of the host's devices none is in reach, whoever made their nodes.
            (Box::new(OpenDevice::new(device.ok_or(Errno::NXIO)?, entry)), None)
        }
        Kind::Link => return Err(Errno::LOOP.into()),
        Kind::Regular | Kind::Directory => stored(walker, entry, flags)?,
    };
    if has(status::DIRECT) && parts.0.direct().is_none() {
        return Err(Errno::INVAL.into());
    }
    Ok(opened(parts, entry, file_use, flags))
}

/// For what a file is opened that way.
fn purpose(flags: u32) -> Purpose {
    if flags & status::ACCESS == 0 { Purpose::Reading } else { Purpose::Writing }
}

/// A file or a directory that a file system holds.
fn stored(walker: &Walker<'_>, entry: &Arc<Entry>, flags: u32) -> Result<Parts, Errno> {
    let kernel = walker.kernel;
    let is_directory = entry.kind() == Kind::Directory;
    match &entry.node {
        Node::Host(node) if is_directory => {
            let fd = node.reader(&kernel.files.broker)?;
            let names = HostDirectory::new(node, Arc::clone(&fd), entry.points());
            Ok((Box::new(HostFile::reading(node, fd)), Some(Box::new(names))))
        }
        Node::Host(node) => {
            let broker = &kernel.files.broker;
            let host = flags & (status::ACCESS | status::TRUNCATE);
            if host == 0 {
                let fd = node.reader(broker)?;
                return Ok((Box::new(HostFile::reading(node, fd)), None));
            }
            let fd = broker.open(node.handle(broker)?, host)?;
            if host & status::ACCESS == 0 {
                node.alter();
                return Ok((Box::new(HostFile::reading(node, Arc::new(fd))), None));
            }
            Ok((Box::new(HostFile::writing(node, fd)), None))
        }
        Node::Tmp(node) if is_directory => {
            let names = Box::new(Names(Arc::clone(node)));
            Ok((Box::new(TmpDirectory(Arc::clone(node))), Some(names)))
        }
        Node::Tmp(node) if node.queue().is_some() => {
            let queue = node.queue().ok_or(Errno::NXIO)?;
            Ok((Box::new(QueueFile::new(node, queue, &entry.name())), None))
        }
        Node::Tmp(node) if node.huge_page().is_some() => {
            Ok((Box::new(HugeFile(Arc::clone(node))), None))
        }
        Node::Tmp(node) => {
            if flags & status::TRUNCATE != 0 {
                node.disarm(|| walker.credentials.clone());
                node.truncate(0)?;
            }
            Ok((Box::new(TmpFile(Arc::clone(node))), None))
        }
        Node::Overlay(node) if is_directory => {
            node.hold(kernel)?;
            let names = OverlayNames::new(walker, node)?;
            Ok((Box::new(OverlayDirectory(Arc::clone(node))), Some(Box::new(names))))
        }
        Node::Overlay(node) => {
            let truncates = flags & status::TRUNCATE != 0;
            if truncates || flags & status::ACCESS != 0 {
                let upper = node.copy_up(kernel, !truncates)?;
                if truncates {
                    upper.disarm(|| walker.credentials.clone());
                    upper.truncate(0)?;
                }
            }
            Ok((Box::new(OverlayFile::new(walker, node)?), None))
        }
        Node::Point => {
            let attributes = entry.attributes(kernel)?;
            let names = super::proc::Names::new(entry.points());
            Ok((Box::new(TextFile::directory(attributes)), Some(Box::new(names))))
        }
        Node::Namespace(file) => Ok((Box::new(NamespaceFile::clone(file)), None)),
        Node::Proc(node) => {
            if flags & status::ACCESS != 0 {
                return node.open_to_write(walker).map(|file| (file, None));
            }
            if let Some(file) = node.open_live(walker)? {
                return Ok((file, None));
            }
            let (file, names) = node.open(walker)?;
            Ok((Box::new(file), names.map(|n| Box::new(n) as Box<dyn Directory>)))
        }
    }
}

/// Opens a file for reading, whoever asks.
///
/// # Errors
/// As open(2).
pub fn to_read(walker: &Walker<'_>, entry: &Arc<Entry>) -> Result<Box<dyn File>, Errno> {
    stored(walker, entry, 0).map(|(file, _)| file)
}

/// The names in a directory, whoever asks.
///
/// # Errors
/// `ENOTDIR`, and what the host says.
pub(super) fn names(walker: &Walker<'_>, entry: &Arc<Entry>) -> Result<Box<dyn Directory>, Errno> {
    stored(walker, entry, 0)?.1.ok_or(Errno::NOTDIR)
}

/// A new file in memory, which may be read and written.
///
/// # Errors
/// As [`OpenFile::in_memory`].
pub fn memory(entry: &Arc<Entry>, node: &Arc<TmpNode>) -> Result<Arc<OpenFile>, Errno> {
    let node = Arc::clone(node);
    if node.huge_page().is_some() {
        return OpenFile::in_memory(Box::new(HugeFile(node)), entry);
    }
    OpenFile::in_memory(Box::new(TmpFile(node)), entry)
}

fn opened(
    parts: Parts,
    entry: &Arc<Entry>,
    file_use: Option<Arc<FileUse>>,
    flags: u32,
) -> Arc<OpenFile> {
    let keep = flags & !ONCE & !status::CLOSE_ON_EXEC;
    if flags & status::TRUNCATE != 0 {
        inotify::happened(entry, event::MODIFY);
    }
    if flags & status::PATH == 0 {
        inotify::happened(entry, event::OPEN);
    }
    OpenFile::found(parts, entry, file_use, keep)
}

fn create(
    walker: &Walker<'_>,
    parent: &Arc<Entry>,
    name: &[u8],
    flags: u32,
    mode: u32,
) -> Result<Arc<OpenFile>, Errno> {
    let (entry, fd) = walker.create(parent, name, mode)?;
    let file_use = entry.node.begin(purpose(flags))?;
    let file: Box<dyn File> = match (fd, &entry.node) {
        // What can be read can be mapped: then the host's descriptor has no more rights
        // than the guest's.
        (Some(fd), Node::Host(node)) if flags & status::ACCESS != 0 => {
            Box::new(HostFile::writing(node, fd))
        }
        _ => stored(walker, &entry, flags & status::ACCESS)?.0,
    };
    // There is nothing to be cut.
    Ok(opened((file, None), &entry, file_use, flags & !status::TRUNCATE))
}

/// Makes a file without a name in a directory (`O_TMPFILE`).
///
/// # Errors
/// As open(2).
pub fn open_unnamed(
    walker: &Walker<'_>,
    directory: &Arc<Entry>,
    flags: u32,
    mode: u32,
) -> Result<Arc<OpenFile>, Errno> {
    if directory.kind() != Kind::Directory {
        return Err(Errno::NOTDIR);
    }
    if flags & status::ACCESS == 0 {
        return Err(Errno::INVAL);
    }
    let (above, owner) = walker.directory_to_change(directory)?;
    let mode = super::change::new_mode(&walker.credentials, &above, mode);
    let keep = flags & !(status::TEMPORARY & !status::DIRECTORY) & !status::DIRECTORY;
    let kind = Kind::Regular;
    let (node, file): (Node, Box<dyn File>) = match &directory.node {
        Node::Host(host) => {
            let broker = &walker.kernel.files.broker;
            let fd = broker.create_unnamed(host.handle(broker)?, mode, owner)?;
            let handle = rustix::io::fcntl_dupfd_cloexec(&fd, 0)?;
            let node = Arc::new(host.beside(handle)?);
            let file = Box::new(HostFile::writing(&node, fd));
            (Node::Host(node), file)
        }
        Node::Tmp(host) => {
            let new = New { kind, permissions: mode, owner, number: 0, text: b"" };
            let node = host.file_system().unnamed(new)?;
            node.unname();
            (Node::Tmp(Arc::clone(&node)), Box::new(TmpFile(node)))
        }
        Node::Overlay(overlay) => {
            let new = New { kind, permissions: mode, owner, number: 0, text: b"" };
            let node = overlay.make_unnamed(new)?;
            let file = Box::new(OverlayFile::new(walker, &node)?);
            (Node::Overlay(node), file)
        }
        _ => return Err(Errno::OPNOTSUPP),
    };
    let file_use = node.begin(Purpose::Writing)?;
    let inode = file.attributes()?.inode;
    let name = format!("#{inode} (deleted)");
    let entry = Entry::new(directory, name.as_bytes(), node, kind);
    Ok(opened((file, None), &entry, file_use, keep))
}
