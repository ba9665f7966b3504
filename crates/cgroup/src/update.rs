//! Changing limits of a running container.

use crate::cgroup::Cgroup;
use crate::error::LimitError;
use crate::systemd::unit::UnitError;
use caisson_runtime_spec::Resources;

/// Why limits could not be changed. Those before the failing one are in force.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A value was refused.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// systemd refused.
    #[error(transparent)]
    Unit(#[from] UnitError),
}

impl Cgroup {
    /// Brings the cgroup to the given limits. Absent values stay as they are,
    /// except device rules, which are replaced as a whole.
    pub fn update(&self, resources: &Resources) -> Result<(), UpdateError> {
        if self.is_none() {
            return match crate::requested::requested_controllers(resources).first() {
                Some((field, _)) => Err(UpdateError::Limit(LimitError::Unavailable {
                    field: (*field).into(),
                    reason: "the container has no cgroup (rootless without permission)".to_owned(),
                })),
                None => Ok(()),
            };
        }
        Ok(self.apply(resources, false)?)
    }
}
