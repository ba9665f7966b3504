//! What stat(2) tells of a file.

/// Seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanoseconds: u32,
}

impl Time {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or(0);
        Time { seconds: now.tv_sec, nanoseconds }
    }
}

/// Types of files: the type bits of `st_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// FIFO or pipe.
    Fifo = 0o010_000,
    /// Character device.
    Character = 0o020_000,
    /// Directory.
    Directory = 0o040_000,
    /// Block device.
    Block = 0o060_000,
    /// Regular file.
    Regular = 0o100_000,
    /// Symbolic link.
    Link = 0o120_000,
    /// Socket.
    Socket = 0o140_000,
}

/// Bits of the mode that tell the type.
const KIND: u32 = 0o170_000;

impl Kind {
    /// By the type bits.
    #[must_use]
    pub fn of(mode: u32) -> Self {
        match mode & KIND {
            0o010_000 => Kind::Fifo,
            0o020_000 => Kind::Character,
            0o040_000 => Kind::Directory,
            0o060_000 => Kind::Block,
            0o120_000 => Kind::Link,
            0o140_000 => Kind::Socket,
            _ => Kind::Regular,
        }
    }

    /// `d_type` of getdents64(2).
    #[must_use]
    pub fn entry_type(self) -> u8 {
        u8::try_from((self as u32) >> 12).unwrap_or(0)
    }
}

/// Attributes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Device that holds it.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Names.
    pub links: u64,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Number of a device node.
    pub number: u64,
    /// Bytes.
    pub size: u64,
    /// Preferred size of reads.
    pub block_size: u64,
    /// Units of 512 bytes.
    pub blocks: u64,
    /// Last read.
    pub accessed: Time,
    /// Last write.
    pub modified: Time,
    /// Last change.
    pub changed: Time,
}

