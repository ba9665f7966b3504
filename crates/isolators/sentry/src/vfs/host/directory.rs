//! The names in a directory of the host's.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::fs::{RawDir, SeekFrom};
use rustix::io::Errno;

use crate::task::waiter::lock;

use super::super::{Directory, Kind, Listed};
use super::HostNode;
use super::names::{MOST_NAMES, Names};

/// The names in an open directory. Its descriptor may be others' too, so it is moved and read
/// under a lock.
#[derive(Debug)]
pub(in super::super) struct HostDirectory {
    node: Arc<HostNode>,
    fd: Arc<OwnedFd>,
    pass: Mutex<Pass>,
    /// Names that are only there to be mounted on: they come last.
    points: Vec<(Vec<u8>, Kind)>,
}

/// What the listing that is going on reads from: positions of one mean nothing to the other.
#[derive(Debug, Default)]
enum Pass {
    #[default]
    None,
    Host,
    Kept(Arc<Mutex<Names>>),
}

/// Positions from here on are those of such names; the host's are not negative.
const POINTS: u64 = 1 << 63;

impl HostDirectory {
    /// Of a directory that is open.
    #[must_use]
    pub(in super::super) fn new(
        node: &Arc<HostNode>,
        fd: Arc<OwnedFd>,
        points: Vec<(Vec<u8>, Kind)>,
    ) -> Self {
        HostDirectory { node: Arc::clone(node), fd, pass: Mutex::default(), points }
    }

    /// One filling of a buffer with what the host has from a position on.
    fn ask(&self, position: u64) -> Result<Vec<Listed>, Errno> {
        let _alone = lock(&self.node.reading);
        rustix::fs::seek(&*self.fd, SeekFrom::Start(position))?;
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut names = Vec::new();
        let mut listing = RawDir::new(self.fd.as_fd(), buffer.spare_capacity_mut());
        while let Some(entry) = listing.next() {
            let entry = entry?;
            names.push(Listed {
                next: entry.next_entry_cookie(),
                inode: entry.ino(),
                kind: entry_type(entry.file_type()),
                name: entry.file_name().to_bytes().to_vec(),
            });
            if listing.is_buffer_empty() {
                break;
            }
        }
        Ok(names)
    }

    fn all(&self) -> Result<Option<Names>, Errno> {
        let mut all = Names::default();
        let mut position = 0;
        loop {
            let part = self.ask(position)?;
            let Some(last) = part.last() else { return Ok(Some(all)) };
            position = last.next;
            part.iter().for_each(|listed| all.add(&listed.name, listed.kind, listed.inode));
            if all.count() > MOST_NAMES {
                return Ok(None);
            }
        }
    }
}

impl Directory for HostDirectory {
    fn list(&self, position: u64) -> Result<Vec<Listed>, Errno> {
        let passed = position.checked_sub(POINTS);
        let mut names = Vec::new();
        if passed.is_none() {
            let mut pass = lock(&self.pass);
            if position == 0 || matches!(*pass, Pass::None) {
                let kept = match (self.node.is_shared(), position) {
                    (true, _) => None,
                    (false, 0) => self.node.names(|| self.all())?,
                    // Where another descriptor's listing stopped.
                    (false, _) => self.node.known_names(),
                };
                *pass = kept.map_or(Pass::Host, Pass::Kept);
            }
            names = match &*pass {
                Pass::Kept(all) => lock(all).page(position),
                _ => self.ask(position)?,
            };
        }
        if names.is_empty() {
            let passed = passed.unwrap_or(0);
            let skip = usize::try_from(passed).unwrap_or(usize::MAX);
            let rest = self.points.iter().zip(POINTS + 1..).skip(skip);
            names.extend(rest.map(|((name, kind), next)| Listed {
                next,
                inode: 1,
                kind: kind.entry_type(),
                name: name.clone(),
            }));
        }
        Ok(names)
    }
}

fn entry_type(kind: rustix::fs::FileType) -> u8 {
    u8::try_from(kind.as_raw_mode() >> 12).unwrap_or(0)
}
