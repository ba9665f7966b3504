//! Cgroups of pods: one below what the request names, which holds those of the
//! containers. The supervisor is in none of them.

use std::path::Path;

use caisson_cgroup::stats::Stats;
use caisson_cgroup::{Cgroup, CgroupConfig, CgroupPlan, CgroupState, Driver, Resources};
use rustix::io::Errno;

use super::PodError;
use super::view::CgroupDriver;
use crate::oci_spec::CGROUP_PARENT;
use crate::settings::{CgroupDriver as Setting, Settings};

/// The same for systemd.
const DEFAULT_SLICE: &str = "system.slice";
/// Prefix of the names of systemd's units.
pub(super) const PREFIX: &str = "caisson";

/// Who makes cgroups.
pub(super) fn driver(settings: &Settings) -> CgroupDriver {
    match settings.runtime.cgroup_driver {
        Some(Setting::Cgroupfs) => CgroupDriver::Cgroupfs,
        Some(Setting::Systemd) => CgroupDriver::Systemd,
        // As sd_booted(3) tells.
        None if Path::new("/run/systemd/system").is_dir() => CgroupDriver::Systemd,
        None => CgroupDriver::Cgroupfs,
    }
}

/// Where a pod's cgroup is, and its containers'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodCgroup {
    driver: CgroupDriver,
    /// As `linux.cgroupsPath` of the pod.
    path: String,
    /// As the parent in that of its containers.
    inside: String,
}

impl PodCgroup {
    /// Below `parent`, the request's.
    pub(super) fn plan(driver: CgroupDriver, parent: &str, pod: &str) -> Result<Self, PodError> {
        let refuse = |reason: String| PodError::invalid("cgroup_parent", reason);
        if parent.contains(['\0', '\n']) {
            return Err(refuse(format!("{parent:?} is no cgroup")));
        }
        let short = crate::identity::short(pod);
        match driver {
            CgroupDriver::Cgroupfs => {
                if Path::new(parent).extension().is_some_and(|e| e == "slice")
                    && !parent.contains('/')
                {
                    return Err(refuse(format!(
                        "{parent:?} is a slice of systemd's, and the cgroup driver is cgroupfs: \
                         set cgroup_driver = \"systemd\" in [runtime], or the kubelet's"
                    )));
                }
                let parent = if parent.is_empty() { CGROUP_PARENT } else { parent };
                let path = format!("/{}/{pod}", parent.trim_matches('/'));
                Ok(Self { driver, inside: path.clone(), path })
            }
            CgroupDriver::Systemd => {
                let slice = if parent.is_empty() { DEFAULT_SLICE } else { parent };
                // A path of slices ends with the one that is meant.
                let slice = slice.trim_end_matches('/').rsplit('/').next().unwrap_or(slice);
                let Some(stem) = slice.strip_suffix(".slice") else {
                    return Err(refuse(format!(
                        "{parent:?} is no slice, and the cgroup driver is systemd: set \
                         cgroup_driver = \"cgroupfs\" in [runtime], or the kubelet's"
                    )));
                };
                let own = match stem {
                    "-" => format!("{PREFIX}_{short}.slice"),
                    stem => format!("{stem}-{PREFIX}_{short}.slice"),
                };
                Ok(Self { driver, path: format!("{slice}:{PREFIX}:{own}"), inside: own })
            }
        }
    }

    /// `linux.cgroupsPath` of a container.
    pub(super) fn of_container(&self, container: &str) -> String {
        match self.driver {
            CgroupDriver::Cgroupfs => format!("{}/{container}", self.inside),
            CgroupDriver::Systemd => format!("{}:{PREFIX}:{container}", self.inside),
        }
    }

