//! Cache and memory bandwidth: `linux.intelRdt` (config-linux.md, IntelRdt)
//! through resctrl (Documentation/filesystems/resctrl.rst).

mod stats;

use crate::dir::{CgroupDir, read_file};
use crate::error::FileError;
use crate::mountinfo::first_of_type;
use caisson_runtime_spec::IntelRdt;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use std::path::{Path, PathBuf};

const DEFAULT_MOUNT: &str = "/sys/fs/resctrl";
const RDTGROUP_SUPER_MAGIC: u64 = 0x0765_5821;

/// Why `linux.intelRdt` can't be applied.
#[derive(Debug, thiserror::Error)]
pub enum ResctrlError {
    /// resctrl is not mounted.
    #[error(
        "linux.intelRdt: intelRdt is specified in config, but Intel RDT is not enabled (no resctrl file system is mounted)"
    )]
    NotEnabled,
    /// The CPU or the kernel lacks a feature that a field needs.
    #[error("{field} is specified in config, but Intel RDT/{feature} is not enabled")]
    NoFeature {
        /// JSON path.
        field: &'static str,
        /// `CAT` or `MBA`.
        feature: &'static str,
    },
    /// Not a name for a group.
    #[error("linux.intelRdt.closID: invalid intelRdt.ClosID {0:?}")]
    BadClosId(String),
    /// Without a schema the class of service must exist.
    #[error(
        "linux.intelRdt.closID: clos dir {} not accessible (must be pre-created when schemata, \
         l3CacheSchema and memBwSchema are empty): {errno}",
        path.display()
    )]
    NoClos {
        /// The directory.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The kernel refused.
    #[error("linux.intelRdt: {source}{}", status_note(status))]
    Refused {
        /// The file and the errno.
        source: FileError,
        /// `info/last_cmd_status`, if it says something.
        status: String,
    },
}

fn status_note(status: &str) -> String {
    if status.is_empty() { String::new() } else { format!(", last_cmd_status: {status}") }
}

/// A container's resctrl group.
#[derive(Debug)]
pub struct Resctrl {
    root: OwnedFd,
    root_path: PathBuf,
    /// Relative to the root; empty is the root group itself.
    group: String,
    /// Whether the group is the container's own, not a class that others share.
    own: bool,
    monitoring: Option<String>,
}

impl Resctrl {
    /// Checks the configuration against the host; changes nothing.
    pub fn open(id: &str, config: &IntelRdt) -> Result<Resctrl, ResctrlError> {
        let magic = rustix::fs::statfs(DEFAULT_MOUNT).ok().map(|statfs| statfs.f_type);
        if magic.and_then(|magic| u64::try_from(magic).ok()) == Some(RDTGROUP_SUPER_MAGIC) {
            return Resctrl::open_at(Path::new(DEFAULT_MOUNT), id, config);
        }
        let mountinfo = read_file("/proc/self/mountinfo").map_err(|_| ResctrlError::NotEnabled)?;
        let mount = first_of_type(&mountinfo, "resctrl").ok_or(ResctrlError::NotEnabled)?;
        Resctrl::open_at(Path::new(&mount), id, config)
    }

