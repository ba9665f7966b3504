//! Mounts of containers that have no mount namespace: they lie on the host.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

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

/// Where procfs and sysfs are mounted, but for `rootfs` and below; parents first.
pub(crate) fn revealing(rootfs: &Path) -> Result<Vec<PathBuf>, StepError> {
    let table = std::fs::read("/proc/self/mountinfo").context(|| "read mountinfo")?;
    Ok(revealing_in(&table, rootfs))
}

fn revealing_in(table: &[u8], rootfs: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in table.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b' ');
        let Some(point) = fields.nth(4).map(unescaped) else { continue };
        let kind = fields.skip_while(|field| *field != b"-").nth(1);
        if matches!(kind, Some(b"proc" | b"sysfs")) && !point.starts_with(rootfs) {
            found.push(point);
        }
    }
    found
}

/// The reverse of [`escaped`].
fn unescaped(mut text: &[u8]) -> PathBuf {
    let mut name = Vec::with_capacity(text.len());
    while let Some((&byte, rest)) = text.split_first() {
        text = rest;
        let octal = rest.get(..3).filter(|_| byte == b'\\');
        let code = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => {
                name.push(code);
                text = rest.get(3..).unwrap_or_default();
            }
            None => name.push(byte),
        }
    }
    PathBuf::from(OsString::from_vec(name))
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

    use super::{count, revealing_in};

    #[test]
    fn bare_procfs_is_found_outside_the_root() {
        let table = b"30 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            31 30 0:5 / /proc rw shared:1 - proc proc rw\n\
            32 30 0:6 / /a\\040b/sys rw - sysfs sysfs rw\n\
            33 30 0:5 / /root/proc rw - proc proc rw\n\
            34 30 0:7 / /dev rw - tmpfs proc rw\n";
        let found = revealing_in(table, Path::new("/root"));
        assert_eq!(found, [Path::new("/proc"), Path::new("/a b/sys")]);
    }

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
