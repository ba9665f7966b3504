//! `rdma.max`, alike in v1 and v2 (Documentation/admin-guide/cgroup-v1/rdma.rst).

use crate::dir::CgroupDir;
use crate::error::{InField, LimitError};
use caisson_runtime_spec::Rdma;
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(crate) fn apply(dir: CgroupDir<'_>, limits: &BTreeMap<String, Rdma>) -> Result<(), LimitError> {
    for (device, limit) in limits {
        let mut line = device.clone();
        if let Some(handles) = limit.hca_handles {
            let _ = write!(line, " hca_handle={handles}");
        }
        if let Some(objects) = limit.hca_objects {
            let _ = write!(line, " hca_object={objects}");
        }
        dir.write("rdma.max", &line).in_field("linux.resources.rdma")?;
    }
    Ok(())
}
