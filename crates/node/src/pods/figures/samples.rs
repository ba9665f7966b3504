//! Processor time between two looks.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::pods::table::locked;
use crate::pods::view::CpuUsage;

/// Shorter intervals tell nothing: the older look stays.
const SHORTEST: u64 = 500_000_000;

/// One look.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: u64,
    used: u64,
    /// What came of the last interval that was long enough.
    rate: Option<u64>,
}

/// The last looks, by pod or container.
#[derive(Debug, Default)]
pub(in crate::pods) struct Samples {
    looks: Mutex<BTreeMap<String, Look>>,
}

impl Samples {
    /// Adds a look; usage with the rate since the one before.
    pub(super) fn look(&self, id: &str, at: u64, used: u64) -> CpuUsage {
        let mut looks = locked(&self.looks);
        let before = looks.get(id).copied();
        let rate = match before {
            Some(before) if at.saturating_sub(before.at) >= SHORTEST => {
                let wall = u128::from(at - before.at);
                let cpu = u128::from(used.saturating_sub(before.used));
                u64::try_from(cpu * 1_000_000_000 / wall).ok()
            }
            Some(before) => before.rate,
            None => None,
        };
        let stays = before.is_some_and(|before| at.saturating_sub(before.at) < SHORTEST);
        if !stays {
            looks.insert(id.to_owned(), Look { at, used, rate });
        }
        CpuUsage { timestamp: at, usage_core_nanos: Some(used), usage_nano_cores: rate, psi: None }
    }

    pub(in crate::pods) fn forget(&self, id: &str) {
        locked(&self.looks).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_core() {
        let samples = Samples::default();
        let second = 1_000_000_000;
        assert_eq!(samples.look("c", second, 0).usage_nano_cores, None);
        assert_eq!(samples.look("c", 3 * second, second).usage_nano_cores, Some(second / 2));
        // Too soon: the old rate, and the old look.
        assert_eq!(samples.look("c", 3 * second + 1, second).usage_nano_cores, Some(second / 2));
        assert_eq!(samples.look("c", 4 * second, 2 * second).usage_nano_cores, Some(second));
        samples.forget("c");
        assert_eq!(samples.look("c", 5 * second, 0).usage_nano_cores, None);
    }
}
