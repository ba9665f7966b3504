//! What a container's cgroup is limited to, as far as programs are told of it. That the
//! limits hold is the host's work.

use std::sync::Mutex;

use caisson_runtime_spec::Resources;

use crate::task::waiter::lock;

const PAGE: u64 = 4096;
/// cgroup(7): a period without a given one.
const PERIOD: u64 = 100_000;

/// The limits of a container, which `update` changes.
#[derive(Debug, Default)]
pub struct Limits(Mutex<Resources>);

impl Limits {
    /// Takes over what is given; what is not stays as it was.
    pub fn update(&self, given: &Resources) {
        let mut own = lock(&self.0);
        if let Some(memory) = &given.memory {
            let to = own.memory.get_or_insert_default();
            to.limit = memory.limit.or(to.limit);
            to.swap = memory.swap.or(to.swap);
        }
        if let Some(cpu) = &given.cpu {
            let to = own.cpu.get_or_insert_default();
            to.quota = cpu.quota.or(to.quota);
            to.period = cpu.period.filter(|period| *period > 0).or(to.period);
            to.shares = cpu.shares.filter(|shares| *shares > 0).or(to.shares);
        }
        if let Some(pids) = &given.pids {
            let to = own.pids.get_or_insert_default();
            to.limit = pids.limit.or(to.limit);
        }
    }

    fn of<T>(&self, what: impl FnOnce(&Resources) -> Option<T>) -> Option<T> {
        what(&lock(&self.0))
    }

    /// Bytes of memory, in whole pages.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.of(|own| positive(own.memory.as_ref()?.limit?)).map(|limit| limit / PAGE * PAGE)
    }

    /// Bytes of swap: the configuration tells of memory and swap together.
    #[must_use]
    pub fn swap(&self) -> Option<u64> {
        let both = self.of(|own| positive(own.memory.as_ref()?.swap?))?;
        Some(both.saturating_sub(self.memory()?) / PAGE * PAGE)
    }

    /// Number of tasks.
    #[must_use]
    pub fn tasks(&self) -> Option<u64> {
        self.of(|own| positive(own.pids.as_ref()?.limit?))
    }

    /// Processor time in each period, if it is limited, and the period, in microseconds.
    #[must_use]
    pub fn processor(&self) -> (Option<u64>, u64) {
        let quota = self.of(|own| positive(own.cpu.as_ref()?.quota?));
        (quota, self.of(|own| own.cpu.as_ref()?.period).unwrap_or(PERIOD))
    }

    /// Share of the processors beside others, in the scale of cgroup v1.
    #[must_use]
    pub fn shares(&self) -> Option<u64> {
        self.of(|own| own.cpu.as_ref()?.shares)
    }
}

fn positive(limit: i64) -> Option<u64> {
    u64::try_from(limit).ok().filter(|limit| *limit > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays() {
        let limits = Limits::default();
        let update = |text: &str| limits.update(&serde_json::from_str(text).unwrap());
        assert_eq!((limits.memory(), limits.processor()), (None, (None, 100_000)));
        update(r#"{"memory":{"limit":5000,"swap":13192},"cpu":{"quota":500,"shares":3}}"#);
        update(r#"{"cpu":{"period":1000},"pids":{"limit":7}}"#);
        assert_eq!(
            (limits.memory(), limits.swap(), limits.tasks()),
            (Some(4096), Some(8192), Some(7))
        );
        assert_eq!((limits.processor(), limits.shares()), ((Some(500), 1000), Some(3)));
        update(r#"{"memory":{"limit":-1},"cpu":{"quota":-1},"pids":{"limit":-1}}"#);
        assert_eq!((limits.memory(), limits.swap(), limits.tasks()), (None, None, None));
        assert_eq!(limits.processor(), (None, 1000));
    }
}
