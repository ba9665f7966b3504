//! Options of mounts, as mount(8) and config.json write them.

use super::{MountFlags, Propagation};

/// Why an option is refused.
#[derive(Debug, thiserror::Error)]
pub enum MountOptionError {
    /// It is not known.
    #[error("mount option `{option}` for {kind} is not supported")]
    Unknown {
        /// The option.
        option: String,
        /// Type of file system.
        kind: String,
    },
    /// Its value is none.
    #[error("mount option `{option}`: the value is not a number in range")]
    Value {
        /// The option.
        option: String,
    },
}

/// Options, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Flags.
    pub flags: MountFlags,
    /// `bind` or `rbind`: whether with what is mounted below.
    pub bind: Option<bool>,
    /// Who sees what is mounted in it; what is mounted there by then, each of its own.
    pub propagation: Option<Propagation>,
    /// Bytes that a tmpfs may hold.
    pub size: Option<u64>,
    /// Files that a tmpfs may hold.
    pub inodes: Option<u64>,
    /// Permissions of a tmpfs's root.
    pub mode: Option<u32>,
    /// Owner of a tmpfs's root.
    pub user: Option<u32>,
    /// Group of a tmpfs's root.
    pub group: Option<u32>,
    /// Options without effect here, which `/proc/mounts` still tells.
    pub others: Vec<String>,
}

impl Options {
    /// Understands a list of options for a type of file system.
    ///
    /// # Errors
    /// [`MountOptionError`]
    pub fn parse<'a>(
        kind: &str,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Result<Options, MountOptionError> {
        let mut all = Options::default();
        for option in options.into_iter().filter(|o| !o.is_empty()) {
            all.add(kind, option)?;
        }
        Ok(all)
    }

    fn add(&mut self, kind: &str, option: &str) -> Result<(), MountOptionError> {
        use MountFlags as F;
        let flag = match option {
            "ro" => Some((F::READ_ONLY, true)),
            "rw" => Some((F::READ_ONLY, false)),
            "nosuid" => Some((F::NO_SUID, true)),
            "suid" => Some((F::NO_SUID, false)),
            "nodev" => Some((F::NO_DEVICES, true)),
            "dev" => Some((F::NO_DEVICES, false)),
            "noexec" => Some((F::NO_EXECUTE, true)),
            "exec" => Some((F::NO_EXECUTE, false)),
            "noatime" => Some((F::NO_ACCESS_TIMES, true)),
            "atime" => Some((F::NO_ACCESS_TIMES, false)),
            "nodiratime" => Some((F::NO_DIRECTORY_ACCESS_TIMES, true)),
            "diratime" => Some((F::NO_DIRECTORY_ACCESS_TIMES, false)),
            "relatime" => Some((F::RELATIVE_ACCESS_TIMES, true)),
            "norelatime" => Some((F::RELATIVE_ACCESS_TIMES, false)),
            "nosymfollow" => Some((F::NO_LINKS, true)),
            "symfollow" => Some((F::NO_LINKS, false)),
            _ => None,
        };
        if let Some((flag, on)) = flag {
            self.flags.set(flag, on);
            return Ok(());
        }
        let memory = matches!(kind, "tmpfs" | "devtmpfs" | "mqueue");
        match option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value))) {
            ("bind", None) => self.bind = Some(false),
            ("rbind", None) => self.bind = Some(true),
            ("shared" | "rshared", None) => self.propagation = Some(Propagation::Shared),
            ("slave" | "rslave", None) => self.propagation = Some(Propagation::Slave),
            ("private" | "rprivate", None) => self.propagation = Some(Propagation::Private),
            ("unbindable" | "runbindable", None) => {
                self.propagation = Some(Propagation::Unbindable);
            }
            ("defaults" | "strictatime" | "async", None) => {}
            ("size", Some(value)) if memory => self.size = Some(size_of(option, value)?),
            ("nr_inodes", Some(value)) if memory => self.inodes = Some(size_of(option, value)?),
            ("mode", Some(value)) if memory => {
                let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                self.mode = Some(mode.ok_or_else(|| bad(option))?);
            }
            ("uid", Some(value)) if memory => self.user = Some(number(option, value)?),
            ("gid", Some(value)) if memory => self.group = Some(number(option, value)?),
            // Hints, and labels of a host that we are not.
            ("huge" | "nr_blocks" | "context" | "hidepid" | "subset", Some(_))
            | ("tmpcopyup" | "notmpcopyup" | "nsdelegate" | "inode64", None) => {
                self.others.push(option.to_owned());
            }
            ("newinstance", None) | ("ptmxmode" | "mode" | "gid" | "uid" | "max", Some(_))
                if kind == "devpts" =>
            {
                self.others.push(option.to_owned());
            }
            _ => {
                let (option, kind) = (option.to_owned(), kind.to_owned());
                return Err(MountOptionError::Unknown { option, kind });
            }
        }
        Ok(())
    }
}

fn bad(option: &str) -> MountOptionError {
    MountOptionError::Value { option: option.to_owned() }
}

fn number(option: &str, value: &str) -> Result<u32, MountOptionError> {
    value.parse().map_err(|_| bad(option))
}

/// Bytes, with `k`, `m`, `g` behind the number, or a share of memory, of an option.
///
/// # Errors
/// [`MountOptionError::Value`]
pub fn size_of(option: &str, value: &str) -> Result<u64, MountOptionError> {
    let (digits, factor) = match value.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (value.get(..at), 1 << 10),
        Some((at, 'm' | 'M')) => (value.get(..at), 1 << 20),
        Some((at, 'g' | 'G')) => (value.get(..at), 1 << 30),
        Some((at, '%')) => {
            let share: u64 =
                value.get(..at).unwrap_or_default().parse().map_err(|_| bad(option))?;
            let (total, _) = crate::syscalls::system::memory();
            return (total / 100).checked_mul(share).ok_or_else(|| bad(option));
        }
        _ => (Some(value), 1),
    };
    let digits: u64 = digits.unwrap_or_default().parse().map_err(|_| bad(option))?;
    digits.checked_mul(factor).ok_or_else(|| bad(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_understood_or_refused_by_name() {
        let list = ["nosuid", "nodev", "mode=1777", "size=64k", "rw", "rprivate"];
        let all = Options::parse("tmpfs", list).unwrap();
        assert_eq!(all.flags, MountFlags::NO_SUID | MountFlags::NO_DEVICES);
        assert_eq!((all.mode, all.size), (Some(0o1777), Some(65_536)));
        assert_eq!(Options::parse("bind", ["rbind", "ro"]).unwrap().bind, Some(true));
        let text = Options::parse("tmpfs", ["size=x"]).unwrap_err().to_string();
        assert!(text.contains("size=x"), "{text}");
        let text = Options::parse("bind", ["idmap"]).unwrap_err().to_string();
        assert!(text.contains("`idmap` for bind"), "{text}");
        assert!(Options::parse("tmpfs", ["size=99999999999999999999g"]).is_err());
    }
}
