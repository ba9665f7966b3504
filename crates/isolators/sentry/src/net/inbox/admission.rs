//! Which datagrams come into an inbox.

use std::sync::Arc;

use rustix::io::Errno;

use crate::net::Filter;
use crate::task::waiter::lock;

use super::{Inbox, Packet};

impl Inbox {
    /// Takes a filter of datagrams, or none; whether there was one.
    pub fn set_filter(&self, filter: Option<Arc<Filter>>) -> bool {
        std::mem::replace(&mut lock(&self.state).filter, filter).is_some()
    }

    /// Adds a datagram, or as much of it as the filter says: one that is not taken is gone.
    /// `header` is what the filter sees in front of it, and stays whole.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn put(
        &self,
        packet: &mut Packet,
        header: impl FnOnce(usize) -> Vec<u8>,
    ) -> Result<(), Errno> {
        let state = lock(&self.state);
        let Some(filter) = state.filter.clone() else { return self.add(state, packet, false) };
        drop(state);
        let header = header(packet.bytes.len());
        match filter.keeps(&header, &packet.bytes) {
            0 => {
                *packet = Packet::default();
                Ok(())
            }
            kept => {
                packet.bytes.truncate(kept.saturating_sub(header.len()));
                self.push(packet, false)
            }
        }
    }
}
