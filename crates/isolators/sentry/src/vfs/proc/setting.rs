//! A setting of a network, open to be written below `/proc/sys/net`.

use std::sync::Arc;

use rustix::io::Errno;

use crate::net::Network;
use crate::task::Credentials;

use super::super::texts::read_text;
use super::super::{Attributes, File};
use super::sys;

/// Most bytes of a value.
const MOST: usize = 64;

/// One of a network that a program has made.
pub(super) struct SettingFile {
    pub(super) network: Arc<Network>,
    pub(super) path: String,
    /// Who has opened it.
    pub(super) who: Credentials,
    pub(super) attributes: Attributes,
}

impl File for SettingFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let text = sys::of_network(&self.network, &self.path, &self.who);
        Ok(read_text(&text, into, offset))
    }

    fn write(&self, from: &[u8], offset: u64, _: bool) -> Result<usize, Errno> {
        // As Linux: what comes later than the first piece is of no effect.
        if offset > 0 || from.is_empty() {
            return Ok(from.len());
        }
        let value = from.get(..from.len().min(MOST)).unwrap_or_default();
        self.network.settings.set(&self.path, value, &self.who)
    }

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }

    fn truncate(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}
