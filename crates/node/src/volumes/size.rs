//! How much is in a volume, which a container may be changing meanwhile.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

/// Directories within each other that are looked into, each of which takes a
/// descriptor.
const MAX_DEPTH: usize = 256;

/// Bytes of the files below `root`, each file once. No link is followed; what
/// goes away meanwhile does not count.
pub(super) fn of(root: &Path) -> std::io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty())?;
    let mut levels: Vec<(OwnedFd, Dir)> = vec![level(top)?];
    let (mut total, mut shared) = (0_u64, BTreeSet::new());
    while let Some((fd, dir)) = levels.last_mut() {
        let Some(entry) = dir.read() else {
            levels.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = match statat(fd.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match openat(fd.as_fd(), name, flags, Mode::empty()) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Ok(_) if levels.len() >= MAX_DEPTH => return Err(Errno::NAMETOOLONG.into()),
                Ok(inner) => levels.push(level(inner)?),
                Err(error) => return Err(error.into()),
            }
        } else if stat.st_nlink < 2 || shared.insert((stat.st_dev, stat.st_ino)) {
            total = total.saturating_add(u64::try_from(stat.st_size).unwrap_or_default());
        }
    }
    Ok(total)
}

fn level(fd: OwnedFd) -> Result<(OwnedFd, Dir), Errno> {
    let dir = Dir::read_from(&fd)?;
    Ok((fd, dir))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn every_file_counts_once_and_links_lead_nowhere() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir_all(at("volume/a/b")).unwrap();
        std::fs::create_dir(at("other")).unwrap();
        std::fs::write(at("other/large"), [0; 9000]).unwrap();
        std::fs::write(at("volume/a/one"), [0; 100]).unwrap();
        std::fs::write(at("volume/a/b/two"), [0; 20]).unwrap();
        std::fs::hard_link(at("volume/a/one"), at("volume/a/b/again")).unwrap();
        std::os::unix::fs::symlink("../other", at("volume/out")).unwrap();
        assert_eq!(of(&at("volume")).unwrap(), 120 + "../other".len() as u64);
        assert!(of(&at("none")).is_err());
    }
}
