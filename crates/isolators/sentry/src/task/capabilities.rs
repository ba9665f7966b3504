//! Capabilities: the five sets of capabilities(7), securebits, and what becomes of
//! them when ids change or a program is executed.

mod caps {
    #![allow(missing_docs, reason = "names of the manual page capabilities(7)")]

    bitflags::bitflags! {
        /// Sets of capabilities, by their numbers on Linux.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Caps: u64 {
            const CHOWN = 1;
            const DAC_OVERRIDE = 1 << 1;
            const DAC_READ_SEARCH = 1 << 2;
            const FOWNER = 1 << 3;
            const FSETID = 1 << 4;
            const KILL = 1 << 5;
            const SETGID = 1 << 6;
            const SETUID = 1 << 7;
            const SETPCAP = 1 << 8;
            const LINUX_IMMUTABLE = 1 << 9;
            const NET_BIND_SERVICE = 1 << 10;
            const NET_ADMIN = 1 << 12;
            const NET_RAW = 1 << 13;
            const IPC_LOCK = 1 << 14;
            const IPC_OWNER = 1 << 15;
            const SYS_CHROOT = 1 << 18;
            const SYS_PTRACE = 1 << 19;
            const SYS_ADMIN = 1 << 21;
            const SYS_NICE = 1 << 23;
            const SYS_RESOURCE = 1 << 24;
            const CHECKPOINT_RESTORE = 1 << 40;
            const SYS_TTY_CONFIG = 1 << 26;
            const MKNOD = 1 << 27;
            const LEASE = 1 << 28;
            const SETFCAP = 1 << 31;
        const MAC_OVERRIDE = 1 << 32;
            const SYSLOG = 1 << 34;
            /// Those that Linux 6 knows: 0 to 40.
            const ALL = (1 << 41) - 1;
        }
    }
}

pub use caps::Caps;

/// The last one's number.
pub const LAST: u64 = 40;

/// Those that have to do with files, which follow the file-system user.
const OF_FILES: Caps = Caps::CHOWN
    .union(Caps::DAC_OVERRIDE)
    .union(Caps::DAC_READ_SEARCH)
    .union(Caps::FOWNER)
    .union(Caps::FSETID)
    .union(Caps::LINUX_IMMUTABLE)
    .union(Caps::MAC_OVERRIDE)
    .union(Caps::MKNOD);

bitflags::bitflags! {
    /// `SECBIT_*`, each with its lock.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SecureBits: u32 {
        /// User 0 gets nothing by executing.
        const NO_ROOT = 1;
        /// Nothing follows the user ids.
        const NO_FIXUP = 4;
        /// What is permitted stays when the last id of root's is given up.
        const KEEP = 16;
        /// Nothing more becomes ambient.
        const NO_AMBIENT_RAISE = 64;
        /// The locks of these.
        const LOCKS = 2 | 8 | 32 | 128;
    }
}

/// Those of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    /// What it can ever get by executing.
    pub bounding: Caps,
    /// What it may make effective.
    pub permitted: Caps,
    /// What it can do.
    pub effective: Caps,
    /// What executing can pass on.
    pub inheritable: Caps,
    /// What executing passes on.
    pub ambient: Caps,
    /// `SECBIT_*`
    pub secure: SecureBits,
    /// Nothing is gained by executing.
    pub no_new_privs: bool,
}

/// What a file gives to who executes it (`security.capability`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCaps {
    /// Becomes permitted.
    pub permitted: Caps,
    /// Becomes permitted if it is inheritable.
    pub inheritable: Caps,
    /// Whether it is effective, too.
    pub effective: bool,
}

impl FileCaps {
    /// `struct vfs_cap_data`, revision 2, or 3 of the first user namespace; `None` for
    /// what is nothing of that kind.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
        };
        let magic = word(0)?;
        let root = match (magic >> 24, bytes.len()) {
            (2, 20) => 0,
            (3, 24) => word(20)?,
            _ => return None,
        };
        let set = |low: usize, high: usize| {
            let bits = u64::from(word(low)?) | u64::from(word(high)?) << 32;
            Some(Caps::from_bits_truncate(bits))
        };
        let found =
            Self { permitted: set(4, 12)?, inheritable: set(8, 16)?, effective: magic & 1 != 0 };
        (root == 0).then_some(found)
    }
}

impl CapabilitySets {
    /// Those of who has made a user namespace, in that.
    pub fn fill(&mut self) {
        let no_new_privs = self.no_new_privs;
        *self = CapabilitySets { no_new_privs, ..CapabilitySets::of_user(0) };
    }

    /// Those of root, or of another user, who has nothing but what he may get.
    #[must_use]
    pub fn of_user(user: u32) -> Self {
        let own = if user == 0 { Caps::ALL } else { Caps::empty() };
        CapabilitySets {
            bounding: Caps::ALL,
            permitted: own,
            effective: own,
            ..CapabilitySets::default()
        }
    }

    /// Follows a change of the user ids (real, effective, saved, file system's).
    pub fn follow(&mut self, old: [u32; 4], new: [u32; 4]) {
        if self.secure.contains(SecureBits::NO_FIXUP) {
            return;
        }
        let had_root = old.iter().take(3).any(|id| *id == 0);
        let has_root = new.iter().take(3).any(|id| *id == 0);
        if had_root && !has_root {
            if !self.secure.contains(SecureBits::KEEP) {
                self.permitted = Caps::empty();
                self.effective = Caps::empty();
            }
            self.ambient = Caps::empty();
        }
        if old[1] == 0 && new[1] != 0 {
            self.effective = Caps::empty();
        } else if old[1] != 0 && new[1] == 0 {
            self.effective = self.permitted;
        }
    }

