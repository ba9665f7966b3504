//! What a file gives to who executes it goes when it is written.

use crate::syscalls::Call;
use crate::task::waiter::lock;

use super::{Node, OpenFile};

impl OpenFile {
    /// Before it is written or cut. Of files of the host's the host sees to that.
    pub fn disarm(&self, call: &Call<'_>) {
        let who = || lock(&call.thread.credentials).clone();
        match self.entry.as_ref().map(|entry| &entry.node) {
            Some(Node::Tmp(node)) => node.disarm(who),
            Some(Node::Overlay(node)) => node.disarm(who),
            _ => {}
        }
    }
}
