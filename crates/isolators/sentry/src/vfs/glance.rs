//! Whether the content of a file may be copied from a mapping of it in place of being read.
//!
//! Both are the same on file systems whose mappings show what a read gives. What a read does
//! beside that, to set the time of access and to tell where the file ends, is seen to here.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, Stat};

use super::Time;

/// `f_type` of file systems of the host's that keep content in its memory's pages, as they map
/// it.
const LOCAL: [i64; 7] = [
    0xef53,      // ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0xf2f5_2010, // f2fs
    0xe0f5_e1e2, // erofs
    TMPFS,
    OVERLAY,
];
const TMPFS: i64 = 0x0102_1994;
const OVERLAY: i64 = 0x794c_7630;

/// A time that is set may be behind the clock by so much.
const TICK: Duration = Duration::from_millis(20);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known of a file of which something is mapped.
#[derive(Debug)]
pub struct Glance {
    /// How long it was, by which count of changes, and when that was.
    known: Option<(u64, u64, Instant)>,
    /// When it was last changed before it was mapped, if the host's descriptor may show another
    /// file once it is changed.
    copied: Option<Time>,
    /// What is mapped of its holes gets memory.
    fills: bool,
    /// The time of access is none of the host's.
    timeless: bool,
    /// What is mapped is no good any more.
    spent: bool,
    /// When it was last read after a look at its times.
    read: Option<Time>,
}

impl Glance {
    /// Of a file of the host's that is about to be mapped; `None` if it is to be read each time.
    #[must_use]
    pub fn of(fd: BorrowedFd<'_>) -> Option<Self> {
        const NOT_STRICT: i64 = (libc::ST_NOATIME | libc::ST_RELATIME).cast_signed();
        let told = rustix::fs::fstatfs(fd).ok()?;
        let kind = told.f_type;
        if !LOCAL.contains(&kind) || told.f_flags & NOT_STRICT == 0 {
            return None;
        }
        let reads = rustix::fs::fcntl_getfl(fd).ok()? & OFlags::ACCMODE == OFlags::RDONLY;
        let stat = rustix::fs::fstat(fd).ok()?;
        let glance = Glance {
            copied: (kind == OVERLAY && reads).then(|| Times::of(&stat).changed),
            fills: kind == TMPFS || kind == OVERLAY,
            timeless: false,
            ..Glance::of_memory()
        };
        (!glance.has_holes(&stat)).then_some(glance)
    }

    /// Of a file of the sentry's, whose times are its own.
    #[must_use]
    pub fn of_memory() -> Self {
        Glance { known: None, copied: None, fills: true, timeless: true, spent: false, read: None }
    }

    /// Whether it is mapped by a descriptor of its own: the one at hand may be of another file
    /// than what is read by it.
    #[must_use]
    pub fn is_opened_anew(&self) -> bool {
        self.copied.is_some()
    }

    /// Whether what is mapped may be something else than what is read, for good.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    fn has_holes(&self, stat: &Stat) -> bool {
        self.fills && number(stat.st_blocks) * 512 < number(stat.st_size)
    }

    /// How long it is, if that is known by the count of changes, and not for longer than `most`.
    #[must_use]
    pub fn known(&self, count: u64, most: Duration) -> Option<u64> {
        let (size, before, at) = self.known?;
        (before == count && at.elapsed() < most).then_some(size)
    }

    /// How long it is; `None` if it is to be read all the same. The count of changes is that
    /// before it was asked.
    pub fn look(&mut self, stat: &Stat, count: u64) -> Option<u64> {
        self.known = None;
        let (size, times) = (number(stat.st_size), Times::of(stat));
        self.spent |=
            self.has_holes(stat) || self.copied.is_some_and(|before| before != times.changed);
        if self.spent {
            return None;
        }
        if !self.timeless {
            let now = Time::now();
            if times.are_due(now, self.read) {
                self.read = Some(now);
                return None;
            }
        }
        self.known = Some((size, count, Instant::now()));
        Some(size)
    }
}

fn number(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

struct Times {
    accessed: Time,
    modified: Time,
    changed: Time,
}

impl Times {
    fn of(stat: &Stat) -> Self {
        let time = |seconds, nanoseconds: u64| {
            let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
            Time { seconds, nanoseconds }
        };
        Times {
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Whether a read sets the time of access, as `relatime` has it; where one did not, which is
    /// told with its time, another does not either.
    fn are_due(&self, now: Time, read: Option<Time>) -> bool {
        let nanoseconds =
            |time: Time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
        let span = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        let [accessed, now] = [self.accessed, now].map(nanoseconds);
        let changed = nanoseconds(self.modified).max(nanoseconds(self.changed));
        let set = accessed > changed && now - accessed < span(DAY);
        let in_vain = read.map(nanoseconds).is_some_and(|read| {
            read > changed + span(TICK) && (0..span(DAY)).contains(&(now - read))
        });
        !set && !in_vain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_that_set_the_time_of_access_are_made() {
        let at = |seconds| Time { seconds, nanoseconds: 0 };
        let times = |accessed, modified, changed| Times {
            accessed: at(accessed),
            modified: at(modified),
            changed: at(changed),
        };
        let day = 24 * 60 * 60;
        for (times, now, read, due) in [
            (times(100, 50, 50), 110, None, false),
            (times(100, 100, 50), 110, None, true),
            (times(100, 50, 101), 110, None, true),
            (times(100, 50, 50), 100 + day, None, true),
            // It did not: `noatime`.
            (times(40, 50, 50), 110, Some(60), false),
            (times(40, 50, 50), 110, Some(50), true),
            (times(40, 50, 50), 60 + day, Some(60), true),
            // The clock was set back.
            (times(40, 50, 50), 55, Some(60), true),
        ] {
            assert_eq!(times.are_due(at(now), read.map(at)), due, "{now} {read:?}");
        }
    }

    #[test]
    fn a_size_is_known_until_something_changes() {
        let fd = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::io::pwrite(&fd, &[1; 8192], 0).unwrap();
        let mut glance = Glance::of_memory();
        let long = Duration::from_secs(3600);
        assert_eq!(glance.known(1, long), None);
        assert_eq!(glance.look(&rustix::fs::fstat(&fd).unwrap(), 1), Some(8192));
        assert_eq!(glance.known(1, long), Some(8192));
        assert_eq!((glance.known(2, long), glance.known(1, Duration::ZERO)), (None, None));
        rustix::fs::ftruncate(&fd, 1 << 20).unwrap();
        assert_eq!(glance.look(&rustix::fs::fstat(&fd).unwrap(), 2), None, "it has a hole");
        assert_eq!(glance.known(2, long), None);
    }
}
