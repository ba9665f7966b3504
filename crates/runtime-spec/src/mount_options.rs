//! A mount's options, read into what the kernel takes.
//!
//! Options work in their order and the last one wins, as in `mount(8)` and
//! runc. Options that are not in config.md's table are the file system's.

pub use crate::mount_flags::{MountAttr, MountFlags};

use crate::linux::Propagation;
use crate::mounts::Mount;

/// A mount's options by effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions<'a> {
    /// Attributes of this mount.
    pub attrs: AttrChange,
    /// Attributes of this mount and its submounts (`rro`, `rnosuid`, …), to be
    /// applied with `AT_RECURSIVE` after everything else (Linux 5.12).
    pub recursive_attrs: AttrChange,
    /// File system flags to set; a subset of [`MountFlags::SUPER`].
    pub super_set: MountFlags,
    /// File system flags to clear; a subset of [`MountFlags::SUPER`].
    pub super_clear: MountFlags,
    /// Whether this is a bind mount, and of what.
    pub bind: Option<Extent>,
    /// Whether to change a mount instead of making one.
    pub remount: bool,
    /// Propagation changes, in order.
    pub propagation: Vec<Propagation>,
    /// Whether a tmpfs starts with a copy of what it covers.
    pub copy_up: bool,
    /// Whether a symbolic link as source is made again instead of followed
    /// (an option of crun's).
    pub copy_symlink: bool,
    /// Whether the mount is idmapped, and of what.
    pub idmap: Option<Extent>,
    /// Options for the file system, in order.
    pub data: Vec<&'a str>,
}

/// A mount alone or with its submounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// The mount alone.
    Single,
    /// The mount and its submounts.
    Recursive,
}

/// A change of attributes, ready for `mount_setattr(2)`: what is in `clear`
/// is cleared first, then `set` is set. A new value of the access time field
/// has the whole field in `clear`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttrChange {
    /// `attr_set`.
    pub set: MountAttr,
    /// `attr_clr`.
    pub clear: MountAttr,
}

/// What one option does.
#[derive(Debug, Clone, Copy)]
enum Effect {
    Nothing,
    Set(MountAttr),
    Clear(MountAttr),
    RecursiveSet(MountAttr),
    RecursiveClear(MountAttr),
    /// A value for the access time field.
    Atime(MountAttr),
    /// Back to relatime if the field has this value or none.
    NotAtime(MountAttr),
    /// Takes back an explicit `relatime`; the kernel has no such state.
    NoRelatime,
    RecursiveAtime(MountAttr),
    SuperSet(MountFlags),
    SuperClear(MountFlags),
    Bind(Extent),
    Remount,
    Propagate(Propagation),
    CopyUp,
    CopySymlink,
    Idmap(Extent),
}

