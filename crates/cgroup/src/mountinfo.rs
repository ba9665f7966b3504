//! cgroup mounts in `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use crate::controllers::Controllers;

/// One mount of a cgroup file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CgroupMount {
    /// Root of the mount within the hierarchy.
    pub(crate) root: String,
    /// Mount point.
    pub(crate) point: String,
    /// v2?
    unified: bool,
    /// Super block options, which name the controllers of a v1 hierarchy.
    options: String,
}

impl CgroupMount {
    /// Whether this mount shows the hierarchy with that name in
    /// `/proc/self/cgroup` and these controllers.
    pub(crate) fn carries(&self, name: &str, controllers: Controllers) -> bool {
        if name.is_empty() || controllers.contains(Controllers::UNIFIED) {
            return self.unified;
        }
        !self.unified
            && self.options.split(',').any(|option| name.split(',').any(|part| part == option))
    }
}

/// All cgroup mounts, in the order of the file, without those that a later one
/// at the same mount point hides.
pub(crate) fn cgroup_mounts(mountinfo: &str) -> Vec<CgroupMount> {
    let mut mounts: Vec<CgroupMount> = Vec::new();
    for mount in mountinfo.lines().filter_map(parse_line) {
        mounts.retain(|earlier| earlier.point != mount.point);
        mounts.push(mount);
    }
    mounts
}

/// Mount point of the first file system of a type.
pub(crate) fn first_of_type(mountinfo: &str, wanted: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        if file_system.split(' ').next() != Some(wanted) {
            return None;
        }
        mount.split(' ').nth(4).map(unescape)
    })
}

fn parse_line(line: &str) -> Option<CgroupMount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut file_system = file_system.split(' ');
    let unified = match file_system.next()? {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    let options = file_system.nth(1).unwrap_or_default();
    let mut fields = mount.split(' ').skip(3);
    Some(CgroupMount {
        root: unescape(fields.next()?),
        point: unescape(fields.next()?),
        unified,
        options: options.to_owned(),
    })
}

/// Undoes the octal escapes of space, tab, newline and backslash.
fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, after.get(3..)) {
            (Some(code), Some(tail)) => {
                out.push(char::from(code));
                rest = tail;
            }
            _ => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_co_mounted_named_and_unified_hierarchies() {
        let text = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:29 /docker/a\\040b /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup cgroup rw,cpu,cpuacct\n\
            33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            34 31 0:31 / /sys/fs/cgroup/unified rw shared:1 master:2 - cgroup2 cgroup2 rw\n";
        let mounts = cgroup_mounts(text);
        assert_eq!(mounts.len(), 3);
        assert_eq!(mounts[0].root, "/docker/a b");
        assert!(mounts[0].carries("cpu,cpuacct", Controllers::CPU));
        assert!(mounts[0].carries("cpuacct", Controllers::CPUACCT));
        assert!(!mounts[0].carries("cpuset", Controllers::CPUSET));
        assert!(mounts[1].carries("name=systemd", Controllers::SYSTEMD));
        assert!(mounts[2].carries("", Controllers::UNIFIED));
    }

    #[test]
    fn octal_escapes() {
        assert_eq!(unescape("a\\040b\\134c\\0"), "a b\\c\\0");
    }
}
