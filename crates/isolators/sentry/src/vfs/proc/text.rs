//! Open files of procfs: texts, most of them made anew for who reads from their beginning, and
//! names as they were when their directory was opened.

use std::sync::Mutex;

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::super::texts::read_text;
use super::super::{Attributes, Directory, File, Kind, Listed};

/// Makes a text.
pub(super) type Make = Box<dyn Fn() -> Result<Vec<u8>, Errno> + Send + Sync>;

/// A text.
pub struct TextFile {
    /// As it was read last from its beginning.
    text: Mutex<Option<Vec<u8>>>,
    /// Makes it anew, unless it stays as it was when it was opened.
    make: Option<Make>,
    attributes: Attributes,
}

impl File for TextFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if self.attributes.kind() == Kind::Directory {
            return Err(Errno::ISDIR);
        }
        let mut text = lock(&self.text);
        if let Some(make) = &self.make
            && (offset == 0 || text.is_none())
        {
            *text = Some(make()?);
        }
        Ok(read_text(text.as_deref().unwrap_or_default(), into, offset))
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::PERM)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }
}

impl TextFile {
    /// A text that stays as it is.
    #[must_use]
    pub fn new(text: Vec<u8>, attributes: Attributes) -> Self {
        TextFile { text: Mutex::new(Some(text)), make: None, attributes }
    }

    /// A text that is made whenever it is read from its beginning.
    #[must_use]
    pub(super) fn anew(make: Make, attributes: Attributes) -> Self {
        TextFile { text: Mutex::new(None), make: Some(make), attributes }
    }

    /// An open directory of the kernel's own: it has attributes, no text.
    #[must_use]
    pub fn directory(attributes: Attributes) -> Self {
        TextFile::new(Vec::new(), attributes)
    }
}

/// Names of a directory as they were when it was opened.
pub struct Names {
    names: Vec<(Vec<u8>, Kind)>,
}

impl Names {
    /// These names.
    #[must_use]
    pub fn new(names: Vec<(Vec<u8>, Kind)>) -> Self {
        Names { names }
    }
}

impl Directory for Names {
    fn list(&self, position: u64) -> Result<Vec<Listed>, Errno> {
        let own = [(b".".to_vec(), Kind::Directory), (b"..".to_vec(), Kind::Directory)];
        let all = own.iter().chain(&self.names).zip(1_u64..);
        let skip = usize::try_from(position).unwrap_or(usize::MAX);
        let list = all.skip(skip).map(|((name, kind), next)| Listed {
            next,
            inode: next,
            kind: kind.entry_type(),
            name: name.clone(),
        });
        Ok(list.collect())
    }
}
