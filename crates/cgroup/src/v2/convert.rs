//! Values that the spec has in v1's terms.

use crate::error::LimitError;
use caisson_runtime_spec::Memory;

/// `cpu.shares` (2…262144, default 1024) to `cpu.weight` (1…10000, default 100).
///
/// The formula of runc since 1.4 and crun since 1.23, which fits minimum,
/// default and maximum: `10^((l² + 125·l)/612 − 7/34)` with `l = log2(shares)`,
/// rounded up. (Before, a linear map made 39 of 1024.) 0 stays 0, "unset".
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the value is between 1 and 10000 by the bounds above it"
)]
#[must_use]
pub fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0 => 0,
        1..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

/// `blkio.weight` (10…1000) to `io.weight` (1…10000), linearly.
pub(crate) fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9999 / 990
}

/// What to write to `memory.swap.max`, which counts swap alone, while the spec's
/// value counts memory and swap. `None`: nothing.
pub(crate) fn swap_max(memory: &Memory) -> Result<Option<i64>, LimitError> {
    let field = "linux.resources.memory.swap";
    let limit = memory.limit.unwrap_or(0);
    match (memory.swap.unwrap_or(0), limit) {
        // No limit on memory: none on memory and swap, as in v1.
        (0, -1) | (-1, _) => Ok(Some(-1)),
        (0, _) => Ok(None),
        (swap, -1) => Ok(Some(swap)),
        (_, 0) => Err(LimitError::invalid(field, "unable to set swap limit without memory limit")),
        (_, limit) if limit < 0 => Err(LimitError::invalid(
            "linux.resources.memory.limit",
            format!("invalid memory value: {limit}"),
        )),
        (swap, limit) if swap < limit => Err(LimitError::invalid(
            field,
            format!("{swap}: memory+swap limit should be >= memory limit {limit}"),
        )),
        (swap, limit) => Ok(Some(swap - limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_to_weight() {
        let table = [(0, 0), (1, 1), (2, 1), (1024, 100), (262_144, 10_000), (999_999, 10_000)];
        for (shares, weight) in table {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
        let mut last = 0;
        for shares in 2..262_144 {
            let weight = cpu_weight(shares);
            assert!(weight >= last && (1..=10_000).contains(&weight), "{shares}");
            last = weight;
        }
    }

    #[test]
    fn block_weight() {
        assert_eq!([10, 100, 500, 1000].map(io_weight), [1, 910, 4950, 10_000]);
        assert_eq!(io_weight(1), 1);
    }

    #[test]
    fn swap_without_memory() {
        let convert = |limit, swap| {
            swap_max(&Memory { limit, swap, ..Memory::default() }).map_err(|e| e.to_string())
        };
        assert_eq!(convert(None, None), Ok(None));
        assert_eq!(convert(Some(-1), None), Ok(Some(-1)));
        assert_eq!(convert(Some(100), Some(-1)), Ok(Some(-1)));
        assert_eq!(convert(Some(100), Some(100)), Ok(Some(0)));
        assert_eq!(convert(Some(100), Some(300)), Ok(Some(200)));
        assert_eq!(convert(Some(-1), Some(300)), Ok(Some(300)));
        assert!(convert(None, Some(300)).unwrap_err().contains("without memory limit"));
        assert!(convert(Some(300), Some(100)).unwrap_err().contains(">= memory limit"));
        assert!(convert(Some(-7), Some(100)).unwrap_err().contains("memory.limit"));
    }
}
