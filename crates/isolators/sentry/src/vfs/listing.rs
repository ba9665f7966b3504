//! Names in directories, as they are listed.

use rustix::io::Errno;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where the next listing begins.
    pub next: u64,
    /// Its inode number.
    pub inode: u64,
    /// `d_type`
    pub kind: u8,
    /// Its name.
    pub name: Vec<u8>,
}

/// What getdents64(2) needs.
pub trait Directory: Send + Sync {
    /// Names from a position on; an empty list at the end.
    ///
    /// # Errors
    /// What the host says.
    fn list(&self, position: u64) -> Result<Vec<Listed>, Errno>;
}