/// Sorted by name. `relatime` is the access time field's value 0.
const OPTIONS: &[(&str, Effect)] = {
    use Effect::*;
    const RELATIME: MountAttr = MountAttr::empty();
    &[
        ("async", SuperClear(MountFlags::SYNCHRONOUS)),
        ("atime", NotAtime(MountAttr::NOATIME)),
        ("bind", Bind(Extent::Single)),
        ("copy-symlink", CopySymlink),
        ("defaults", Nothing),
        ("dev", Clear(MountAttr::NODEV)),
        ("diratime", Clear(MountAttr::NODIRATIME)),
        ("dirsync", SuperSet(MountFlags::DIRSYNC)),
        ("exec", Clear(MountAttr::NOEXEC)),
        ("idmap", Idmap(Extent::Single)),
        ("iversion", SuperSet(MountFlags::I_VERSION)),
        ("lazytime", SuperSet(MountFlags::LAZYTIME)),
        ("loud", SuperClear(MountFlags::SILENT)),
        ("mand", SuperSet(MountFlags::MANDLOCK)),
        ("noatime", Atime(MountAttr::NOATIME)),
        ("nodev", Set(MountAttr::NODEV)),
        ("nodiratime", Set(MountAttr::NODIRATIME)),
        ("noexec", Set(MountAttr::NOEXEC)),
        ("noiversion", SuperClear(MountFlags::I_VERSION)),
        ("nolazytime", SuperClear(MountFlags::LAZYTIME)),
        ("nomand", SuperClear(MountFlags::MANDLOCK)),
        ("norelatime", NoRelatime),
        ("nostrictatime", NotAtime(MountAttr::STRICTATIME)),
        ("nosuid", Set(MountAttr::NOSUID)),
        ("nosymfollow", Set(MountAttr::NOSYMFOLLOW)),
        ("private", Propagate(Propagation::Private)),
        ("ratime", RecursiveAtime(RELATIME)),
        ("rbind", Bind(Extent::Recursive)),
        ("rdev", RecursiveClear(MountAttr::NODEV)),
        ("rdiratime", RecursiveClear(MountAttr::NODIRATIME)),
        ("relatime", Atime(RELATIME)),
        ("remount", Remount),
        ("rexec", RecursiveClear(MountAttr::NOEXEC)),
        ("ridmap", Idmap(Extent::Recursive)),
        ("rnoatime", RecursiveAtime(MountAttr::NOATIME)),
        ("rnodev", RecursiveSet(MountAttr::NODEV)),
        ("rnodiratime", RecursiveSet(MountAttr::NODIRATIME)),
        ("rnoexec", RecursiveSet(MountAttr::NOEXEC)),
        ("rnorelatime", RecursiveAtime(RELATIME)),
        ("rnostrictatime", RecursiveAtime(RELATIME)),
        ("rnosuid", RecursiveSet(MountAttr::NOSUID)),
        ("rnosymfollow", RecursiveSet(MountAttr::NOSYMFOLLOW)),
        ("ro", Set(MountAttr::RDONLY)),
        ("rprivate", Propagate(Propagation::RPrivate)),
        ("rrelatime", RecursiveAtime(RELATIME)),
        ("rro", RecursiveSet(MountAttr::RDONLY)),
        ("rrw", RecursiveClear(MountAttr::RDONLY)),
        ("rshared", Propagate(Propagation::RShared)),
        ("rslave", Propagate(Propagation::RSlave)),
        ("rstrictatime", RecursiveAtime(MountAttr::STRICTATIME)),
        ("rsuid", RecursiveClear(MountAttr::NOSUID)),
        ("rsymfollow", RecursiveClear(MountAttr::NOSYMFOLLOW)),
        ("runbindable", Propagate(Propagation::RUnbindable)),
        ("rw", Clear(MountAttr::RDONLY)),
        ("shared", Propagate(Propagation::Shared)),
        ("silent", SuperSet(MountFlags::SILENT)),
        ("slave", Propagate(Propagation::Slave)),
        ("strictatime", Atime(MountAttr::STRICTATIME)),
        ("suid", Clear(MountAttr::NOSUID)),
        ("symfollow", Clear(MountAttr::NOSYMFOLLOW)),
        ("sync", SuperSet(MountFlags::SYNCHRONOUS)),
        ("tmpcopyup", CopyUp),
        ("unbindable", Propagate(Propagation::Unbindable)),
    ]
};

/// Names of all options that are not passed to the file system, sorted; the
/// `mountOptions` of `features`.
pub fn known() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|(name, _)| *name)
}

impl AttrChange {
    /// Whether nothing changes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.set.is_empty() && self.clear.is_empty()
    }

    fn add(&mut self, attr: MountAttr) {
        self.set.insert(attr);
        self.clear.remove(attr);
    }

    fn remove(&mut self, attr: MountAttr) {
        self.set.remove(attr);
        self.clear.insert(attr);
    }

    fn set_atime(&mut self, value: MountAttr) {
        self.clear.insert(MountAttr::ATIME);
        self.set.remove(MountAttr::ATIME);
        self.set.insert(value);
    }
}

