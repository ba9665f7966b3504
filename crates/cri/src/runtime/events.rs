//! The stream of events.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use caisson_node::pods::Pods;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::images::Parts;
use crate::{show, v1};

/// Events that wait for a client that reads slowly. The engine keeps more, and
/// drops the oldest.
const WAITING: usize = 256;
/// How often a thread looks whether its client is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Events from now on, until the client goes.
pub(super) fn events(pods: &Pods) -> Parts<v1::ContainerEventResponse> {
    let events = pods.events();
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        while !sender.is_closed() {
            match events.recv_timeout(LOOK) {
                Ok(event) => {
                    if sender.blocking_send(Ok(show::event(&event))).is_err() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}