    /// Like [`Resctrl::open`] with the file system at a given place.
    pub fn open_at(mount: &Path, id: &str, config: &IntelRdt) -> Result<Resctrl, ResctrlError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(mount, flags, Mode::empty()).map_err(|_| ResctrlError::NotEnabled)?;
        let class = config.clos_id.as_deref().filter(|class| !class.is_empty());
        let group = match class {
            Some("/") => "",
            Some(name) if matches!(name, "." | "..") || name.contains(['/', '\0']) => {
                return Err(ResctrlError::BadClosId(name.to_owned()));
            }
            Some(name) => name,
            None if matches!(id, "." | "..") || id.contains(['/', '\0']) => {
                return Err(ResctrlError::BadClosId(id.to_owned()));
            }
            None => id,
        };
        let resctrl = Resctrl {
            root,
            root_path: mount.to_owned(),
            group: group.to_owned(),
            own: class.is_none(),
            monitoring: config.enable_monitoring.then(|| id.to_owned()),
        };
        let needs = [
            (&config.l3_cache_schema, "linux.intelRdt.l3CacheSchema", "CAT", "info/L3"),
            (&config.mem_bw_schema, "linux.intelRdt.memBwSchema", "MBA", "info/MB"),
        ];
        for (value, field, feature, file) in needs {
            if value.as_ref().is_some_and(|v| !v.is_empty()) && !resctrl.has(file) {
                return Err(ResctrlError::NoFeature { field, feature });
            }
        }
        Ok(resctrl)
    }

    fn has(&self, file: &str) -> bool {
        let access = rustix::fs::Access::EXISTS;
        rustix::fs::accessat(&self.root, file, access, AtFlags::empty()).is_ok()
    }

    fn dir<'a>(&'a self, rel: &'a str) -> CgroupDir<'a> {
        CgroupDir::new(self.root.as_fd(), &self.root_path, rel)
    }

    fn refused(&self, source: FileError) -> ResctrlError {
        let status = self.dir("info").read("last_cmd_status").unwrap_or_default();
        ResctrlError::Refused { source, status: status.trim().to_owned() }
    }

    fn mkdir(&self, rel: &str) -> Result<bool, ResctrlError> {
        match rustix::fs::mkdirat(&self.root, rel, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => {
                let path = self.root_path.join(rel);
                Err(self.refused(FileError { action: "mkdir", path, value: None, errno }))
            }
        }
    }

    fn rmdir(&self, rel: &str) -> Result<(), ResctrlError> {
        match rustix::fs::unlinkat(&self.root, rel, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => {
                let path = self.root_path.join(rel);
                Err(self.refused(FileError { action: "rmdir", path, value: None, errno }))
            }
        }
    }

    fn monitoring_path(&self) -> Option<String> {
        let id = self.monitoring.as_deref()?;
        let slash = if self.group.is_empty() { "" } else { "/" };
        Some(format!("{}{slash}mon_groups/{id}", self.group))
    }

    /// Makes the groups and writes the schemata, before any process is in them.
    /// On failure nothing that was made stays.
    pub fn create(&self, config: &IntelRdt) -> Result<(), ResctrlError> {
        let lines = schemata(config);
        let mut made = Vec::new();
        let result = self.make(&lines, &mut made);
        if result.is_err() {
            while let Some(path) = made.pop() {
                let _ = self.rmdir(&path);
            }
        }
        result
    }

    fn make(&self, lines: &str, made: &mut Vec<String>) -> Result<(), ResctrlError> {
        if !self.own && lines.is_empty() && !self.group.is_empty() {
            let access = rustix::fs::Access::EXISTS;
            rustix::fs::accessat(&self.root, self.group.as_str(), access, AtFlags::empty())
                .map_err(|errno| ResctrlError::NoClos {
                    path: self.root_path.join(&self.group),
                    errno,
                })?;
        } else if !self.group.is_empty() && self.mkdir(&self.group)? {
            made.push(self.group.clone());
        }
        if let Some(path) = self.monitoring_path()
            && self.mkdir(&path)?
        {
            made.push(path);
        }
        if !lines.is_empty() {
            self.dir(&self.group).write("schemata", lines).map_err(|e| self.refused(e))?;
        }
        Ok(())
    }

    /// Rewrites the schemata.
    pub fn update(&self, config: &IntelRdt) -> Result<(), ResctrlError> {
        let lines = schemata(config);
        if lines.is_empty() {
            return Ok(());
        }
        self.dir(&self.group).write("schemata", &lines).map_err(|e| self.refused(e))
    }

    /// Moves a process into the groups.
    pub fn attach(&self, pid: Pid) -> Result<(), ResctrlError> {
        let pid = pid.as_raw_nonzero().to_string();
        self.dir(&self.group).write("tasks", &pid).map_err(|e| self.refused(e))?;
        if let Some(path) = self.monitoring_path() {
            self.dir(&path).write("tasks", &pid).map_err(|e| self.refused(e))?;
        }
        Ok(())
    }

    /// Removes the container's own group, or its monitoring group in a class that
    /// was named: such a class belongs to somebody else.
    pub fn delete(&self) -> Result<(), ResctrlError> {
        if self.own {
            return self.rmdir(&self.group);
        }
        self.monitoring_path().map_or(Ok(()), |path| self.rmdir(&path))
    }

    /// Absolute directory of the group, `intel_rdt_path` of runc's state file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.root_path.join(&self.group)
    }
}

