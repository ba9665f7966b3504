//! `--pid-file`.

use std::ffi::OsString;
use std::fs::{OpenOptions, remove_file, rename};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes `pid`, without a newline, so that readers see all of it or no file:
/// to `.NAME` beside it first, which must not exist yet, and then renamed.
pub(super) fn write(path: &Path, pid: i32) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    let temporary = path.with_file_name(hidden);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&temporary)?;
    let done = file.write_all(pid.to_string().as_bytes()).and_then(|()| rename(&temporary, path));
    if done.is_err() {
        let _ = remove_file(&temporary);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::write;

    #[test]
    fn the_file_holds_the_number_and_nothing_stays_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        std::fs::write(&path, "old").unwrap();
        write(&path, 42).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "42");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_at_the_temporary_name_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "kept").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(".pid")).unwrap();
        assert!(write(&dir.path().join("pid"), 42).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
        assert!(write(std::path::Path::new("/"), 1).is_err());
    }
}
