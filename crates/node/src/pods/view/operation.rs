//! Operations that run.

/// An operation that runs now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OperationView {
    /// What is done, such as `run pod`.
    pub operation: &'static str,
    /// On what: uid and attempt, or an id.
    pub key: String,
    /// The step that runs.
    pub step: &'static str,
    /// How long the step has run, milliseconds.
    pub step_ms: u64,
    /// How long it may run, milliseconds.
    pub limit_ms: u64,
    /// How long the whole has run, milliseconds.
    pub total_ms: u64,
    /// How many callers wait for it.
    pub waiters: u32,
}
