//! The OCI state document that hooks read.

use caisson_runtime_spec::{State, Status};

use crate::state::Record;

impl Record {
    /// The state with this status and process.
    pub(crate) fn state(&self, status: Status, pid: i32) -> State {
        State {
            oci_version: caisson_runtime_spec::VERSION.to_owned(),
            id: self.id.clone(),
            status,
            pid,
            bundle: self.bundle.to_string_lossy().into_owned(),
            annotations: self.annotations.clone(),
        }
    }

    /// As JSON.
    pub(crate) fn state_document(&self, status: Status, pid: i32) -> Vec<u8> {
        // The type holds nothing that JSON can't.
        serde_json::to_vec(&self.state(status, pid)).unwrap_or_default()
    }

    /// A document whose process is known later.
    pub(crate) fn state_template(&self, status: Status) -> StateTemplate {
        StateTemplate(self.state(status, 0))
    }
}

/// See [`Record::state_template`].
pub(crate) struct StateTemplate(State);

impl StateTemplate {
    /// As JSON, with this process id.
    pub(crate) fn with_pid(&self, pid: i32) -> Vec<u8> {
        let state = State { pid, ..self.0.clone() };
        serde_json::to_vec(&state).unwrap_or_default()
    }
}