impl<'a> MountOptions<'a> {
    /// Reads a list of options. Never fails: what is unknown is the file
    /// system's to judge.
    pub fn parse<I: IntoIterator<Item = &'a str>>(options: I) -> Self {
        let mut parsed = Self::default();
        for option in options {
            match OPTIONS.binary_search_by(|(name, _)| (*name).cmp(option)) {
                Ok(found) => {
                    if let Some((_, effect)) = OPTIONS.get(found) {
                        parsed.apply(*effect);
                    }
                }
                Err(_) if option.is_empty() => {}
                Err(_) => parsed.data.push(option),
            }
        }
        parsed
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::Set(attr) => self.attrs.add(attr),
            Effect::Clear(attr) => self.attrs.remove(attr),
            Effect::RecursiveSet(attr) => self.recursive_attrs.add(attr),
            Effect::RecursiveClear(attr) => self.recursive_attrs.remove(attr),
            Effect::Atime(value) => self.attrs.set_atime(value),
            Effect::NotAtime(value) => {
                let current = self.attrs.set.intersection(MountAttr::ATIME);
                if current.is_empty() || current == value {
                    self.attrs.set_atime(MountAttr::empty());
                }
            }
            Effect::NoRelatime => {
                if !self.attrs.set.intersects(MountAttr::ATIME) {
                    self.attrs.clear.remove(MountAttr::ATIME);
                }
            }
            Effect::RecursiveAtime(value) => self.recursive_attrs.set_atime(value),
            Effect::SuperSet(flag) => {
                self.super_set.insert(flag);
                self.super_clear.remove(flag);
            }
            Effect::SuperClear(flag) => {
                self.super_set.remove(flag);
                self.super_clear.insert(flag);
            }
            // As with the kernel's flags, `bind` does not take back `rbind`.
            Effect::Bind(extent) => self.bind = self.bind.max(Some(extent)),
            Effect::Remount => self.remount = true,
            Effect::Propagate(kind) => self.propagation.push(kind),
            Effect::CopyUp => self.copy_up = true,
            Effect::CopySymlink => self.copy_symlink = true,
            Effect::Idmap(extent) => self.idmap = Some(extent),
        }
    }

    /// Options for the file system, joined by commas; `mount(2)`'s `data`.
    #[must_use]
    pub fn data_string(&self) -> String {
        self.data.join(",")
    }

    /// Whether the mount is to be read-only.
    #[must_use]
    pub const fn is_readonly(&self) -> bool {
        self.attrs.set.contains(MountAttr::RDONLY)
    }

    /// Names for `fsconfig(FSCONFIG_SET_FLAG)` of a new file system. They
    /// include `ro`, which `mount(2)` too sets on both mount and file system.
    pub fn fsconfig_flags(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.is_readonly(), "ro"),
            (self.super_set.contains(MountFlags::SYNCHRONOUS), "sync"),
            (self.super_set.contains(MountFlags::DIRSYNC), "dirsync"),
            (self.super_set.contains(MountFlags::MANDLOCK), "mand"),
            (self.super_set.contains(MountFlags::LAZYTIME), "lazytime"),
            (self.super_set.contains(MountFlags::I_VERSION), "iversion"),
        ]
        .into_iter()
        .filter_map(|(wanted, name)| wanted.then_some(name))
    }

    /// The flags for `mount(2)`, without propagation and recursive attributes.
    #[must_use]
    pub fn mount_flags(&self) -> MountFlags {
        let mut flags = self.super_set;
        for (attr, flag) in [
            (MountAttr::RDONLY, MountFlags::RDONLY),
            (MountAttr::NOSUID, MountFlags::NOSUID),
            (MountAttr::NODEV, MountFlags::NODEV),
            (MountAttr::NOEXEC, MountFlags::NOEXEC),
            (MountAttr::NOATIME, MountFlags::NOATIME),
            (MountAttr::STRICTATIME, MountFlags::STRICTATIME),
            (MountAttr::NODIRATIME, MountFlags::NODIRATIME),
            (MountAttr::NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
        ] {
            flags.set(flag, self.attrs.set.contains(attr));
        }
        let relatime = self.attrs.clear.contains(MountAttr::ATIME)
            && !self.attrs.set.intersects(MountAttr::ATIME);
        flags.set(MountFlags::RELATIME, relatime);
        flags.set(MountFlags::REMOUNT, self.remount);
        flags.set(MountFlags::BIND, self.bind.is_some());
        flags.set(MountFlags::REC, self.bind == Some(Extent::Recursive));
        flags
    }
}

