//! Following what supervisors tell. One thread for all pods.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use caisson_shim::client::Events;
use caisson_shim::{Event, Happening};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::table::locked;
use super::{PodError, Pods, Shared};

/// How long a message that has begun may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the thread is to follow.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Says that `new` has something.
    bell: OwnedFd,
    new: Mutex<Vec<(String, Events)>>,
}

impl Watcher {
    pub(super) fn new() -> Result<Self, PodError> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| PodError::io("make an event counter", e))?;
        Ok(Self { bell, new: Mutex::new(Vec::new()) })
    }

    fn add(&self, pod: &str, events: Events) {
        locked(&self.new).push((pod.to_owned(), events));
        self.ring();
    }

    fn ring(&self) {
        // Full means that it rings already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    fn take(&self) -> Vec<(String, Events)> {
        let mut counter = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut counter[..]);
        std::mem::take(&mut locked(&self.new))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The thread holds us weakly: it finds us gone.
        self.watcher.ring();
    }
}

impl Pods {
    /// Follows a pod from here on; what its containers do now is taken over.
    pub(super) fn follow(&self, pod: &str) -> Result<(), PodError> {
        let (state, events) = self.shim(pod)?.subscribe()?;
        for container in &state.containers {
            self.take_over(container);
        }
        self.shared.watcher.add(pod, events);
        Ok(())
    }

    /// Starts the thread. It ends with the last [`Pods`].
    pub(super) fn start_watching(&self) -> Result<(), PodError> {
        let weak = std::sync::Arc::downgrade(&self.shared);
        let bell = self
            .shared
            .watcher
            .bell
            .try_clone()
            .map_err(|e| PodError::io("copy an event counter", e))?;
        std::thread::Builder::new()
            .name("pods".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || watch(&weak, &bell))
            .map(drop)
            .map_err(|e| PodError::io("start a thread", e))
    }

    fn happened(&self, event: &Event) {
        let Ok(container) = self.table().container(&event.container) else {
            // The built-in init, or one that is just being made.
            return;
        };
        match &event.what {
            Happening::Started { .. } => self.note_started(&container, event.at),
            Happening::Exited { exit, restarts: false } => self.note_exit(&container, exit),
            Happening::Oom => self.note_oom(&container),
            _ => {}
        }
    }
}

/// One turn after the other until the engine is gone.
fn watch(weak: &Weak<Shared>, bell: &OwnedFd) {
    let mut streams: BTreeMap<String, Events> = BTreeMap::new();
    loop {
        let ready: Vec<String> = {
            let mut wanted = vec![PollFd::from_borrowed_fd(bell.as_fd(), PollFlags::IN)];
            let names: Vec<&String> = streams.keys().collect();
            wanted.extend(
                streams
                    .values()
                    .map(|events| PollFd::from_borrowed_fd(events.as_fd(), PollFlags::IN)),
            );
            if poll(&mut wanted, None).is_err() {
                // Interrupted: the next turn tells.
                continue;
            }
            let fired = wanted.iter().skip(1).zip(names);
            fired.filter(|(fd, _)| !fd.revents().is_empty()).map(|(_, n)| n.clone()).collect()
        };
        let Some(shared) = weak.upgrade() else { return };
        let pods = Pods { shared };
        for pod in ready {
            let ended = match streams.get_mut(&pod) {
                Some(events) => !read(&pods, events),
                None => false,
            };
            if ended {
                streams.remove(&pod);
                pods.supervisor_left(&pod);
            }
        }
        streams.extend(pods.shared.watcher.take());
    }
}

/// Takes all that has come; false at the end of the stream.
fn read(pods: &Pods, events: &mut Events) -> bool {
    match events.next(Some(PATIENCE)) {
        Ok(Some(event)) => pods.happened(&event),
        Ok(None) | Err(_) => return false,
    }
    loop {
        match events.take() {
            Ok(Some(event)) => pods.happened(&event),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}
