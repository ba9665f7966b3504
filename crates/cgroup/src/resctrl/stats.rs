//! What a resctrl group is granted and uses.

use super::{Resctrl, ResctrlError};
use crate::dir::CgroupDir;
use crate::stats::{
    CacheMonitoring, IntelRdtStats, L3CacheInfo, MemoryBandwidthInfo, MemoryBandwidthMonitoring,
};
use rustix::fs::{FileType, OFlags};

impl Resctrl {
    /// Statistics in the form of runc's events. Those of a class of service that
    /// others share count the others, too, unless monitoring was enabled.
    pub fn stats(&self) -> Result<IntelRdtStats, ResctrlError> {
        let failed = |error| self.refused(error);
        let mut stats = IntelRdtStats::default();
        let root = self.dir("").read("schemata").map_err(failed)?;
        let own = self.dir(&self.group).read("schemata").map_err(failed)?;
        let line = |text: &str, resource: &str| {
            text.lines()
                .rfind(|line| line.contains(resource))
                .map_or_else(String::new, |line| line.trim().to_owned())
        };
        stats.schemata = own.trim().lines().map(str::to_owned).collect();
        let info = self.dir("info/L3");
        if self.has("info/L3") {
            stats.l3_cache_info = Some(L3CacheInfo {
                cbm_mask: info.read("cbm_mask").map_err(failed)?.trim().to_owned(),
                min_cbm_bits: info.read_u64("min_cbm_bits").map_err(failed)?,
                num_closids: info.read_u64("num_closids").map_err(failed)?,
            });
            stats.l3_cache_schema_root = line(&root, "L3");
            stats.l3_cache_schema = line(&own, "L3");
        }
        let info = self.dir("info/MB");
        if self.has("info/MB") {
            stats.mem_bw_info = Some(MemoryBandwidthInfo {
                bandwidth_gran: info.read_u64("bandwidth_gran").map_err(failed)?,
                delay_linear: info.read_u64("delay_linear").map_err(failed)?,
                min_bandwidth: info.read_u64("min_bandwidth").map_err(failed)?,
                num_closids: info.read_u64("num_closids").map_err(failed)?,
            });
            stats.mem_bw_schema_root = line(&root, "MB");
            stats.mem_bw_schema = line(&own, "MB");
        }
        let features = self.dir("info/L3_MON").read_if_present("mon_features").map_err(failed)?;
        if let Some(features) = features {
            self.monitoring(&features, &mut stats)?;
        }
        Ok(stats)
    }

    fn monitoring(&self, features: &str, stats: &mut IntelRdtStats) -> Result<(), ResctrlError> {
        let failed = |error| self.refused(error);
        let has = |feature: &str| features.lines().any(|line| line == feature);
        let (total, local) = (has("mbm_total_bytes"), has("mbm_local_bytes"));
        let occupancy = has("llc_occupancy");
        let group = self.monitoring_path().unwrap_or_else(|| self.group.clone());
        let data = crate::join::join_path(&group, "mon_data");
        let (mut bandwidth, mut cache) = (Vec::new(), Vec::new());
        for domain in domains(self.dir(&data)) {
            let path = format!("{data}/{domain}");
            let dir = self.dir(&path);
            let read = |wanted: bool, file: &str| {
                if wanted { dir.read_u64(file).map_err(failed) } else { Ok(0) }
            };
            if total || local {
                bandwidth.push(MemoryBandwidthMonitoring {
                    total_bytes: read(total, "mbm_total_bytes")?,
                    local_bytes: read(local, "mbm_local_bytes")?,
                });
            }
            if occupancy {
                cache.push(CacheMonitoring { llc_occupancy: read(true, "llc_occupancy")? });
            }
        }
        stats.mbm_stats = (total || local).then_some(bandwidth);
        stats.cmt_stats = occupancy.then_some(cache);
        Ok(())
    }
}

/// Names of the monitored domains, sorted.
fn domains(dir: CgroupDir<'_>) -> Vec<String> {
    let Ok(fd) = dir.open("", OFlags::RDONLY | OFlags::DIRECTORY) else { return Vec::new() };
    let Ok(entries) = rustix::fs::Dir::new(fd) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.file_type() == FileType::Directory)
        .filter_map(|entry| Some(entry.file_name().to_str().ok()?.to_owned()))
        .filter(|name| name != "." && name != "..")
        .collect();
    names.sort();
    names
}