impl Mount {
    /// The options by effect. The type `bind` makes a bind mount even without
    /// the option, as crun has it; runc would fail.
    #[must_use]
    pub fn parsed_options(&self) -> MountOptions<'_> {
        let mut options = MountOptions::parse(self.options.iter().map(String::as_str));
        if options.bind.is_none() && self.kind.as_deref() == Some("bind") {
            options.bind = Some(Extent::Single);
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &'static [&'static str]) -> MountOptions<'static> {
        MountOptions::parse(options.iter().copied())
    }

    #[test]
    fn the_table_is_sorted_and_free_of_duplicates() {
        assert!(OPTIONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    /// The option names of config.md's table.
    #[test]
    fn every_option_of_the_specification_is_known() {
        let specified = "async atime bind defaults dev diratime dirsync exec iversion lazytime \
            loud mand noatime nodev nodiratime noexec noiversion nolazytime nomand norelatime \
            nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount \
            rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro \
            rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable \
            rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap";
        for name in specified.split_whitespace() {
            assert!(known().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn last_of_two_contradicting_options_wins() {
        assert_eq!(parse(&["ro", "rw"]).attrs.clear, MountAttr::RDONLY);
        assert!(parse(&["ro", "rw"]).attrs.set.is_empty());
        assert_eq!(parse(&["rw", "ro"]).attrs.set, MountAttr::RDONLY);
        assert_eq!(parse(&["rro", "rrw"]).recursive_attrs.clear, MountAttr::RDONLY);
        assert_eq!(parse(&["sync", "async"]).super_clear, MountFlags::SYNCHRONOUS);
        assert_eq!(parse(&["nosuid", "suid", "nosuid"]).attrs.set, MountAttr::NOSUID);
    }

    #[test]
    fn access_time_is_one_field() {
        for (options, set, clear) in [
            (&["noatime"][..], MountAttr::NOATIME, MountAttr::ATIME),
            (&["noatime", "strictatime"], MountAttr::STRICTATIME, MountAttr::ATIME),
            (&["strictatime", "relatime"], MountAttr::empty(), MountAttr::ATIME),
            (&["noatime", "atime"], MountAttr::empty(), MountAttr::ATIME),
            (&["atime"], MountAttr::empty(), MountAttr::ATIME),
            (&["strictatime", "atime"], MountAttr::STRICTATIME, MountAttr::ATIME),
            (&["noatime", "nostrictatime"], MountAttr::NOATIME, MountAttr::ATIME),
            (&["relatime", "norelatime"], MountAttr::empty(), MountAttr::empty()),
            (&["noatime", "norelatime"], MountAttr::NOATIME, MountAttr::ATIME),
            (&["norelatime"], MountAttr::empty(), MountAttr::empty()),
        ] {
            assert_eq!(parse(options).attrs, AttrChange { set, clear }, "{options:?}");
        }
        for (option, set) in [
            ("rnoatime", MountAttr::NOATIME),
            ("rstrictatime", MountAttr::STRICTATIME),
            ("rrelatime", MountAttr::empty()),
            ("ratime", MountAttr::empty()),
            ("rnorelatime", MountAttr::empty()),
            ("rnostrictatime", MountAttr::empty()),
        ] {
            let options = MountOptions::parse([option]);
            assert_eq!(options.recursive_attrs, AttrChange { set, clear: MountAttr::ATIME });
            assert!(options.attrs.is_empty());
        }
    }

    #[test]
    fn options_go_where_they_belong() {
        let options = parse(&[
            "rbind",
            "bind",
            "rslave",
            "private",
            "tmpcopyup",
            "ridmap",
            "",
            "defaults",
            "size=1m",
            "mode=755",
            "lazytime",
            "remount",
        ]);
        assert_eq!(options.bind, Some(Extent::Recursive));
        assert_eq!(options.propagation, [Propagation::RSlave, Propagation::Private]);
        assert!(options.copy_up && options.remount && !options.copy_symlink);
        assert_eq!(options.idmap, Some(Extent::Recursive));
        assert_eq!(options.data_string(), "size=1m,mode=755");
        assert_eq!(options.super_set, MountFlags::LAZYTIME);
    }

    #[test]
    fn flags_for_mount_2_have_the_kernels_numbers() {
        assert_eq!(parse(&["nosuid", "noexec", "nodev", "ro"]).mount_flags().bits(), 15);
        assert_eq!(parse(&["rbind", "ro"]).mount_flags().bits(), 4096 + 16384 + 1);
        assert_eq!(parse(&["nosuid", "strictatime"]).mount_flags().bits(), 2 + (1 << 24));
        assert_eq!(parse(&["relatime", "sync"]).mount_flags().bits(), (1 << 21) + 16);
    }

    #[test]
    fn file_system_flags_have_fsconfigs_names() {
        let options = parse(&["ro", "sync", "silent", "lazytime"]);
        assert_eq!(options.fsconfig_flags().collect::<Vec<_>>(), ["ro", "sync", "lazytime"]);
    }

    #[test]
    fn type_bind_is_a_bind_mount() {
        let mount = Mount { kind: Some("bind".to_owned()), ..Mount::default() };
        assert_eq!(mount.parsed_options().bind, Some(Extent::Single));
    }
}
