//! Files without a name on a disk of the host's, in which the sentry keeps what programs write
//! to an overlay.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::line::{Line, ended};
use super::{BrokerClient, Operation, Request};
use crate::platform::random;

/// How names begin that such a file has for a moment, where the host can't make one without.
const NAME: &[u8] = b".caisson-store-";

/// Whether a file of the host's has a name of that kind.
#[must_use]
pub(in super::super) fn is_name(name: &[u8]) -> bool {
    name.starts_with(NAME)
}

/// Asks a broker for such files.
#[derive(Debug)]
pub struct StoreMaker {
    line: Arc<Line>,
    /// The directory; `None`: the one that the broker was given for them.
    directory: Option<OwnedFd>,
}

impl BrokerClient {
    /// Who makes files without a name in a directory; in the one that the broker was given for
    /// that, if this is `None`.
    #[must_use]
    pub fn store_maker(&self, directory: Option<OwnedFd>) -> StoreMaker {
        StoreMaker { line: Arc::clone(&self.line), directory }
    }
}

impl StoreMaker {
    /// A new file, open for reading and writing, which is gone when nobody has it open.
    ///
    /// # Errors
    /// As open(2); `EXDEV` if the broker was given no directory.
    pub fn make(&self) -> Result<OwnedFd, Errno> {
        let mut number = [0; 16];
        if !random(&mut number) {
            return Err(Errno::IO);
        }
        let number = format!("{:032x}", u128::from_le_bytes(number));
        let first = [NAME, number.as_bytes()].concat();
        let operation = Operation::CreateStored as u8;
        let with = self.directory.as_ref().map(AsFd::as_fd);
        // Its own broker alone: any other would make the file for another container.
        let request = Request { operation, first, ..Request::default() };
        let answer = self.line.talk(&request, with.as_slice(), 0).map_err(ended)?;
        let (_, mut made) = answer.ok_or(Errno::XDEV)?;
        made.pop().ok_or(Errno::MFILE)
    }
}

/// Makes one in a directory; `own` is `/proc/self/fd`. By this name, which it loses at once, if
/// the file system can't do without.
pub(super) fn create(own: &OwnedFd, directory: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    // Nobody can give it a name, not even who has its descriptor.
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    let again = directory.as_raw_fd().to_string();
    match rustix::fs::openat(own, again, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::ISDIR) => create_named(directory, name),
        made => made,
    }
}

fn create_named(directory: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    if !is_name(name) {
        return Err(Errno::INVAL);
    }
    let name = super::names::component(name)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW;
    let file = super::names::beneath(directory, name, flags, 0o600)?;
    rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_a_name_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let directory = rustix::fs::open(folder.path(), flags, Mode::empty()).unwrap();
        let own = rustix::fs::open("/proc/self/fd", flags, Mode::empty()).unwrap();
        let name = [NAME, b"1"].concat();
        for made in [create_named(&directory, &name), create(&own, &directory, &name)] {
            let made = made.unwrap();
            assert_eq!(rustix::io::pwrite(&made, b"text", 1 << 30), Ok(4));
            assert_eq!(rustix::fs::fstat(&made).unwrap().st_nlink, 0);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
        assert_eq!(create_named(&directory, b"other").err(), Some(Errno::INVAL));
    }
}
