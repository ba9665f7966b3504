//! Network class and priorities, v1 only.

use crate::dir::CgroupDir;
use crate::error::{InField, LimitError};
use caisson_runtime_spec::InterfacePriority;

pub(crate) fn class(dir: CgroupDir<'_>, id: u32) -> Result<(), LimitError> {
    dir.write("net_cls.classid", &id.to_string()).in_field("linux.resources.network.classID")
}

pub(crate) fn priorities(
    dir: CgroupDir<'_>,
    priorities: &[InterfacePriority],
) -> Result<(), LimitError> {
    for entry in priorities {
        dir.write("net_prio.ifpriomap", &format!("{} {}", entry.name, entry.priority))
            .in_field("linux.resources.network.priorities")?;
    }
    Ok(())
}
