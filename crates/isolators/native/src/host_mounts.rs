//! Mounts of containers that have no mount namespace: they lie on the host.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::mount::{UnmountFlags, unmount};

use crate::step::{Context, StepError};

/// How many mounts lie on each other at `path`, by proc_pid_mountinfo(5).
pub(crate) fn stacked(path: &Path) -> Result<usize, StepError> {
    let table = std::fs::read("/proc/self/mountinfo").context(|| "read mountinfo")?;
    Ok(count(&table, path))
}

fn count(table: &[u8], path: &Path) -> usize {
    let wanted = escaped(path);
    let points = table.split(|&byte| byte == b'\n').map(|line| line.split(|&byte| byte == b' '));
    points.filter_map(|mut fields| fields.nth(4)).filter(|point| *point == wanted).count()
}

/// A name as the table shows it: names need not be UTF-8 there, and four bytes
/// are octal (`mangle_path` in the kernel).
fn escaped(path: &Path) -> Vec<u8> {
    let mut escaped = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").bytes()),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Takes away what was mounted at `path`, and all below it, since there were
/// `before` mounts.
pub(crate) fn unmount_since(path: &Path, before: usize) -> Result<(), StepError> {
    for _ in before..stacked(path)? {
        unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .context(|| format!("unmount {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    use super::count;

    #[test]
    fn odd_names_are_found() {
        let table = b"30 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            31 30 8:1 /a /mnt/a\\040b\\011c\\134d rw - ext4 /dev/sda1 rw\n\
            32 31 8:1 /a /mnt/a\\040b\\011c\\134d rw - ext4 /dev/sda1 rw\n\
            33 30 8:1 /a /mnt/\xff# rw - ext4 /dev/sda1 rw\n";
        assert_eq!(count(table, Path::new("/mnt/a b\tc\\d")), 2);
        assert_eq!(count(table, Path::new(OsStr::from_bytes(b"/mnt/\xff#"))), 1);
        assert_eq!(count(table, Path::new("/")), 1);
        assert_eq!(count(table, Path::new("/mnt")), 0);
    }
}
