//! Mounts as procfs tells them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::super::Entry;
use super::sharing::{Family, Sharing};
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
        let all = self.seen_from(root);
        let shown = self.family.shown(&all);
        for ((mount, path), shown) in all.iter().zip(shown) {
            let above = mount.place().map_or(mount.number(), |place| place.mount.number());
            let read_only = mount.flags().contains(MountFlags::READ_ONLY);
            let _ = writeln!(
                text,
                "{} {above} {}:{} {} {} {}{} - {} {} {}{}",
                mount.number(),
                rustix::fs::major(mount.device),
                rustix::fs::minor(mount.device),
                escaped(&mount.inside),
                escaped(path),
                mount.flags().text(),
                shown.tags(),
                mount.kind,
                escaped(&mount.source),
                if read_only { "ro" } else { "rw" },
                comma(&mount.options),
            );
        }
        text.into_bytes()
    }
}

/// How a mount shares what is mounted in it, to who sees some mounts.
struct Shown {
    own: Sharing,
    /// The group that it is a slave of; the first above that is seen; 0: none.
    master: u32,
    from: u32,
}

impl Family {
    fn shown(&self, all: &[(Arc<Mount>, Vec<u8>)]) -> Vec<Shown> {
        let groups = self.groups();
        let seen: HashSet<u32> = all.iter().map(|(mount, _)| mount.sharing().group).collect();
        let shown = |(mount, _): &(Arc<Mount>, Vec<u8>)| {
            let master = groups.master(mount);
            let mut from = master;
            while from != 0 && !seen.contains(&from) {
                from = groups.above(from);
            }
            Shown { own: mount.sharing(), master, from }
        };
        all.iter().map(shown).collect()
    }
}

impl Shown {
    fn tags(&self) -> String {
        let Shown { own, master, from } = *self;
        let mut text = String::new();
        if own.group != 0 {
            let _ = write!(text, " shared:{}", own.group);
        }
        if master != 0 {
            let _ = write!(text, " master:{master}");
        }
        if from != 0 && from != master {
            let _ = write!(text, " propagate_from:{from}");
        }
        if own.unbindable {
            text.push_str(" unbindable");
        }
        text
    }
}

/// Options behind others.
fn comma(options: &str) -> String {
    if options.is_empty() { String::new() } else { format!(",{options}") }
}
