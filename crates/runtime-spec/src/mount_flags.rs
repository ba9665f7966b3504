//! Kernel constants of mounts, `linux/mount.h`.

use bitflags::bitflags;

bitflags! {
    /// `MOUNT_ATTR_*` bits of `mount_setattr(2)` and `fsmount(2)`.
    ///
    /// [`MountAttr::ATIME`] is a field of two bits, not a flag: its value 0 is
    /// relatime.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct MountAttr: u64 {
        /// Read-only.
        const RDONLY = 0x1;
        /// No set-user-ID programs.
        const NOSUID = 0x2;
        /// No device nodes.
        const NODEV = 0x4;
        /// No programs.
        const NOEXEC = 0x8;
        /// Mask of the access time field.
        const ATIME = 0x70;
        /// Value of the access time field: never updated.
        const NOATIME = 0x10;
        /// Value of the access time field: always updated.
        const STRICTATIME = 0x20;
        /// No access times of directories.
        const NODIRATIME = 0x80;
        /// Idmapped.
        const IDMAP = 0x0010_0000;
        /// No symbolic links (Linux 5.14).
        const NOSYMFOLLOW = 0x0020_0000;
    }
}

bitflags! {
    /// `MS_*` bits of `mount(2)`.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// Read-only.
        const RDONLY = 1;
        /// No set-user-ID programs.
        const NOSUID = 1 << 1;
        /// No device nodes.
        const NODEV = 1 << 2;
        /// No programs.
        const NOEXEC = 1 << 3;
        /// Writes are synchronous.
        const SYNCHRONOUS = 1 << 4;
        /// Change a mount.
        const REMOUNT = 1 << 5;
        /// Mandatory locks (without effect since Linux 5.15).
        const MANDLOCK = 1 << 6;
        /// Directory changes are synchronous.
        const DIRSYNC = 1 << 7;
        /// No symbolic links (Linux 5.10).
        const NOSYMFOLLOW = 1 << 8;
        /// No access times.
        const NOATIME = 1 << 10;
        /// No access times of directories.
        const NODIRATIME = 1 << 11;
        /// Bind mount.
        const BIND = 1 << 12;
        /// With submounts.
        const REC = 1 << 14;
        /// Fewer kernel messages.
        const SILENT = 1 << 15;
        /// Access times now and then.
        const RELATIME = 1 << 21;
        /// Inode versions.
        const I_VERSION = 1 << 23;
        /// Every access time.
        const STRICTATIME = 1 << 24;
        /// Times are written lazily.
        const LAZYTIME = 1 << 25;
    }
}

impl MountFlags {
    /// Flags of the file system rather than of the mount.
    pub const SUPER: Self = Self::SYNCHRONOUS
        .union(Self::MANDLOCK)
        .union(Self::DIRSYNC)
        .union(Self::SILENT)
        .union(Self::I_VERSION)
        .union(Self::LAZYTIME);
}
