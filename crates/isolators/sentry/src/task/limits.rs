//! Resource limits of a process.

/// Numbers of `RLIMIT_*`.
pub mod resource {
    #![allow(missing_docs, reason = "names of getrlimit(2)")]
    pub const CPU: u32 = 0;
    pub const FSIZE: u32 = 1;
    pub const DATA: u32 = 2;
    pub const STACK: u32 = 3;
    pub const CORE: u32 = 4;
    pub const NPROC: u32 = 6;
    pub const NOFILE: u32 = 7;
    pub const MEMLOCK: u32 = 8;
    pub const AS: u32 = 9;
    pub const SIGPENDING: u32 = 11;
    pub const MSGQUEUE: u32 = 12;
    pub const NICE: u32 = 13;
    pub const RTPRIO: u32 = 14;
}

/// Without limit.
pub const INFINITY: u64 = u64::MAX;
/// Descriptors that a process may have at most: the sentry's own stand behind some.
pub const MOST_FILES: u64 = 16_384;

/// Soft and hard limits, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    all: [(u64, u64); 16],
}

impl Default for Limits {
    fn default() -> Self {
        let mut limits = Limits { all: [(INFINITY, INFINITY); 16] };
        for (which, soft, hard) in [
            (resource::STACK, 8 << 20, INFINITY),
            (resource::CORE, 0, INFINITY),
            (resource::NOFILE, crate::vfs::LIMIT.into(), MOST_FILES),
            (resource::MEMLOCK, 8 << 20, 8 << 20),
            (resource::SIGPENDING, 16_384, 16_384),
            (resource::MSGQUEUE, 819_200, 819_200),
            (resource::NICE, 0, 0),
            (resource::RTPRIO, 0, 0),
        ] {
            limits.set(which, (soft, hard));
        }
        limits
    }
}

impl Limits {
    /// Soft and hard limit; `None` if there is no such resource.
    #[must_use]
    pub fn get(&self, which: u32) -> Option<(u64, u64)> {
        usize::try_from(which).ok().and_then(|which| self.all.get(which)).copied()
    }

    /// The soft limit.
    #[must_use]
    pub fn soft(&self, which: u32) -> u64 {
        self.get(which).map_or(INFINITY, |(soft, _)| soft)
    }

    /// Sets both.
    pub fn set(&mut self, which: u32, limit: (u64, u64)) {
        let place = usize::try_from(which).ok().and_then(|which| self.all.get_mut(which));
        if let Some(place) = place {
            *place = limit;
        }
    }
}
