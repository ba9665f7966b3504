//! The stream of events.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use caisson_node::pods::Pods;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::images::Parts;
use crate::{show, v1};

/// Events that wait for a client that reads slowly. The engine keeps more, and
/// drops the oldest.
const WAITING: usize = 256;
/// How often a thread looks whether its client, and the daemon, go on.
const LOOK: Duration = Duration::from_millis(500);

/// Events from now on, until the client goes or the daemon stops.
pub(super) fn events(
    pods: &Pods,
    stopping: watch::Receiver<bool>,
) -> Parts<v1::ContainerEventResponse> {
    let events = pods.events();
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        while !sender.is_closed() && !*stopping.borrow() {
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
