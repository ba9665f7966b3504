//! What fsopen(2) and fspick(2) give: a file system that is being set up, or changed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::task::waiter::lock;

use super::super::{Attributes, Entry, File, Node};
use super::Description;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It takes parameters.
    Parameters,
    /// It is made, and waits to be mounted.
    Made,
    /// It is mounted, or was before; it takes parameters to be changed.
    Mounted,
    /// It could not be made.
    Failed,
}

/// What it knows.
#[derive(Debug)]
pub struct ContextState {
    /// How far it is.
    pub stage: Stage,
    /// The root of the mount that is changed.
    pub root: Option<Arc<Entry>>,
    /// What is to be mounted.
    pub source: Option<Vec<u8>>,
    /// Options so far.
    pub options: Vec<Vec<u8>>,
    /// Whether it is to be read only, if that was said.
    pub read_only: Option<bool>,
    /// The file system.
    pub made: Option<(Description, Node)>,
    /// What the caller is told in words.
    messages: VecDeque<String>,
}

/// A file system being set up.
#[derive(Debug)]
pub struct FsContext {
    /// Its type.
    pub kind: String,
    /// What it knows.
    pub state: Mutex<ContextState>,
}

impl FsContext {
    /// Of a new one, or of that which is mounted there.
    #[must_use]
    pub fn new(kind: &str, picked: Option<Arc<Entry>>) -> Self {
        let stage = if picked.is_some() { Stage::Mounted } else { Stage::Parameters };
        let state = ContextState {
            stage,
            root: picked,
            source: None,
            options: Vec::new(),
            read_only: None,
            made: None,
            messages: VecDeque::new(),
        };
        FsContext { kind: kind.to_owned(), state: Mutex::new(state) }
    }
}

impl ContextState {
    /// Says why something failed.
    pub fn complain(&mut self, text: String) {
        /// What is kept.
        const MOST: usize = 8;
        if self.messages.len() >= MOST {
            self.messages.pop_front();
        }
        self.messages.push_back(text);
    }
}

impl File for FsContext {
    fn own(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }

    fn label(&self) -> Option<String> {
        Some("anon_inode:[fscontext]".to_owned())
    }

    fn read(&self, into: &mut [u8], _: u64) -> Result<usize, Errno> {
        let mut state = lock(&self.state);
        let text = state.messages.pop_front().ok_or(Errno::NODATA)?;
        if text.len() > into.len() {
            return Err(Errno::MSGSIZE);
        }
        into.iter_mut().zip(text.as_bytes()).for_each(|(to, from)| *to = *from);
        Ok(text.len())
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(Attributes { mode: 0o600, ..Attributes::default() })
    }
}
