//! Which datagrams come into an inbox.

use std::sync::Arc;

use crate::net::Filter;
use crate::task::waiter::lock;

use super::{Inbox, Packet};

impl Inbox {
    /// Takes a filter of datagrams, or none; whether there was one.
    pub fn set_filter(&self, filter: Option<Arc<Filter>>) -> bool {
        std::mem::replace(&mut lock(&self.state).filter, filter).is_some()
    }

    /// Cuts a datagram as the filter says; false if it is not taken. `header` is what the filter
    /// sees in front of it, and stays whole.
    pub fn admits(&self, packet: &mut Packet, header: impl FnOnce(usize) -> Vec<u8>) -> bool {
        let Some(filter) = lock(&self.state).filter.clone() else { return true };
        let header = header(packet.bytes.len());
        match filter.keeps(&header, &packet.bytes) {
            0 => false,
            kept => {
                packet.bytes.truncate(kept.saturating_sub(header.len()));
                true
            }
        }
    }
}
