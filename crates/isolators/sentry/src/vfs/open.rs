//! Opening: from a name to an open file.

use std::os::fd::AsFd;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::kernel::Kernel;

use super::entry::{access, permit};
use super::host::HostDirectory;
use super::proc::{Names, TextFile};
use super::{
    Directory, Entry, File, HostFile, Kind, Node, OpenFile, ProcNode, Resolve, Walker, status,
};

/// Opens what a walk found, or makes it if `O_CREAT` says so. `mode` has the
/// umask applied.
///
/// # Errors
/// As open(2).
pub fn open(
    walker: &Walker<'_>,
    kernel: &Arc<Kernel>,
    found: Resolve,
    flags: u32,
    mode: u32,
) -> Result<Arc<OpenFile>, Errno> {
    let has = |flag: u32| flags & flag != 0;
    let entry = match found.entry {
        Some(_) if has(status::CREATE) && has(status::EXCLUSIVE) => return Err(Errno::EXIST),
        Some(entry) => entry,
        None if has(status::CREATE) && !has(status::PATH) => {
            if found.slash {
                return Err(Errno::ISDIR);
            }
            return create(walker, &found.parent, &found.name, flags, mode);
        }
        None => return Err(Errno::NOENT),
    };
    if let Node::Proc(ProcNode::Descriptor(file)) = &entry.node {
        if has(status::NO_FOLLOW) && !has(status::PATH) {
            return Err(Errno::LOOP);
        }
        return Ok(Arc::clone(file));
    }
    let kind = entry.kind();
    if has(status::DIRECTORY) && kind != Kind::Directory {
        return Err(Errno::NOTDIR);
    }
    if has(status::PATH) {
        let attributes = entry.attributes(kernel)?;
        let file = Box::new(TextFile::directory(attributes));
        return Ok(opened(file, None, &entry, flags));
    }
    if kind == Kind::Link {
        return Err(Errno::LOOP);
    }
    let writes = flags & status::ACCESS != 0;
    if kind == Kind::Directory && (writes || has(status::CREATE)) {
        return Err(Errno::ISDIR);
    }
    let attributes = entry.attributes(kernel)?;
    let read = if flags & status::ACCESS == status::WRITE_ONLY { 0 } else { access::READ };
    let write = if writes || has(status::TRUNCATE) { access::WRITE } else { 0 };
    permit(&walker.credentials, &attributes, read | write)?;
    let (file, directory): (Box<dyn File>, Option<Box<dyn Directory>>) = match &entry.node {
        Node::Host(node) => match kind {
            Kind::Regular => {
                let host = flags & (status::ACCESS | status::TRUNCATE);
                let fd = kernel.files.broker.open(node.handle.as_fd(), host)?;
                (Box::new(HostFile::new(fd)), None)
            }
            Kind::Directory => {
                let fd = kernel.files.broker.open(node.handle.as_fd(), status::DIRECTORY)?;
                let names = rustix::io::fcntl_dupfd_cloexec(&fd, 0)?;
                (Box::new(HostFile::new(fd)), Some(Box::new(HostDirectory::new(names))))
            }
            // Devices of the host stay out of reach, whoever made their nodes.
            _ => return Err(Errno::NXIO),
        },
        Node::Device(device) => (Box::new(*device), None),
        Node::Directory => {
            let names = Box::new(Names::new(entry.own_children()));
            (Box::new(TextFile::directory(attributes)), Some(names))
        }
        Node::Link(_) => return Err(Errno::LOOP),
        Node::Proc(node) => {
            if writes {
                return Err(Errno::ACCESS);
            }
            let (file, names) = node.open(kernel)?;
            (Box::new(file), names.map(|n| Box::new(n) as Box<dyn Directory>))
        }
    };
    Ok(opened(file, directory, &entry, flags))
}

fn opened(
    file: Box<dyn File>,
    directory: Option<Box<dyn Directory>>,
    entry: &Arc<Entry>,
    flags: u32,
) -> Arc<OpenFile> {
    let once = status::CREATE | status::EXCLUSIVE | status::NO_TTY | status::TRUNCATE;
    let keep = flags & !once & !status::CLOSE_ON_EXEC;
    Arc::new(OpenFile {
        file,
        directory,
        seekable: matches!(entry.kind(), Kind::Regular | Kind::Directory),
        entry: Some(Arc::clone(entry)),
        flags: AtomicU32::new(keep),
        position: Mutex::new(0),
        epoll: None,
    })
}

fn create(
    walker: &Walker<'_>,
    parent: &Arc<Entry>,
    name: &[u8],
    flags: u32,
    mode: u32,
) -> Result<Arc<OpenFile>, Errno> {
    let kernel = walker.kernel;
    let (directory, owner) = walker.directory_to_change(parent)?;
    let broker = &kernel.files.broker;
    match broker.create(directory.handle.as_fd(), name, mode, owner) {
        Ok(fd) => {
            let handle = broker.lookup(directory.handle.as_fd(), name)?;
            let node = Node::Host(super::HostNode { handle });
            let entry = Entry::new(Some(Arc::clone(parent)), name, node, Kind::Regular);
            Ok(opened(Box::new(HostFile::new(fd)), None, &entry, flags))
        }
        Err(errno) => Err(errno),
    }
}
