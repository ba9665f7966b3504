//! Limits of the cgroup.

use caisson_runtime_spec::{BlockIo, Cpu, Memory, Pids, Resources};

use crate::request::ResourceRequest;

/// Microseconds of a CPU period where the request gives none.
const PERIOD: u64 = 100_000;

/// The limits that `request` asks for; also what `update` sends. Memory and
/// swap together are twice the memory where only that is given, as docker has it.
#[must_use]
pub fn resources(request: &ResourceRequest) -> Resources {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let memory = Memory {
        limit: request.memory.map(signed),
        reservation: request.memory_reservation.map(signed),
        swap: request
            .memory_swap
            .filter(|swap| *swap != 0)
            .or_else(|| request.memory.map(|memory| signed(memory.saturating_mul(2)))),
        swappiness: request.memory_swappiness,
        disable_oom_killer: request.oom_kill_disable.then_some(true),
        ..Memory::default()
    };
    let mut cpu = Cpu {
        shares: request.cpu_shares.filter(|shares| *shares > 0),
        quota: request.cpu_quota,
        period: request.cpu_period,
        cpus: request.cpuset_cpus.clone().filter(|list| !list.is_empty()),
        mems: request.cpuset_mems.clone().filter(|list| !list.is_empty()),
        ..Cpu::default()
    };
    if let Some(nano) = request.nano_cpus {
        let quota = u128::from(nano) * u128::from(PERIOD) / 1_000_000_000;
        cpu.quota = i64::try_from(quota).ok();
        cpu.period = Some(PERIOD);
    }
    let pids =
        request.pids_limit.map(|limit| Pids { limit: Some(if limit == 0 { -1 } else { limit }) });
    let block_io = request
        .blkio_weight
        .filter(|weight| *weight > 0)
        .map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() });
    Resources {
        memory: Some(memory).filter(|memory| *memory != Memory::default()),
        cpu: Some(cpu).filter(|cpu| *cpu != Cpu::default()),
        pids,
        block_io,
        ..Resources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_is_nothing_set() {
        assert_eq!(resources(&ResourceRequest::default()), Resources::default());
    }

    #[test]
    fn limits_in_the_kernels_units() {
        let asked = ResourceRequest {
            memory: Some(64 << 20),
            nano_cpus: Some(1_500_000_000),
            pids_limit: Some(0),
            ..ResourceRequest::default()
        };
        let made = resources(&asked);
        let memory = made.memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(64 << 20), Some(128 << 20)));
        let cpu = made.cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
        assert_eq!(made.pids.unwrap().limit, Some(-1));
        let unlimited = ResourceRequest { memory_swap: Some(-1), ..asked };
        assert_eq!(resources(&unlimited).memory.unwrap().swap, Some(-1));
    }
}
