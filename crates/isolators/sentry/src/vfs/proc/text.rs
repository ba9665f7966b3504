//! Open files of procfs: texts and names as they were when they were opened.

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::waiter::Waiter;

use super::super::{Attributes, Directory, File, Kind, Listed, Ready};

/// A text as it was when the file was opened.
pub struct TextFile {
    text: Vec<u8>,
    attributes: Attributes,
}

impl File for TextFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if self.attributes.kind() == Kind::Directory {
            return Err(Errno::ISDIR);
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.text.len());
        let part = self.text.get(start..).unwrap_or_default();
        let count = part.len().min(into.len());
        for (to, from) in into.iter_mut().zip(part) {
            *to = *from;
        }
        Ok(count)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::PERM)
    }

    fn ready(&self) -> Ready {
        Ready::IN | Ready::OUT
    }

    fn watch(&self, _: &Arc<Waiter>) {}

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }
}

impl TextFile {
    /// A text.
    #[must_use]
    pub fn new(text: Vec<u8>, attributes: Attributes) -> Self {
        TextFile { text, attributes }
    }

    /// An open directory of the kernel's own: it has attributes, no text.
    #[must_use]
    pub fn directory(attributes: Attributes) -> Self {
        TextFile { text: Vec::new(), attributes }
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
