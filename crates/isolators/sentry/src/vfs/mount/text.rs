//! Mounts as procfs tells them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::super::Entry;
use super::sharing::Groups;
use super::{Mount, MountFlags, MountTable};

impl MountFlags {
    /// As options, with commas between.
    #[must_use]
    pub fn text(self) -> String {
        const NAMES: [(MountFlags, &str); 7] = [
            (MountFlags::NO_SUID, "nosuid"),
            (MountFlags::NO_DEVICES, "nodev"),
            (MountFlags::NO_EXECUTE, "noexec"),
            (MountFlags::NO_ACCESS_TIMES, "noatime"),
            (MountFlags::NO_DIRECTORY_ACCESS_TIMES, "nodiratime"),
            (MountFlags::RELATIVE_ACCESS_TIMES, "relatime"),
            (MountFlags::NO_LINKS, "nosymfollow"),
        ];
        let first = if self.contains(MountFlags::READ_ONLY) { "ro" } else { "rw" };
        let mut text = first.to_owned();
        for (flag, name) in NAMES {
            if self.contains(flag) {
                text.push(',');
                text.push_str(name);
            }
        }
        text
    }
}

/// With the bytes that separate fields written as octal numbers.
fn escaped(name: &[u8]) -> String {
    let mut text = String::new();
    for part in String::from_utf8_lossy(name).chars() {
        match part {
            ' ' | '\t' | '\n' | '\\' => {
                let _ = write!(text, "\\{:03o}", u32::from(part));
            }
            other => text.push(other),
        }
    }
    text
}

impl MountTable {
    /// Mounts below a root with their places as seen from it.
    fn seen_from(&self, root: &Arc<Entry>) -> Vec<(Arc<Mount>, Vec<u8>)> {
        let all = self.all().into_iter();
        all.filter_map(|mount| {
            let path = mount.root()?.path_below(root)?;
            Some((mount, path))
        })
        .collect()
    }

    /// `/proc/<pid>/mounts` of a process with this root.
    #[must_use]
    pub fn mounts_text(&self, root: &Arc<Entry>) -> Vec<u8> {
        let mut text = String::new();
        for (mount, path) in self.seen_from(root) {
            let _ = writeln!(
                text,
                "{} {} {} {}{} 0 0",
                escaped(&mount.source),
                escaped(&path),
                mount.kind,
                mount.flags().text(),
                comma(&mount.options),
            );
        }
        text.into_bytes()
    }

    /// `/proc/<pid>/mountstats` of a process with this root.
    #[must_use]
    pub fn mountstats_text(&self, root: &Arc<Entry>) -> Vec<u8> {
        let mut text = String::new();
        for (mount, path) in self.seen_from(root) {
            let (source, path) = (escaped(&mount.source), escaped(&path));
            let _ = writeln!(text, "device {source} mounted on {path} with fstype {}", mount.kind);
        }
        text.into_bytes()
    }

    /// `/proc/<pid>/mountinfo` of a process with this root.
    #[must_use]
    pub fn mountinfo_text(&self, root: &Arc<Entry>) -> Vec<u8> {
        let mut text = String::new();
        let groups = self.family.groups();
        let all = self.seen_from(root);
        let seen: HashSet<u32> = all.iter().map(|(mount, _)| mount.sharing().group).collect();
        for (mount, path) in &all {
            let above = mount.place().map_or(mount.id, |place| place.mount.id);
            let read_only = mount.flags().contains(MountFlags::READ_ONLY);
            let _ = writeln!(
                text,
                "{} {above} {}:{} {} {} {}{} - {} {} {}{}",
                mount.id,
                rustix::fs::major(mount.device),
                rustix::fs::minor(mount.device),
                escaped(&mount.inside),
                escaped(path),
                mount.flags().text(),
                tags(&groups, mount, &seen),
                mount.kind,
                escaped(&mount.source),
                if read_only { "ro" } else { "rw" },
                comma(&mount.options),
            );
        }
        text.into_bytes()
    }
}

/// How a mount shares what is mounted in it, to who sees mounts of these groups.
fn tags(groups: &Groups, mount: &Mount, seen: &HashSet<u32>) -> String {
    let (own, master) = (mount.sharing(), groups.master(mount));
    let mut text = String::new();
    if own.group != 0 {
        let _ = write!(text, " shared:{}", own.group);
    }
    if master != 0 {
        let _ = write!(text, " master:{master}");
        let mut from = master;
        while from != 0 && !seen.contains(&from) {
            from = groups.above(from);
        }
        if from != 0 && from != master {
            let _ = write!(text, " propagate_from:{from}");
        }
    }
    if own.unbindable {
        text.push_str(" unbindable");
    }
    text
}

/// Options behind others.
fn comma(options: &str) -> String {
    if options.is_empty() { String::new() } else { format!(",{options}") }
}