    /// What is going to be made, to be noted before it is.
    pub(super) fn prepare<'a>(&'a self, pod: &'a str) -> Result<Prepared<'a>, PodError> {
        let config = CgroupConfig {
            id: pod,
            cgroups_path: Some(&self.path),
            driver: match self.driver {
                CgroupDriver::Cgroupfs => Driver::Cgroupfs,
                CgroupDriver::Systemd => Driver::Systemd,
            },
            rootless: false,
            scope_prefix: PREFIX,
        };
        let plan = Cgroup::plan(&config).map_err(|e| {
            PodError::failed(format!("find a place for the cgroup of pod {pod}"), e)
        })?;
        Ok(Prepared { config, plan })
    }
}

/// A pod's cgroup that is not made yet.
pub(super) struct Prepared<'a> {
    config: CgroupConfig<'a>,
    plan: CgroupPlan,
}

impl Prepared<'_> {
    /// What is to be removed if we die while it is made.
    pub(super) fn state(&self) -> &CgroupState {
        self.plan.state()
    }

    /// Makes it, with limits that hold at once. systemd makes slices by itself
    /// when the first scope comes, without limits.
    pub(super) fn make(self, limits: Option<&Resources>) -> Result<CgroupState, PodError> {
        let pod = self.config.id;
        let made = self.plan.create(&self.config, limits);
        made.map(|cgroup| cgroup.state())
            .map_err(|e| PodError::failed(format!("make the cgroup of pod {pod}"), e))
    }
}

/// What a pod's cgroup counts.
pub(super) fn stats(state: &CgroupState) -> Option<Stats> {
    Cgroup::open(state).ok()?.stats().ok()
}

/// The processes in a cgroup.
pub(super) fn pids(state: &CgroupState) -> Vec<i32> {
    let pids = Cgroup::open(state).ok().and_then(|cgroup| cgroup.pids(true).ok());
    pids.unwrap_or_default().into_iter().map(|pid| pid.as_raw_nonzero().get()).collect()
}

/// Changes a pod's limits; what is absent stays.
pub(super) fn update(pod: &str, state: &CgroupState, limits: &Resources) -> Result<(), PodError> {
    let fail = |reason: String| PodError::failed(format!("change the limits of pod {pod}"), reason);
    let cgroup = Cgroup::open(state).map_err(|e| fail(e.to_string()))?;
    cgroup.update(limits).map_err(|e| fail(e.to_string()))
}

/// Removes a pod's cgroup, which has no process any more.
pub(super) fn remove(pod: &str, state: &CgroupState) -> Result<(), PodError> {
    let fail = |reason: String| PodError::failed(format!("remove the cgroup of pod {pod}"), reason);
    match Cgroup::open(state) {
        Ok(cgroup) => {
            cgroup.delete().map_err(|e| fail(e.to_string()))?;
            // Ours goes with the last that is in it; others' are left alone.
            caisson_cgroup::remove_unused(CGROUP_PARENT);
            Ok(())
        }
        Err(caisson_cgroup::OpenError::Root(error)) if error.errno == Errno::NOENT => Ok(()),
        Err(error) => Err(fail(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_for_both_drivers() {
        let pod = "0123456789abcdef";
        let plain = |parent| PodCgroup::plan(CgroupDriver::Cgroupfs, parent, pod);
        assert_eq!(
            plain("/kubepods/pod1").unwrap().of_container("c"),
            "/kubepods/pod1/0123456789abcdef/c"
        );
        assert_eq!(plain("").unwrap().path, "/caisson/0123456789abcdef");
        assert!(plain("kubepods.slice").is_err() && plain("a\nb").is_err());
        let systemd = |parent| PodCgroup::plan(CgroupDriver::Systemd, parent, pod);
        let made = systemd("/kubepods.slice/kubepods-pod1.slice").unwrap();
        assert_eq!(
            made.path,
            "kubepods-pod1.slice:caisson:kubepods-pod1-caisson_0123456789ab.slice"
        );
        assert_eq!(made.of_container("c"), "kubepods-pod1-caisson_0123456789ab.slice:caisson:c");
        assert_eq!(systemd("-.slice").unwrap().inside, "caisson_0123456789ab.slice");
        assert!(systemd("/kubepods/pod1").is_err());
    }
}
