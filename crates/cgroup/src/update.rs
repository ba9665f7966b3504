//! Changing limits of a running container.

use crate::cgroup::Cgroup;
use crate::error::LimitError;
use crate::freeze::FreezeError;
use crate::layout::LayoutKind;
use crate::requested::{check_version, requested_controllers};
use crate::systemd::unit::UnitError;
use caisson_runtime_spec::{DeviceCgroup, Resources};

/// Why limits could not be changed. Those before the failing one are in force.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A value was refused.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// systemd refused.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The cgroup could not be frozen or thawed.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
}

impl Cgroup {
    /// Brings the cgroup to the given limits. Absent values stay as they are, and
    /// so do device rules whatever `resources` says: programs beside the runtime
    /// (for GPUs, say) may have extended them, and runc's `update` spares them,
    /// too. See [`Cgroup::update_devices`].
    pub fn update(&self, resources: &Resources) -> Result<(), UpdateError> {
        check_version(resources, self.kind)?;
        if self.is_none() {
            return match requested_controllers(resources).first() {
                Some((field, _)) => Err(UpdateError::Limit(LimitError::Unavailable {
                    field: (*field).into(),
                    reason: "the container has no cgroup (rootless without permission)".to_owned(),
                })),
                None => Ok(()),
            };
        }
        let Some(unit) = &self.unit else { return Ok(self.apply_limits(resources, false)?) };
        let unified = self.kind == LayoutKind::Unified;
        if unified && let (Some(dir), Some(memory)) = (self.main_dir(), &resources.memory) {
            // Before systemd, whose limit would have processes killed.
            crate::v2::memory::check_usage(dir, memory)?;
        }
        // v1: systemd applies device rules anew with every change, denying
        // everything for a moment; nothing may run meanwhile.
        let froze = !unified && !self.is_frozen()? && self.freeze_if_possible()?;
        let result = unit.update(resources, unified);
        if froze {
            self.thaw()?;
        }
        Ok(self.apply_limits(&result?, false)?)
    }

    fn freeze_if_possible(&self) -> Result<bool, FreezeError> {
        match self.freeze() {
            Ok(()) => Ok(true),
            Err(FreezeError::NoFreezer) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Replaces the device rules; runc's defaults follow the given ones. On v1
    /// only differences are written, so that no access that both allow is
    /// denied for a moment; on v2 the program is replaced in one step.
    pub fn update_devices(&self, rules: &[DeviceCgroup]) -> Result<(), LimitError> {
        self.apply_devices(rules, false)
    }
}