/// All lines in one write, `schemata` last, so that it overrides the others.
fn schemata(config: &IntelRdt) -> String {
    let mut text = String::new();
    let old = [&config.l3_cache_schema, &config.mem_bw_schema];
    for line in old.into_iter().flatten().chain(&config.schemata).filter(|line| !line.is_empty()) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::IntelRdtStats;

    /// A directory that looks like resctrl; groups are plain directories in it.
    fn fake(features: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for dir in features {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        std::fs::create_dir_all(root.path().join("info")).unwrap();
        std::fs::write(root.path().join("info/last_cmd_status"), "ok\n").unwrap();
        std::fs::write(root.path().join("schemata"), "L3:0=ff\nMB:0=100\n").unwrap();
        root
    }

    fn group(root: &Path, name: &str) {
        std::fs::create_dir_all(root.join(name).join("mon_groups/c1")).unwrap();
        for file in ["schemata", "tasks", "mon_groups/c1/tasks"] {
            std::fs::write(root.join(name).join(file), "").unwrap();
        }
    }

    fn read(root: &Path, file: &str) -> String {
        std::fs::read_to_string(root.join(file)).unwrap()
    }

    #[test]
    fn schemata_and_tasks() {
        let root = fake(&["info/L3", "info/MB"]);
        group(root.path(), "c1");
        let config = IntelRdt {
            l3_cache_schema: Some("L3:0=f".into()),
            mem_bw_schema: Some("MB:0=20".into()),
            schemata: vec!["L3:0=3".into()],
            enable_monitoring: true,
            ..IntelRdt::default()
        };
        let resctrl = Resctrl::open_at(root.path(), "c1", &config).unwrap();
        resctrl.create(&config).unwrap();
        assert_eq!(read(root.path(), "c1/schemata"), "L3:0=f\nMB:0=20\nL3:0=3\n");
        resctrl.attach(Pid::from_raw(77).unwrap()).unwrap();
        assert_eq!(read(root.path(), "c1/tasks"), "77");
        assert_eq!(read(root.path(), "c1/mon_groups/c1/tasks"), "77");
        assert_eq!(resctrl.path(), root.path().join("c1"));
    }

    #[test]
    fn failed_create_leaves_no_group() {
        let root = fake(&["info/L3"]);
        let config = IntelRdt { l3_cache_schema: Some("L3:0=f".into()), ..IntelRdt::default() };
        let resctrl = Resctrl::open_at(root.path(), "c1", &config).unwrap();
        // A plain directory has no `schemata`.
        let error = resctrl.create(&config).unwrap_err().to_string();
        assert!(error.contains("schemata") && error.contains("last_cmd_status: ok"), "{error}");
        assert!(!root.path().join("c1").exists());
    }

    #[test]
    fn own_group_is_removed_and_a_shared_one_stays() {
        let root = fake(&[]);
        let own = Resctrl::open_at(root.path(), "c1", &IntelRdt::default()).unwrap();
        own.create(&IntelRdt::default()).unwrap();
        assert!(root.path().join("c1").is_dir());
        own.delete().unwrap();
        assert!(!root.path().join("c1").exists());
        own.delete().unwrap();
        let shared = IntelRdt { clos_id: Some("gold".into()), ..IntelRdt::default() };
        let resctrl = Resctrl::open_at(root.path(), "c1", &shared).unwrap();
        let error = resctrl.create(&shared).unwrap_err().to_string();
        assert!(error.contains("must be pre-created"), "{error}");
        std::fs::create_dir(root.path().join("gold")).unwrap();
        resctrl.create(&shared).unwrap();
        resctrl.delete().unwrap();
        assert!(root.path().join("gold").is_dir());
    }

    #[test]
    fn what_the_host_lacks_is_told() {
        let root = fake(&["info/L3"]);
        let open = |config: IntelRdt| {
            Resctrl::open_at(root.path(), "c1", &config).unwrap_err().to_string()
        };
        let mem = IntelRdt { mem_bw_schema: Some("MB:0=20".into()), ..IntelRdt::default() };
        assert!(open(mem).starts_with("linux.intelRdt.memBwSchema is specified"));
        for class in [".", "..", "a/b", "/a"] {
            let config = IntelRdt { clos_id: Some(class.into()), ..IntelRdt::default() };
            assert!(open(config).contains("closID"), "{class}");
        }
        let missing = Resctrl::open_at(&root.path().join("x"), "c1", &IntelRdt::default());
        assert!(matches!(missing, Err(ResctrlError::NotEnabled)));
    }

    #[test]
    fn statistics() {
        let root = fake(&["info/L3", "info/L3_MON", "c1/mon_data/mon_L3_00"]);
        group(root.path(), "c1");
        let files = [
            ("info/L3/cbm_mask", "fff\n"),
            ("info/L3/min_cbm_bits", "2\n"),
            ("info/L3/num_closids", "16\n"),
            ("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\n"),
            ("c1/mon_data/mon_L3_00/llc_occupancy", "123\n"),
            ("c1/mon_data/mon_L3_00/mbm_total_bytes", "456\n"),
            ("c1/schemata", "    L3:0=3\n"),
        ];
        for (file, text) in files {
            std::fs::write(root.path().join(file), text).unwrap();
        }
        let resctrl = Resctrl::open_at(root.path(), "c1", &IntelRdt::default()).unwrap();
        let stats: IntelRdtStats = resctrl.stats().unwrap();
        let expected = serde_json::json!({
            "l3_cache_info": {"cbm_mask": "fff", "min_cbm_bits": 2, "num_closids": 16},
            "l3_cache_schema_root": "L3:0=ff",
            "l3_cache_schema": "L3:0=3",
            "schemata": ["L3:0=3"],
            "mbm_stats": [{"mbm_total_bytes": 456}],
            "cmt_stats": [{"llc_occupancy": 123}],
        });
        assert_eq!(serde_json::to_value(stats).unwrap(), expected);
    }
}
