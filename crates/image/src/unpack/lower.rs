//! Looks a path up in the layers below, as an overlay mount of them would.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, OFlags, Stat, statat};
use rustix::io::Errno;

use super::WhiteoutForm;
use super::dirs::open_dir;
use super::metadata::is_opaque;
use super::path::{RelPath, path_of};

/// What the lower layers have at a path.
pub(crate) enum Found {
    /// A directory, open for reading.
    Dir(OwnedFd),
    /// Anything else: its directory, its name, and what it is.
    File(OwnedFd, Vec<u8>, Box<Stat>),
}

/// What one layer says.
enum Answer {
    Found(Found),
    /// Not here; look further down.
    Absent,
    /// Not here, and nothing further down shows.
    Hidden,
}

/// The topmost of `lowers` (first is top) that shows `path`. Whiteouts and
/// opaque directories count; no symbolic link is followed.
pub(crate) fn find(
    lowers: &[BorrowedFd<'_>],
    path: &RelPath,
    form: WhiteoutForm,
) -> Result<Option<Found>, Errno> {
    for lower in lowers {
        match find_in(*lower, path, form)? {
            Answer::Found(found) => return Ok(Some(found)),
            Answer::Absent => {}
            Answer::Hidden => return Ok(None),
        }
    }
    Ok(None)
}

pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn find_in(lower: BorrowedFd<'_>, path: &RelPath, form: WhiteoutForm) -> Result<Answer, Errno> {
    let mut dir = open_dir(lower, b"", OFlags::RDONLY)?;
    let Some((parent, last)) = path.split() else {
        return Ok(Answer::Found(Found::Dir(dir)));
    };
    let mut is_covered = false;
    let absent = |is_covered| if is_covered { Answer::Hidden } else { Answer::Absent };
    for name in super::path::names(parent) {
        dir = match open_dir(&dir, name, OFlags::RDONLY) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(absent(is_covered)),
            // A whiteout, a file or a link: no directory shows through it.
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Answer::Hidden),
            Err(errno) => return Err(errno),
        };
        is_covered |= is_opaque(&dir, form)?;
    }
    let stat = match statat(&dir, path_of(last), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(absent(is_covered)),
        Err(errno) => return Err(errno),
    };
    if is_whiteout(&stat) {
        return Ok(Answer::Hidden);
    }
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Ok(Answer::Found(Found::Dir(open_dir(&dir, last, OFlags::RDONLY)?)));
    }
    Ok(Answer::Found(Found::File(dir, last.to_vec(), Box::new(stat))))
}
