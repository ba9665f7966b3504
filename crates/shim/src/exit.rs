//! How containers and processes ended.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How a container ended, as kept in `exit/<its id>`. Times are nanoseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// As a shell reports it: 128 plus the signal if one ended it.
    pub code: u8,
    /// The signal that ended it.
    pub signal: Option<u8>,
    /// Whether the kernel's out-of-memory killer struck in it.
    pub oom: bool,
    /// When the last run was started; `None` if it never was.
    pub started_at: Option<u64>,
    /// When it ended.
    pub finished_at: u64,
    /// How often it was run again.
    pub restarts: u32,
    /// Whether it ended because somebody asked for it.
    pub stopped: bool,
    /// Why it never ran, or why its end is not known.
    pub error: Option<String>,
}

impl ExitRecord {
    /// The code of a container whose supervisor was lost.
    pub const LOST: u8 = 137;

    /// A record for a container whose supervisor was lost.
    #[must_use]
    pub fn lost(why: &str) -> Self {
        Self {
            code: Self::LOST,
            finished_at: now_nanos(),
            error: Some(why.to_owned()),
            ..Self::default()
        }
    }
}

/// How a process that `exec` started ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecExit {
    /// As [`ExitRecord::code`].
    pub code: u8,
    /// As [`ExitRecord::signal`].
    pub signal: Option<u8>,
    /// As [`ExitRecord::finished_at`].
    pub finished_at: u64,
}

/// Now, in nanoseconds since 1970.
#[must_use]
pub fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
