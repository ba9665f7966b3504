//! What happens in a pod.

use serde::{Deserialize, Serialize};

use crate::{ExecExit, ExitRecord};

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The container.
    pub container: String,
    /// When, in nanoseconds since 1970.
    pub at: u64,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    /// It was made, or made again.
    Created {
        /// Its first process.
        pid: i32,
    },
    /// Its program was executed.
    Started {
        /// Its first process.
        pid: i32,
    },
    /// It was frozen.
    Paused,
    /// It was thawed.
    Resumed,
    /// The kernel's out-of-memory killer struck in it.
    Oom,
    /// A program was executed in it.
    ExecStarted {
        /// As [`crate::Started::exec`].
        exec: u64,
        /// The process.
        pid: i32,
    },
    /// A program that was executed in it has ended.
    ExecExited {
        /// As [`crate::Started::exec`].
        exec: u64,
        /// How.
        exit: ExecExit,
    },
    /// It has ended, and nothing of it is left but its root file system.
    Exited {
        /// How.
        exit: ExitRecord,
        /// Whether it is going to be made again, by its restart policy.
        restarts: bool,
    },
    /// The supervisor has forgotten it.
    Removed,
}
