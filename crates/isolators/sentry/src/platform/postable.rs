//! Which calls can be posted (`post.rs`), and what a thread does with each.

/// Numbers that are looked at.
pub(super) const COUNT: usize = 512;
/// Bytes of a `struct epoll_event`.
pub(super) const EVENT: usize = 12;

bitflags::bitflags! {
    /// What a thread does with a call that can be posted.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Kind: u8 {
        /// It posts it: the call needs nothing but its arguments and the thread's memory,
        /// changes neither tasks nor signals, and mostly does not wait. If it changes what is
        /// mapped the thread makes it, once it is approved.
        const POSTED = 1;
        /// Copies what it reads: the second argument's, as long as the third says.
        const DATA = 2;
        /// Copies the path at the first argument.
        const FIRST_PATH = 4;
        /// That at the second.
        const SECOND_PATH = 8;
        /// Looks first whether what is at the second argument, as long as the third says, or
        /// as much of that as a room holds, can be written: the call can't be made again.
        const PROBED = 16;
        /// What it writes it would write if it were made again.
        const AGAIN = 32;
        /// With `PROBED`: the third argument counts `struct epoll_event`s.
        const EVENTS = 64;
        /// Copies the `struct epoll_event` at the fourth argument.
        const FOURTH_EVENT = 128;
    }
}

/// Of a call number.
#[must_use]
pub fn kind(number: u64) -> Kind {
    let bits = usize::try_from(number).ok().and_then(|number| TABLE.get(number));
    bits.map_or(Kind::empty(), |bits| Kind::from_bits_truncate(*bits))
}

/// What [`kind`] tells, as the page of instructions has it.
pub(super) static TABLE: [u8; COUNT] = {
    const PLAIN: Kind = Kind::POSTED;
    const DATA: Kind = PLAIN.union(Kind::DATA);
    const PROBED: Kind = PLAIN.union(Kind::PROBED);
    const AGAIN: Kind = PLAIN.union(Kind::AGAIN);
    const FIRST: Kind = PLAIN.union(Kind::FIRST_PATH);
    const SECOND: Kind = PLAIN.union(Kind::SECOND_PATH);
    let mut table = [0; COUNT];
    let rows: [(&[u16], Kind); 14] = [
        // close, lseek, readv, writev, fcntl, getuid, getgid, geteuid, getegid, getppid
        (&[3, 8, 19, 20, 72, 102, 104, 107, 108, 110], PLAIN),
        // dup, ftruncate, fchmod, fchown, umask, fallocate
        (&[32, 77, 91, 93, 95, 285], PLAIN),
        // mmap, mprotect, munmap, madvise
        (&[9, 10, 11, 28], PLAIN),
        // epoll_wait
        (&[232], PROBED.union(Kind::EVENTS)),
        // epoll_ctl
        (&[233], PLAIN.union(Kind::FOURTH_EVENT)),
        // write, pwrite64, sendto
        (&[1, 18, 44], DATA),
        // read, recvfrom, getdents64
        (&[0, 45, 217], PROBED),
        // fstat, pread64, gettimeofday, fgetxattr, flistxattr, time, clock_gettime, clock_getres
        (&[5, 17, 96, 193, 196, 201, 228, 229], AGAIN),
        // open, access, rename, mkdir, rmdir, unlink
        (&[2, 21, 82, 83, 84, 87], FIRST),
        // link, symlink, chmod, chown, lchown, symlinkat
        (&[86, 88, 90, 92, 94, 266], FIRST),
        // openat, unlinkat, faccessat, faccessat2
        (&[257, 263, 269, 439], SECOND),
        // mkdirat, fchownat, renameat, linkat, fchmodat, utimensat, renameat2
        (&[258, 260, 264, 265, 268, 280, 316], SECOND),
        // stat, lstat, readlink, getxattr, lgetxattr, listxattr, llistxattr
        (&[4, 6, 89, 191, 192, 194, 195], FIRST.union(Kind::AGAIN)),
        // newfstatat, readlinkat, statx
        (&[262, 267, 332], SECOND.union(Kind::AGAIN)),
    ];
    let mut row = 0;
    while row < rows.len() {
        let mut at = 0;
        while at < rows[row].0.len() {
            table[rows[row].0[at] as usize] = rows[row].1.bits();
            at += 1;
        }
        row += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told() {
        let (first, second) = (Kind::FIRST_PATH, Kind::SECOND_PATH);
        for (number, wanted) in [
            (0, Kind::POSTED | Kind::PROBED),
            (1, Kind::POSTED | Kind::DATA),
            (4, Kind::POSTED | first | Kind::AGAIN),
            (8, Kind::POSTED),
            (232, Kind::POSTED | Kind::PROBED | Kind::EVENTS),
            (233, Kind::POSTED | Kind::FOURTH_EVENT),
            (17, Kind::POSTED | Kind::AGAIN),
            (257, Kind::POSTED | second),
            (9, Kind::POSTED),
            (12, Kind::empty()),
            (511, Kind::empty()),
            (512, Kind::empty()),
            (u64::MAX, Kind::empty()),
        ] {
            assert_eq!(kind(number), wanted, "{number}");
        }
    }
}
