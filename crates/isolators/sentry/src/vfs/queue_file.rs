//! An open message queue.

use std::any::Any;
use std::sync::Arc;

use rustix::io::Errno;

use crate::ipc::queues::{How, Queue, Registration};
use crate::net::inbox::Packet;
use crate::net::{Body, Netlink};
use crate::task::waiter::Waiter;

use super::texts::read_text;
use super::tmpfs::TmpNode;
use super::{Attributes, File, FileTable, OpenFile, Ready};

/// A descriptor of a queue, by mq_open(2) or by its file.
pub struct QueueFile {
    node: Arc<TmpNode>,
    /// The queue.
    pub queue: Arc<Queue>,
    name: Vec<u8>,
}

impl QueueFile {
    /// Of a file that is one, with the name that procfs tells.
    #[must_use]
    pub fn new(node: &Arc<TmpNode>, queue: &Arc<Queue>, name: &[u8]) -> Self {
        QueueFile { node: Arc::clone(node), queue: Arc::clone(queue), name: name.to_vec() }
    }

    /// The queue of an open file, if it is one.
    #[must_use]
    pub fn of(file: &OpenFile) -> Option<&QueueFile> {
        file.file.own().and_then(<dyn Any>::downcast_ref)
    }
}

impl File for QueueFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        Ok(read_text(self.queue.text().as_bytes(), into, offset))
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn ready(&self) -> Ready {
        let count = self.queue.count();
        let mut ready = Ready::empty();
        ready.set(Ready::IN | Ready::RDNORM, count > 0);
        ready.set(Ready::OUT | Ready::WRNORM, count < self.queue.most);
        ready
    }

    fn watch(&self, waiter: &Arc<Waiter>) {
        self.queue.changed.join(waiter);
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        self.node.attributes()
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn label(&self) -> Option<String> {
        Some(format!("/{}", String::from_utf8_lossy(&self.name)))
    }
}

/// Whoever closes any descriptor of a queue is told of its messages no more.
pub(super) fn closed(file: &OpenFile, table: &FileTable) {
    if let Some(file) = QueueFile::of(file) {
        forget(&file.queue, std::ptr::from_ref(table).addr());
    }
}

/// Takes a registration back; the C library's thread is told so.
pub fn forget(queue: &Queue, table: usize) {
    const REMOVED: u8 = 2;
    if let Some(Registration { how: How::Socket(socket, cookie), .. }) = queue.unregister(table)
        && let Body::Netlink(netlink) = &socket.body
    {
        tell(netlink, cookie, REMOVED);
    }
}

/// Puts the bytes that a thread of the C library waits for on its socket.
pub fn tell(netlink: &Netlink, mut cookie: [u8; 32], state: u8) {
    if let Some(last) = cookie.last_mut() {
        *last = state;
    }
    let from = Some(Netlink::kernel());
    let mut packet = Packet { bytes: cookie.to_vec(), from, ..Packet::default() };
    // Whoever lets his socket fill up is not told, as on Linux.
    let _ = netlink.inbox.push(&mut packet, false);
}
