//! Where a cgroup is going to be, before it is made: so that whoever finds
//! the plan can remove what a runtime that was killed half-way had made.

use crate::cgroup::Cgroup;
use crate::config::{CgroupConfig, Driver, inner_path};
use crate::controllers::Controllers;
use crate::create::{CreateError, container_path, node};
use crate::layout::{Layout, LayoutKind};
use crate::state::{CgroupState, HierarchyState};
use caisson_runtime_spec::Resources;
use rustix::fs::{Access, AtFlags};

/// A cgroup that is not made yet.
#[derive(Debug)]
pub struct CgroupPlan {
    layout: Layout,
    state: CgroupState,
}

impl Cgroup {
    /// Works out what [`CgroupPlan::create`] is going to make. Makes nothing.
    ///
    /// The plan names no hierarchy if the cgroup exists already, as what is
    /// in it then is not the container's, nor with [`Driver::Systemd`], where
    /// creation makes nothing either.
    pub fn plan(config: &CgroupConfig<'_>) -> Result<CgroupPlan, CreateError> {
        let layout = Layout::detect()?;
        let mut state = CgroupState {
            root: layout.root_path().to_owned(),
            unified: layout.kind() == LayoutKind::Unified,
            rootless: config.rootless,
            hierarchies: Vec::new(),
            unit: None,
        };
        if config.driver == Driver::Systemd {
            return Ok(CgroupPlan { layout, state });
        }
        let inner = inner_path(config)?;
        let mut hierarchies = Vec::with_capacity(layout.hierarchies().len());
        for hierarchy in layout.hierarchies() {
            let path = container_path(&layout, hierarchy, &inner)?;
            let decides = state.unified || hierarchy.controllers.contains(Controllers::DEVICES);
            if decides {
                let rel = node(hierarchy, &path).rel;
                let found =
                    rustix::fs::accessat(layout.root(), rel, Access::EXISTS, AtFlags::empty());
                if found.is_ok() {
                    return Ok(CgroupPlan { layout, state });
                }
            }
            let names: Vec<_> = hierarchy.controllers.names().collect();
            hierarchies.push(HierarchyState {
                controllers: names.join(","),
                mount: hierarchy.mount.clone(),
                path,
            });
        }
        state.hierarchies = hierarchies;
        Ok(CgroupPlan { layout, state })
    }
}

impl CgroupPlan {
    /// What is to be written down before [`CgroupPlan::create`]. Where the
    /// result's state differs, that is to be written down instead.
    #[must_use]
    pub fn state(&self) -> &CgroupState {
        &self.state
    }

    /// As [`Cgroup::create`]; `config` has to be the plan's.
    pub fn create(
        self,
        config: &CgroupConfig<'_>,
        resources: Option<&Resources>,
    ) -> Result<Cgroup, CreateError> {
        Cgroup::create_in(self.layout, config, resources)
    }
}

#[cfg(test)]
mod tests {
    use super::Cgroup;
    use crate::config::{CgroupConfig, Driver};

    #[test]
    fn a_plan_is_what_is_made_and_spares_what_exists() {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let id = format!("caisson-plan-{}", std::process::id());
        let config = CgroupConfig {
            id: &id,
            cgroups_path: None,
            driver: Driver::Cgroupfs,
            rootless: false,
            scope_prefix: "test",
        };
        let plan = Cgroup::plan(&config).unwrap();
        let planned = plan.state().clone();
        assert!(!planned.hierarchies.is_empty());
        assert!(Cgroup::open(&planned).unwrap().delete().is_ok(), "nothing is there to delete");
        let cgroup = plan.create(&config, None).unwrap();
        assert_eq!(cgroup.state(), planned);
        let second = Cgroup::plan(&config).unwrap();
        assert!(second.state().hierarchies.is_empty(), "the cgroup is another's");
        cgroup.delete().unwrap();
    }
}
