//! What the engine knows of pods and containers, in memory.
//!
//! The database has the same; this is what lists and statuses are read from.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::PodError;
use super::request::{PodContainerRequest, PodRequest};
use super::view::{ContainerState, ContainerSummary, PodState, PodSummary};
use crate::metadata::{Phase, PodContainerRecord, PodPhase, PodRecord};

/// A pod.
#[derive(Debug)]
pub(super) struct PodEntry {
    pub(super) id: String,
    pub(super) live: Mutex<PodLive>,
    /// Held to write by who stops or removes it, to read by who makes or starts
    /// containers in it.
    pub(super) gate: RwLock<()>,
    /// Held by who makes its built-in init.
    pub(super) init: Mutex<()>,
}

/// What changes of a pod.
#[derive(Debug)]
pub(super) struct PodLive {
    pub(super) record: PodRecord,
    /// That of the record.
    pub(super) request: Arc<PodRequest>,
}

/// A container.
#[derive(Debug)]
pub(super) struct ContainerEntry {
    pub(super) id: String,
    pub(super) pod: String,
    pub(super) live: Mutex<ContainerLive>,
    /// Held by who starts or removes it.
    pub(super) gate: Mutex<()>,
}

/// What changes of a container.
#[derive(Debug)]
pub(super) struct ContainerLive {
    pub(super) record: PodContainerRecord,
    /// That of the record.
    pub(super) request: Arc<PodContainerRequest>,
}

/// Locks that outlive a panic: what they guard is whole after each statement.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PodEntry {
    pub(super) fn new(record: PodRecord) -> Arc<Self> {
        let request = Arc::new(record.document.request.clone());
        Arc::new(Self {
            id: record.id.clone(),
            live: Mutex::new(PodLive { record, request }),
            gate: RwLock::new(()),
            init: Mutex::new(()),
        })
    }

    pub(super) fn live(&self) -> MutexGuard<'_, PodLive> {
        locked(&self.live)
    }

    pub(super) fn phase(&self) -> PodPhase {
        self.live().record.phase
    }

    pub(super) fn request(&self) -> Arc<PodRequest> {
        Arc::clone(&self.live().request)
    }

    pub(super) fn read_gate(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write_gate(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn summary(&self) -> PodSummary {
        let live = self.live();
        PodSummary {
            id: self.id.clone(),
            request: Arc::clone(&live.request),
            state: match live.record.phase {
                PodPhase::Ready => PodState::Ready,
                _ => PodState::NotReady,
            },
            created_at: live.record.created,
        }
    }
}

impl ContainerEntry {
    pub(super) fn new(record: PodContainerRecord) -> Arc<Self> {
        let request = Arc::new(record.document.request.clone());
        Arc::new(Self {
            id: record.id.clone(),
            pod: record.pod.clone(),
            live: Mutex::new(ContainerLive { record, request }),
            gate: Mutex::new(()),
        })
    }

    pub(super) fn live(&self) -> MutexGuard<'_, ContainerLive> {
        locked(&self.live)
    }

    pub(super) fn phase(&self) -> Phase {
        self.live().record.phase
    }

    pub(super) fn summary(&self) -> ContainerSummary {
        let live = self.live();
        ContainerSummary {
            id: self.id.clone(),
            pod: self.pod.clone(),
            request: Arc::clone(&live.request),
            image_id: live.record.document.image.to_string(),
            image_ref: live.record.document.image_ref.clone(),
            state: state(live.record.phase),
            created_at: live.record.created,
        }
    }
}

/// What a phase is to those who ask.
pub(super) fn state(phase: Phase) -> ContainerState {
    match phase {
        Phase::Creating | Phase::Created => ContainerState::Created,
        Phase::Running => ContainerState::Running,
        Phase::Exited => ContainerState::Exited,
        Phase::Removing => ContainerState::Unknown,
    }
}

/// All of them. What is being made is not in it.
#[derive(Debug, Default)]
pub(super) struct Table {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pods: BTreeMap<String, Arc<PodEntry>>,
    containers: BTreeMap<String, Arc<ContainerEntry>>,
}

/// The entry whose key is `id`, or the only one whose key starts so.
fn find<V: Clone>(map: &BTreeMap<String, V>, id: &str) -> Result<Option<V>, PodError> {
    if id.is_empty() {
        return Ok(None);
    }
    if let Some(entry) = map.get(id) {
        return Ok(Some(entry.clone()));
    }
    let mut rest = map
        .range::<str, _>((Bound::Included(id), Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(id));
    match (rest.next(), rest.next()) {
        (Some((_, only)), None) => Ok(Some(only.clone())),
        (None, _) => Ok(None),
        _ => Err(PodError::Ambiguous(id.to_owned())),
    }
}

impl Table {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_pod(&self, pod: Arc<PodEntry>) {
        self.write().pods.insert(pod.id.clone(), pod);
    }

    pub(super) fn add_container(&self, container: Arc<ContainerEntry>) {
        self.write().containers.insert(container.id.clone(), container);
    }

    pub(super) fn drop_pod(&self, id: &str) {
        self.write().pods.remove(id);
    }

    pub(super) fn drop_container(&self, id: &str) {
        self.write().containers.remove(id);
    }

    /// The pod of this id, or whose id starts so.
    pub(super) fn pod(&self, id: &str) -> Result<Arc<PodEntry>, PodError> {
        find(&self.read().pods, id)?.ok_or_else(|| PodError::NoPod(id.to_owned()))
    }

    /// The container of this id, or whose id starts so.
    pub(super) fn container(&self, id: &str) -> Result<Arc<ContainerEntry>, PodError> {
        find(&self.read().containers, id)?.ok_or_else(|| PodError::NoContainer(id.to_owned()))
    }

    pub(super) fn pods(&self) -> Vec<Arc<PodEntry>> {
        self.read().pods.values().cloned().collect()
    }

    pub(super) fn containers(&self) -> Vec<Arc<ContainerEntry>> {
        self.read().containers.values().cloned().collect()
    }

    /// The containers of one pod, the oldest first.
    pub(super) fn containers_of(&self, pod: &str) -> Vec<Arc<ContainerEntry>> {
        let mut list: Vec<Arc<ContainerEntry>> =
            self.read().containers.values().filter(|c| c.pod == pod).cloned().collect();
        list.sort_by_key(|container| container.live().record.created);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_an_id_is_enough_if_there_is_one_only() {
        let map: BTreeMap<String, u32> =
            [("abc", 1), ("abd", 2), ("b", 3)].map(|(key, value)| (key.to_owned(), value)).into();
        assert_eq!(find(&map, "abc").unwrap(), Some(1));
        assert_eq!(find(&map, "b").unwrap(), Some(3));
        assert_eq!(find(&map, "c").unwrap(), None);
        assert_eq!(find(&map, "").unwrap(), None);
        assert!(matches!(find(&map, "ab"), Err(PodError::Ambiguous(_))));
    }
}
