//! Creation below the root: mount points, nodes, links; and what may not work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use caisson_rootpath::{Node, NodeKind, Root, check_char_device, same_inode};
use rustix::fs::{Gid, Mode, OFlags, Uid, fstat};
use rustix::io::{Errno, fcntl_getfd};
use tempfile::TempDir;

const DIR_MODE: Mode = Mode::from_raw_mode(0o755);
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

fn tree() -> (TempDir, Root) {
    let tmp = tempfile::tempdir().unwrap();
    for dir in ["outside", "root/etc", "root/a/b"] {
        fs::create_dir_all(tmp.path().join(dir)).unwrap();
    }
    fs::write(tmp.path().join("root/etc/file"), "kept").unwrap();
    let root = Root::open(&tmp.path().join("root")).unwrap();
    (tmp, root)
}

fn p(path: &str) -> &Path {
    Path::new(path)
}

fn ino(fd: impl AsFd) -> u64 {
    fstat(fd).unwrap().st_ino
}

fn outside_is_empty(tmp: &TempDir) {
    let names: Vec<_> = fs::read_dir(tmp.path().join("outside")).unwrap().collect();
    assert!(names.is_empty(), "{names:?}");
    let mut top: Vec<_> =
        fs::read_dir(tmp.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    top.sort();
    assert_eq!(top, ["outside", "root"]);
}

#[test]
fn directories_are_made_where_they_should() {
    let (tmp, root) = tree();
    for (path, real) in [
        ("/a", "a"),
        ("/a/new", "a/new"),
        ("/x/y/z", "x/y/z"),
        ("../../up", "up"),
        ("/a/../b2/./c", "b2/c"),
        ("/no/such/../thing", "no/thing"),
        ("/", ""),
        ("/trail/", "trail"),
    ] {
        let fd = root.mkdir_all(p(path), DIR_MODE).unwrap();
        let meta = fs::metadata(tmp.path().join("root").join(real)).unwrap();
        assert!(meta.is_dir(), "{path}");
        assert_eq!(ino(&fd), meta.ino(), "{path}");
        assert!(fcntl_getfd(&fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        // Again: the same one.
        assert!(same_inode(&fd, root.mkdir_all(p(path), DIR_MODE).unwrap()).unwrap());
    }
    assert!(!tmp.path().join("root/no/such").exists());
    outside_is_empty(&tmp);
}

#[test]
fn existing_mode_is_kept_and_new_mode_applies() {
    let (tmp, root) = tree();
    root.mkdir_all(p("p/q"), Mode::from_raw_mode(0o700)).unwrap();
    for dir in ["p", "p/q"] {
        let mode = fs::metadata(tmp.path().join("root").join(dir)).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o700, "{dir}");
    }
    root.mkdir_all(p("p/q"), DIR_MODE).unwrap();
    let mode = fs::metadata(tmp.path().join("root/p/q")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn links_are_followed_inside_dangling_ones_too() {
    let (tmp, root) = tree();
    let dir = tmp.path().join("root");
    let outside = tmp.path().join("outside");
    symlink("/a/b", dir.join("good")).unwrap();
    symlink("run/state", dir.join("dangling")).unwrap();
    symlink("../../../../run/up", dir.join("a/escape")).unwrap();
    symlink(&outside, dir.join("a/absolute")).unwrap();
    symlink("dangling/further", dir.join("chain")).unwrap();
    for (path, real) in [
        ("good/n", "a/b/n".to_owned()),
        ("dangling/n", "run/state/n".to_owned()),
        ("a/escape", "run/up".to_owned()),
        ("chain", "run/state/further".to_owned()),
        ("a/absolute/n", format!("{}/n", &outside.to_str().unwrap()[1..])),
    ] {
        let fd = root.mkdir_all(p(path), DIR_MODE).unwrap();
        assert_eq!(ino(fd), fs::metadata(dir.join(real)).unwrap().ino(), "{path}");
    }
    // The well-known case: resolv.conf as a link into an empty /run.
    symlink("../run/systemd/resolve/stub", dir.join("etc/resolv.conf")).unwrap();
    let fd = root.create_file_at(p("/etc/resolv.conf"), FILE_MODE).unwrap();
    let made = fs::metadata(dir.join("run/systemd/resolve/stub")).unwrap();
    assert!(made.is_file());
    assert_eq!(ino(fd), made.ino());
    outside_is_empty(&tmp);
}

#[test]
fn files_are_made_or_found() {
    let (tmp, root) = tree();
    let dir = tmp.path().join("root");
    let fd = root.create_file_at(p("/etc/file"), FILE_MODE).unwrap();
    assert_eq!(ino(fd), fs::metadata(dir.join("etc/file")).unwrap().ino());
    assert_eq!(fs::read(dir.join("etc/file")).unwrap(), b"kept");
    for path in ["/etc/new", "/m/n/o", "../top"] {
        let fd = root.create_file_at(p(path), FILE_MODE).unwrap();
        let again = root.create_file_at(p(path), FILE_MODE).unwrap();
        assert!(same_inode(fd, again).unwrap(), "{path}");
    }
    assert!(dir.join("top").is_file());
    for path in ["/a", "/", "/a/..", "/a/b/"] {
        let e = root.create_file_at(p(path), FILE_MODE).unwrap_err();
        assert!(e.is_conflict(), "{path}: {e}");
    }
    let e = root.create_file_at(p("/etc/file/x"), FILE_MODE).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::NOTDIR));
    outside_is_empty(&tmp);
}

/// Needs root (CAP_MKNOD, CAP_CHOWN).
#[test]
fn nodes_are_exact_and_conflicts_are_errors() {
    let (tmp, root) = tree();
    let dir = tmp.path().join("root");
    let node = |kind, mode| Node {
        kind,
        mode: Mode::from_raw_mode(mode),
        uid: Uid::from_raw(12),
        gid: Gid::from_raw(34),
    };
    // 0666 against the usual umask of 022 takes the slow way.
    let null = node(NodeKind::Char { major: 1, minor: 3 }, 0o666);
    let fd = root.mknod(p("/dev/null"), &null).unwrap();
    check_char_device(&fd, 1, 3).unwrap();
    let meta = fs::metadata(dir.join("dev/null")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o666, 12, 34));
    // Kept, owner too.
    rustix::fs::chown(dir.join("dev/null"), Some(Uid::ROOT), Some(Gid::ROOT)).unwrap();
    assert!(same_inode(&fd, root.mknod(p("/dev/null"), &null).unwrap()).unwrap());
    assert_eq!(fs::metadata(dir.join("dev/null")).unwrap().uid(), 0);

    let loop0 = NodeKind::Block { major: 7, minor: 0 };
    let zero = NodeKind::Char { major: 1, minor: 5 };
    for kind in [zero, loop0, NodeKind::Fifo] {
        let e = root.mknod(p("/dev/null"), &node(kind, 0o600)).unwrap_err();
        assert!(e.is_conflict(), "{e}");
    }
    root.mknod(p("/dev/block"), &node(loop0, 0o600)).unwrap();
    root.mknod(p("/dev/fifo"), &node(NodeKind::Fifo, 0o600)).unwrap();

    // A link in its place, whatever it leads to, is not the device.
    symlink("null", dir.join("dev/zero")).unwrap();
    symlink(tmp.path().join("outside/zero"), dir.join("dev/dangling")).unwrap();
    for path in ["/dev/zero", "/dev/dangling"] {
        let e = root.mknod(p(path), &node(zero, 0o666)).unwrap_err();
        assert!(e.is_conflict(), "{e}");
    }
    let dev = root.resolve_dir(p("/dev")).unwrap();
    root.mknod_in(dev.as_fd(), OsStr::new("random"), &node(zero, 0o666)).unwrap();
    for name in ["..", "", "a/b", "/", "../x", "."] {
        assert!(root.mknod_in(dev.as_fd(), OsStr::new(name), &null).is_err(), "{name}");
        assert!(root.symlink_in(dev.as_fd(), OsStr::new(name), p("t")).is_err(), "{name}");
    }
    outside_is_empty(&tmp);
}

#[test]
fn links_are_made_once() {
    let (tmp, root) = tree();
    let dir = tmp.path().join("root");
    root.symlink(p("/a/fd"), p("/proc/self/fd")).unwrap();
    root.symlink(p("/a/fd"), p("/proc/self/fd")).unwrap();
    assert_eq!(fs::read_link(dir.join("a/fd")).unwrap(), p("/proc/self/fd"));
    assert!(root.symlink(p("/a/fd"), p("/proc/self/fd/")).unwrap_err().is_conflict());
    let e = root.symlink(p("/etc/file"), p("x")).unwrap_err();
    assert!(e.is_conflict(), "{e}");
    outside_is_empty(&tmp);
}

/// Needs root (CAP_CHOWN).
#[test]
fn chown_and_remove_do_not_follow() {
    let (tmp, root) = tree();
    let dir = tmp.path().join("root");
    let victim = tmp.path().join("root/etc/file");
    symlink("/etc/file", dir.join("link")).unwrap();
    root.chown(p("link"), Some(Uid::from_raw(7)), None).unwrap();
    assert_eq!(fs::symlink_metadata(dir.join("link")).unwrap().uid(), 7);
    assert_eq!(fs::metadata(&victim).unwrap().uid(), 0);
    root.remove(p("link")).unwrap();
    assert!(victim.exists());
    assert!(fs::symlink_metadata(dir.join("link")).is_err());
    root.remove(p("/a/b")).unwrap();
    let e = root.remove(p("/etc")).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::NOTEMPTY));
    assert!(root.remove(p("/gone")).unwrap_err().is_not_found());
    assert!(root.remove(p("/a/..")).is_err());
    root.open_file(p("/etc/file"), OFlags::RDONLY).unwrap();
}
