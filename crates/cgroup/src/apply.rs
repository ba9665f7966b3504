//! Writing limits, at creation and on update.

use crate::cgroup::Cgroup;
use crate::controllers::Controllers;
use crate::dir::CgroupDir;
use crate::error::LimitError;
use crate::layout::LayoutKind;
use crate::requested::check_version;
use crate::{devices, v1, v2};
use caisson_runtime_spec::{DeviceCgroup, Resources};

impl Cgroup {
    /// Writes every limit that `resources` has. `fresh`: the cgroup was made
    /// just now, so files hold the kernel's defaults.
    pub(crate) fn apply(&self, resources: &Resources, fresh: bool) -> Result<(), LimitError> {
        check_version(resources, self.kind)?;
        self.apply_devices(&resources.devices, fresh)?;
        self.apply_limits(resources, fresh)
    }

    /// Device rules, and runc's defaults after them. Rootless containers go
    /// without where that is not permitted: they can't make device nodes anyway.
    pub(crate) fn apply_devices(
        &self,
        rules: &[DeviceCgroup],
        fresh: bool,
    ) -> Result<(), LimitError> {
        let result = if self.kind == LayoutKind::Unified {
            let Some(dir) = self.main_dir() else { return Ok(()) };
            devices::v2::apply(dir, rules, fresh)
        } else {
            let Some(dir) = self.dir(Controllers::DEVICES) else { return Ok(()) };
            devices::v1::apply(dir, rules, fresh)
        };
        match result {
            Err(LimitError::Refused { source, .. }) if self.rootless && source.is_permission() => {
                Ok(())
            }
            other => other,
        }
    }

    pub(crate) fn apply_limits(
        &self,
        resources: &Resources,
        fresh: bool,
    ) -> Result<(), LimitError> {
        if self.kind == LayoutKind::Unified {
            let Some(dir) = self.main_dir() else { return Ok(()) };
            return Cgroup::apply_v2(dir, resources);
        }
        self.apply_v1(resources, fresh)
    }

    fn need(
        &self,
        controller: Controllers,
        field: &'static str,
    ) -> Result<CgroupDir<'_>, LimitError> {
        self.dir(controller).ok_or_else(|| {
            LimitError::no_controller(field, controller.names().next().unwrap_or("?"))
        })
    }

    fn apply_v1(&self, resources: &Resources, fresh: bool) -> Result<(), LimitError> {
        if let Some(cpu) = &resources.cpu {
            if v1::cpuset::is_set(cpu) && !fresh {
                let dir = self.need(Controllers::CPUSET, "linux.resources.cpu.cpus")?;
                v1::cpuset::apply(dir, cpu)?;
            }
            if v1::cpu::is_set(cpu) {
                v1::cpu::apply(self.need(Controllers::CPU, "linux.resources.cpu")?, cpu)?;
            }
        }
        if let Some(memory) = &resources.memory
            && v1::memory::is_set(memory)
        {
            let dir = self.need(Controllers::MEMORY, "linux.resources.memory")?;
            v1::memory::apply(dir, memory, fresh)?;
        }
        if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
            v1::pids::apply(self.need(Controllers::PIDS, "linux.resources.pids")?, limit)?;
        }
        if let Some(block_io) = &resources.block_io {
            v1::blkio::apply(self.need(Controllers::IO, "linux.resources.blockIO")?, block_io)?;
        }
        if !resources.hugepage_limits.is_empty() {
            let dir = self.need(Controllers::HUGETLB, "linux.resources.hugepageLimits")?;
            v1::hugetlb::apply(dir, &resources.hugepage_limits, "limit_in_bytes")?;
        }
        if let Some(network) = &resources.network {
            if let Some(id) = network.class_id.filter(|id| *id != 0) {
                let dir = self.need(Controllers::NET_CLS, "linux.resources.network.classID")?;
                v1::net::class(dir, id)?;
            }
            if !network.priorities.is_empty() {
                let field = "linux.resources.network.priorities";
                v1::net::priorities(self.need(Controllers::NET_PRIO, field)?, &network.priorities)?;
            }
        }
        if !resources.rdma.is_empty() {
            let dir = self.need(Controllers::RDMA, "linux.resources.rdma")?;
            v1::rdma::apply(dir, &resources.rdma)?;
        }
        Ok(())
    }

    fn apply_v2(dir: CgroupDir<'_>, resources: &Resources) -> Result<(), LimitError> {
        if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
            v1::pids::apply(dir, limit)?;
        }
        if let Some(memory) = &resources.memory {
            v2::memory::apply(dir, memory)?;
        }
        if let Some(block_io) = &resources.block_io {
            v2::io::apply(dir, block_io)?;
        }
        if let Some(cpu) = &resources.cpu {
            v2::cpu::apply(dir, cpu)?;
        }
        if let Some(cpu) = &resources.cpu {
            v1::cpuset::apply(dir, cpu)?;
        }
        v1::hugetlb::apply(dir, &resources.hugepage_limits, "max")?;
        v1::rdma::apply(dir, &resources.rdma)?;
        v2::unified::apply(dir, &resources.unified)
    }
}
