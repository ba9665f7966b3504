//! What the cgroup uses.

mod types;
mod v1;
mod v2;

pub use types::{
    BlkioEntry, BlkioStats, CacheMonitoring, CpuStats, CpuUsage, CpusetStats, HugetlbStats,
    IntelRdtStats, L3CacheInfo, MemoryBandwidthInfo, MemoryBandwidthMonitoring, MemoryEntry,
    MemoryStats, NetworkInterface, PidsStats, PsiData, PsiStats, RdmaEntry, RdmaStats, Stats,
    Throttling,
};

use crate::cgroup::Cgroup;
use crate::dir::CgroupDir;
use crate::error::FileError;
use crate::layout::LayoutKind;
use rustix::fs::{Mode, OFlags};

impl Cgroup {
    /// Reads all statistics. Controllers that the host lacks are left at zero.
    pub fn stats(&self) -> Result<Stats, FileError> {
        let mut stats = Stats::default();
        if self.is_none() {
            return Ok(stats);
        }
        if self.kind == LayoutKind::Unified {
            if let Some(dir) = self.main_dir() {
                v2::read(dir, &mut stats)?;
            }
        } else {
            v1::read(self, &mut stats)?;
        }
        Ok(stats)
    }
}

/// Sizes of huge pages as the hugetlb controller names them: `2MB`, `1GB`.
fn huge_page_sizes() -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(dir) = rustix::fs::open("/sys/kernel/mm/hugepages", flags, Mode::empty()) else {
        return Vec::new();
    };
    let Ok(entries) = rustix::fs::Dir::new(dir) else { return Vec::new() };
    entries.filter_map(|entry| page_size(entry.ok()?.file_name().to_str().ok()?)).collect()
}

fn page_size(name: &str) -> Option<String> {
    let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kib {
        1_048_576.. => format!("{}GB", kib >> 20),
        1024.. => format!("{}MB", kib >> 10),
        _ => format!("{kib}KB"),
    })
}

/// `rdma.current` or `rdma.max`: `mlx4_0 hca_handle=2 hca_object=2000`.
fn rdma(dir: CgroupDir<'_>, file: &str) -> Result<Vec<RdmaEntry>, FileError> {
    let text = dir.read_if_present(file)?.unwrap_or_default();
    let entry = |line: &str| {
        let mut fields = line.split_whitespace();
        let mut entry = RdmaEntry { device: fields.next()?.to_owned(), ..RdmaEntry::default() };
        for field in fields {
            let (key, value) = field.split_once('=')?;
            let value = if value == "max" { u32::MAX } else { value.parse().ok()? };
            match key {
                "hca_handle" => entry.hca_handles = value,
                "hca_object" => entry.hca_objects = value,
                _ => {}
            }
        }
        Some(entry)
    };
    Ok(text.lines().filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_page_sizes() {
        assert_eq!(page_size("hugepages-1048576kB").as_deref(), Some("1GB"));
        assert_eq!(page_size("hugepages-2048kB").as_deref(), Some("2MB"));
        assert_eq!(page_size("hugepages-64kB").as_deref(), Some("64KB"));
        assert_eq!(page_size("hugepages-64MB"), None);
        assert_eq!(page_size(".."), None);
    }
}