impl Attributes {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of(self.mode)
    }

    /// Whether it has a type at all: files as that of epoll(7) have none.
    #[must_use]
    pub fn has_kind(&self) -> bool {
        self.mode & KIND != 0
    }

    /// As the host tells them.
    #[must_use]
    pub fn from_host(stat: &rustix::fs::Stat) -> Self {
        let time = |seconds: i64, nanoseconds: u64| Time {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        };
        Attributes {
            device: stat.st_dev,
            inode: stat.st_ino,
            mode: stat.st_mode,
            links: stat.st_nlink,
            user: stat.st_uid,
            group: stat.st_gid,
            number: stat.st_rdev,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            block_size: u64::try_from(stat.st_blksize).unwrap_or(4096),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// As the host tells them by statx(2), if it was asked for all that stat(2) tells.
    #[must_use]
    pub fn from_statx(found: &rustix::fs::Statx) -> Self {
        let time = |time: rustix::fs::StatxTimestamp| Time {
            seconds: time.tv_sec,
            nanoseconds: time.tv_nsec,
        };
        Attributes {
            device: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            mode: found.stx_mode.into(),
            links: found.stx_nlink.into(),
            user: found.stx_uid,
            group: found.stx_gid,
            number: rustix::fs::makedev(found.stx_rdev_major, found.stx_rdev_minor),
            size: found.stx_size,
            block_size: found.stx_blksize.into(),
            blocks: found.stx_blocks,
            accessed: time(found.stx_atime),
            modified: time(found.stx_mtime),
            changed: time(found.stx_ctime),
        }
    }

    /// Of [`Self::stat_bytes`].
    #[must_use]
    pub fn from_stat_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let half = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let time = |at: usize| {
            let seconds = word(at)?.cast_signed();
            Some(Time { seconds, nanoseconds: half(at + 8)? })
        };
        Some(Attributes {
            device: word(0)?,
            inode: word(8)?,
            links: word(16)?,
            mode: half(24)?,
            user: half(28)?,
            group: half(32)?,
            number: word(40)?,
            size: word(48)?,
            block_size: word(56)?,
            blocks: word(64)?,
            accessed: time(72)?,
            modified: time(88)?,
            changed: time(104)?,
        })
    }

    /// `struct stat` of x86-64.
    #[must_use]
    pub fn stat_bytes(&self) -> [u8; 144] {
        let mut bytes = [0; 144];
        let mut at = 0;
        let mut put = |value: &[u8]| {
            if let Some(room) = bytes.get_mut(at..at + value.len()) {
                room.copy_from_slice(value);
            }
            at += value.len();
        };
        put(&self.device.to_le_bytes());
        put(&self.inode.to_le_bytes());
        put(&self.links.to_le_bytes());
        for word in [self.mode, self.user, self.group, 0] {
            put(&word.to_le_bytes());
        }
        for word in [self.number, self.size, self.block_size, self.blocks] {
            put(&word.to_le_bytes());
        }
        for time in [self.accessed, self.modified, self.changed] {
            put(&time.seconds.to_le_bytes());
            put(&u64::from(time.nanoseconds).to_le_bytes());
        }
        bytes
    }

    /// `struct statx`, with the basic fields; the mount's number, and whether it is its root;
    /// when a file in memory was made; how memory and offsets are to be aligned for `O_DIRECT`.
    #[must_use]
    pub fn statx_bytes(
        &self,
        mount: Option<(u64, bool)>,
        made: Option<Time>,
        direct: Option<u64>,
    ) -> [u8; 256] {
        const BASIC: u32 = 0x7ff;
        const MADE: u32 = 0x800;
        const DIRECT: u32 = 0x2000;
        // What every mount knows (automatic ones, its root, DAX), what a tmpfs knows besides:
        // immutable, append only, not dumped.
        const OF_ALL: u64 = 0x20_3000;
        const OF_MEMORY: u64 = 0x70;
        const MOUNT: u32 = 0x1000;
        const MOUNT_ROOT: u64 = 0x2000;
        let mut bytes = [0; 256];
        let mut put = |at: usize, value: &[u8]| {
            if let Some(room) = bytes.get_mut(at..at + value.len()) {
                room.copy_from_slice(value);
            }
        };
        let low = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0).to_le_bytes();
        let mask = if mount.is_some() { BASIC | MOUNT } else { BASIC };
        let mask = if made.is_some() { mask | MADE } else { mask };
        let mask = if direct.is_some() { mask | DIRECT } else { mask };
        put(0, &mask.to_le_bytes());
        let (number, root) = mount.unwrap_or_default();
        put(8, &(if root { MOUNT_ROOT } else { 0 }).to_le_bytes());
        let known = if made.is_some() { OF_ALL | OF_MEMORY } else { OF_ALL };
        put(56, &known.to_le_bytes());
        put(144, &number.to_le_bytes());
        let alignment = u32::try_from(direct.unwrap_or(0)).unwrap_or(0).to_le_bytes();
        put(152, &alignment);
        put(156, &alignment);
        put(4, &low(self.block_size));
        put(16, &low(self.links));
        put(20, &self.user.to_le_bytes());
        put(24, &self.group.to_le_bytes());
        put(28, &low(u64::from(self.mode & 0xffff))[..2]);
        put(32, &self.inode.to_le_bytes());
        put(40, &self.size.to_le_bytes());
        put(48, &self.blocks.to_le_bytes());
        let made = made.unwrap_or_default();
        let times = [(64, self.accessed), (80, made), (96, self.changed), (112, self.modified)];
        for (at, time) in times {
            put(at, &time.seconds.to_le_bytes());
            put(at + 8, &time.nanoseconds.to_le_bytes());
        }
        for (at, device) in [(128, self.number), (136, self.device)] {
            put(at, &rustix::fs::major(device).to_le_bytes());
            put(at + 4, &rustix::fs::minor(device).to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_kernels() {
        let attributes = Attributes { mode: 0o100_644, size: 7, user: 3, ..Attributes::default() };
        let stat = attributes.stat_bytes();
        assert_eq!(stat[24..28], 0o100_644_u32.to_le_bytes());
        assert_eq!(stat[28..32], 3_u32.to_le_bytes());
        assert_eq!(stat[48..56], 7_u64.to_le_bytes());
        let accessed = Time { seconds: -5, nanoseconds: 6 };
        let all = Attributes { number: 4, links: 2, blocks: 9, inode: 8, accessed, ..attributes };
        assert_eq!(Attributes::from_stat_bytes(&all.stat_bytes()), Some(all));
        assert_eq!(Attributes::from_stat_bytes(&stat[..100]), None);
        let statx = attributes.statx_bytes(None, None, None);
        assert_eq!(statx[28..30], 0o100_644_u16.to_le_bytes());
        assert_eq!(statx[40..48], 7_u64.to_le_bytes());
    }

    #[test]
    fn entry_types_are_those_of_dirent() {
        assert_eq!(Kind::Directory.entry_type(), 4);
        assert_eq!(Kind::Regular.entry_type(), 8);
        assert_eq!(Kind::Link.entry_type(), 10);
    }
}
