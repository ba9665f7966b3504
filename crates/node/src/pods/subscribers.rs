//! Who wants to know what happens.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::Pods;
use super::table::locked;
use super::view::{PodEvent, PodEventKind};
use crate::clock::now_nanos;

/// How many events wait for a subscriber that does not read.
const WAITING: usize = 1024;

/// The subscribers.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    list: Mutex<Vec<SyncSender<PodEvent>>>,
}

impl Subscribers {
    fn subscribe(&self) -> Receiver<PodEvent> {
        let (sender, receiver) = sync_channel(WAITING);
        locked(&self.list).push(sender);
        receiver
    }

    fn is_empty(&self) -> bool {
        locked(&self.list).is_empty()
    }

    /// One that does not read loses what there is no room for; one that has
    /// left is forgotten.
    fn tell(&self, event: &PodEvent) {
        locked(&self.list).retain(|sender| {
            !matches!(sender.try_send(event.clone()), Err(TrySendError::Disconnected(_)))
        });
    }
}

impl Pods {
    /// Everything that happens from here on. Of a receiver that does not read,
    /// 1024 events wait; what comes then is lost to it.
    #[must_use]
    pub fn events(&self) -> Receiver<PodEvent> {
        self.shared.subscribers.subscribe()
    }

    /// Tells what happened to a container, or with `container` being its own id
    /// to a pod.
    pub(super) fn tell(&self, kind: PodEventKind, pod: &str, container: &str) {
        if self.shared.subscribers.is_empty() {
            return;
        }
        let pod = self.pod_status(pod, false).ok();
        let containers = pod.as_ref().map(|pod| pod.containers.clone()).unwrap_or_default();
        self.shared.subscribers.tell(&PodEvent {
            id: container.to_owned(),
            kind,
            time: now_nanos(),
            pod,
            containers,
        });
    }
}
