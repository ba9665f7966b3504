//! A descriptor that nobody sees until what it stands for is there.

use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::{FileTable, OpenFile};

/// A number that is kept free in a table. Without [`Self::keep`] it is free again once this goes.
#[derive(Debug)]
pub struct Promised {
    /// It may have ended before anybody came.
    files: Weak<FileTable>,
    number: u32,
    file: Mutex<Option<Arc<OpenFile>>>,
}

impl Promised {
    /// The lowest free number of a table, which is to be closed on exec.
    ///
    /// # Errors
    /// `EMFILE`
    pub fn new(files: &Arc<FileTable>, file: Arc<OpenFile>) -> Result<Arc<Self>, Errno> {
        let number = files.reserve()?;
        Ok(Arc::new(Promised {
            files: Arc::downgrade(files),
            number,
            file: Mutex::new(Some(file)),
        }))
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// From here on the file is there, if it is not yet.
    pub fn keep(&self) {
        self.end(true);
    }

    fn end(&self, there: bool) {
        let file = lock(&self.file).take();
        if let (Some(file), Some(files)) = (file, self.files.upgrade()) {
            files.end_reservation(self.number, there.then_some(file));
        }
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        self.end(false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EventFd, status};
    use super::*;

    #[test]
    fn nobody_sees_or_takes_what_is_promised() {
        let file = || OpenFile::stream(Box::new(EventFd::new(0, false)), status::READ_WRITE);
        let files = FileTable::empty();
        assert_eq!(files.add(file(), 0, false), Ok(0));
        let promised = Promised::new(&files, file()).unwrap();
        assert_eq!(promised.number(), 1);
        assert!(files.get(1).is_err() && files.remove(1).is_err());
        assert_eq!(files.put(1, file(), false), Err(Errno::BUSY));
        assert_eq!(files.add(file(), 0, false), Ok(2));
        assert!(files.copy().get(1).is_err());
        drop(promised);
        let promised = Promised::new(&files, file()).unwrap();
        assert_eq!(promised.number(), 1);
        promised.keep();
        drop(promised);
        assert!(files.get(1).is_ok() && files.close_on_exec(1) == Ok(true));
        assert_eq!(files.add(file(), 0, false), Ok(3));
    }
}
