//! `pids.max`, alike in v1 and v2.

use crate::dir::CgroupDir;
use crate::error::{InField, LimitError};

/// Negative is unlimited. 0 becomes 1, as with runc: systemd's `TasksMax` knows
/// no 0, and a container has at least one task anyway.
pub(crate) fn apply(dir: CgroupDir<'_>, limit: i64) -> Result<(), LimitError> {
    let value = match limit {
        ..0 => "max".to_owned(),
        0 => "1".to_owned(),
        _ => limit.to_string(),
    };
    dir.write("pids.max", &value).in_field("linux.resources.pids.limit")
}