    /// Follows a change of the file system's user alone: setfsuid(2).
    pub fn follow_file_user(&mut self, old: u32, new: u32) {
        if self.secure.contains(SecureBits::NO_FIXUP) {
            return;
        }
        if old == 0 && new != 0 {
            self.effective -= OF_FILES;
        } else if old != 0 && new == 0 {
            self.effective |= self.permitted & OF_FILES;
        }
    }

    /// What executing makes of them: `users` are those with which the program runs,
    /// `set_id` tells whether the file changed one. Returns whether more is permitted than
    /// the real user alone would have.
    ///
    /// # Errors
    /// `EPERM` if the file asks to be effective with more than what it may get.
    pub fn execute(
        &mut self,
        users: [u32; 4],
        file: Option<FileCaps>,
        set_id: bool,
    ) -> Result<bool, rustix::io::Errno> {
        let [real, effective_user, ..] = users;
        let file = file.filter(|_| !self.no_new_privs);
        let has_file = file.is_some();
        let mut given = file.unwrap_or_default();
        let by_root = !self.secure.contains(SecureBits::NO_ROOT);
        // A file's own capabilities win over root's, if another user made it set-id.
        let honoured = !(has_file && effective_user == 0 && real != 0);
        if by_root && honoured && (real == 0 || effective_user == 0) {
            given.permitted = Caps::ALL;
            given.inheritable = Caps::ALL;
            given.effective |= effective_user == 0;
        }
        if has_file || set_id {
            self.ambient = Caps::empty();
        }
        let permitted = (self.inheritable & given.inheritable)
            | (given.permitted & self.bounding)
            | self.ambient;
        if has_file && given.effective && !permitted.contains(given.permitted) {
            return Err(rustix::io::Errno::PERM);
        }
        self.permitted = permitted;
        self.effective = if given.effective { permitted } else { self.ambient };
        self.secure -= SecureBits::KEEP;
        let gained = !self.ambient.contains(permitted) && real != 0;
        Ok(set_id || gained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_up_root_gives_up_all_unless_it_is_kept() {
        let mut sets = CapabilitySets::of_user(0);
        sets.follow([0; 4], [0, 5, 0, 5]);
        assert_eq!((sets.permitted, sets.effective), (Caps::ALL, Caps::empty()));
        sets.follow([0, 5, 0, 5], [0; 4]);
        assert_eq!(sets.effective, Caps::ALL);
        let mut kept = sets;
        sets.follow([0; 4], [5; 4]);
        assert_eq!(sets.permitted, Caps::empty());
        kept.secure |= SecureBits::KEEP;
        kept.follow([0; 4], [5; 4]);
        assert_eq!((kept.permitted, kept.effective), (Caps::ALL, Caps::empty()));
    }

    #[test]
    fn executing_gives_what_the_file_and_the_bounding_set_have_in_common() {
        let file = FileCaps {
            permitted: Caps::NET_RAW | Caps::KILL,
            effective: false,
            ..FileCaps::default()
        };
        let mut sets = CapabilitySets::of_user(5);
        sets.bounding = Caps::NET_RAW;
        assert_eq!(sets.execute([5; 4], Some(file), false), Ok(true));
        assert_eq!((sets.permitted, sets.effective), (Caps::NET_RAW, Caps::empty()));
        let eager = FileCaps { effective: true, ..file };
        assert!(sets.execute([5; 4], Some(eager), false).is_err());
        let mut bound = CapabilitySets { no_new_privs: true, ..CapabilitySets::of_user(5) };
        assert_eq!(bound.execute([5; 4], Some(file), false), Ok(false));
        assert_eq!(bound.permitted, Caps::empty());
    }

    #[test]
    fn what_is_ambient_is_passed_on() {
        let mut sets = CapabilitySets::of_user(5);
        sets.permitted = Caps::NET_BIND_SERVICE;
        sets.inheritable = sets.permitted;
        sets.ambient = sets.permitted;
        assert_eq!(sets.execute([5; 4], None, false), Ok(false));
        assert_eq!(sets.effective, Caps::NET_BIND_SERVICE);
        assert_eq!(sets.execute([5, 5, 5, 5], None, true), Ok(true));
        assert_eq!(sets.effective, Caps::empty());
    }

    #[test]
    fn root_has_what_the_bounding_set_leaves() {
        let mut sets = CapabilitySets::of_user(0);
        sets.bounding = Caps::CHOWN;
        assert_eq!(sets.execute([0; 4], None, false), Ok(false));
        assert_eq!((sets.permitted, sets.effective), (Caps::CHOWN, Caps::CHOWN));
        sets.secure = SecureBits::NO_ROOT;
        assert_eq!(sets.execute([0; 4], None, false), Ok(false));
        assert_eq!(sets.permitted, Caps::empty());
    }

    #[test]
    fn only_the_format_of_linux_is_read() {
        let mut bytes = vec![1, 0, 0, 2];
        bytes.extend([1_u32, 2, 1, 0].iter().flat_map(|w| w.to_le_bytes()));
        let found = FileCaps::parse(&bytes).unwrap();
        assert!(found.effective);
        assert_eq!(found.permitted, Caps::CHOWN | Caps::from_bits_retain(1 << 32));
        assert_eq!(found.inheritable, Caps::DAC_OVERRIDE);
        assert!(FileCaps::parse(&bytes[..19]).is_none());
        bytes[3] = 9;
        assert!(FileCaps::parse(&bytes).is_none());
    }
}
