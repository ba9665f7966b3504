//! Hostile trees against resolution: nothing outside the root is ever reached.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use caisson_rootpath::{FileKind, PathFault, Root, check_null, check_regular};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mknodat};
use rustix::io::Errno;
use tempfile::TempDir;

/// `<tmp>/outside/…` must never be reached, `<tmp>/root` is the root.
fn tree() -> (TempDir, Root) {
    let tmp = tempfile::tempdir().unwrap();
    for dir in ["outside/etc", "root/etc", "root/a/b/c"] {
        fs::create_dir_all(tmp.path().join(dir)).unwrap();
    }
    fs::write(tmp.path().join("outside/etc/passwd"), "host").unwrap();
    fs::write(tmp.path().join("root/etc/passwd"), "inside").unwrap();
    let root = Root::open(&tmp.path().join("root")).unwrap();
    (tmp, root)
}

fn ino(fd: impl AsFd) -> u64 {
    fstat(fd).unwrap().st_ino
}

fn p(path: &str) -> &Path {
    Path::new(path)
}

#[test]
fn dot_dot_and_absolute_stop_at_the_root() {
    let (tmp, root) = tree();
    let inside = fs::metadata(tmp.path().join("root/etc/passwd")).unwrap().ino();
    for path in [
        "/etc/passwd",
        "etc/passwd",
        "../etc/passwd",
        "/../../../../etc/passwd",
        "a/b/c/../../../../../../etc/passwd",
        "//etc//./passwd",
    ] {
        assert_eq!(ino(root.resolve(p(path)).unwrap()), inside, "{path}");
    }
    let root_ino = ino(&root);
    for path in ["/", ".", "..", "../..", "/a/../.."] {
        assert_eq!(ino(root.resolve_dir(p(path)).unwrap()), root_ino, "{path}");
    }
}

#[test]
fn links_at_every_component_stay_inside() {
    let (tmp, root) = tree();
    let outside = tmp.path().join("outside");
    let inside = fs::metadata(tmp.path().join("root/etc/passwd")).unwrap().ino();
    let host = fs::metadata(outside.join("etc/passwd")).unwrap().ino();
    let up = "../".repeat(40);
    // Target -> does the path below it exist inside the root?
    let absolute = outside.to_str().unwrap().to_owned();
    let relative = format!("{up}{}", &absolute[1..]);
    let targets = [
        ("/".to_owned(), true),
        ("../../..".to_owned(), true),
        (up, true),
        ("/..".to_owned(), true),
        (absolute, false),
        (relative, false),
        ("../outside".to_owned(), false),
    ];
    for (target, found) in targets {
        for at in ["x", "a/x", "a/b/x", "a/b/c/x"] {
            let link = tmp.path().join("root").join(at);
            symlink(&target, &link).unwrap();
            let got = root.resolve(&p(at).join("etc/passwd"));
            match (found, got) {
                (true, Ok(fd)) => assert_eq!(ino(fd), inside, "{at} -> {target}"),
                (false, Err(e)) => assert!(e.is_not_found(), "{at} -> {target}: {e}"),
                (_, got) => panic!("{at} -> {target}: {got:?} (host file is inode {host})"),
            }
            fs::remove_file(link).unwrap();
        }
    }
}

#[test]
fn magic_links_are_refused() {
    let (tmp, root) = tree();
    // The host's own root, with its real /proc, is the worst case.
    let host = Root::open(p("/")).unwrap();
    let fd = fs::File::open(tmp.path()).unwrap();
    let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    for path in [
        "/proc/self/root",
        "/proc/self/root/etc/passwd",
        "/proc/self/cwd",
        "/proc/self/exe",
        "/proc/thread-self/root/etc",
        &own,
    ] {
        let e = host.resolve(p(path)).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::LOOP), "{path}: {e}");
        let e = host.mkdir_all(&p(path).join("new"), Mode::RWXU).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::LOOP), "{path}: {e}");
        let e = host.create_file_at(p(path), Mode::RWXU).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::LOOP), "{path}: {e}");
    }
    assert!(!tmp.path().join("new").exists());
    // A link to one from within a root without /proc just dangles.
    symlink("/proc/self/root/etc/passwd", tmp.path().join("root/magic")).unwrap();
    assert!(root.resolve(p("magic")).unwrap_err().is_not_found());
}

#[test]
fn link_loops_and_long_chains_end() {
    let (tmp, root) = tree();
    let dir = tmp.path().join("root");
    symlink("loop", dir.join("loop")).unwrap();
    symlink("pong", dir.join("ping")).unwrap();
    symlink("ping", dir.join("pong")).unwrap();
    // Each level doubles the walk: 2^40 steps if nobody counted.
    symlink("nowhere", dir.join("l0")).unwrap();
    for i in 1..40 {
        symlink(format!("l{}/../l{}", i - 1, i - 1), dir.join(format!("l{i}"))).unwrap();
    }
    let start = Instant::now();
    for path in ["loop", "loop/x", "ping", "ping/x", "l39", "l39/x"] {
        assert!(root.resolve(p(path)).is_err(), "{path}");
        assert!(root.mkdir_all(p(path), Mode::RWXU).is_err(), "{path}");
        assert!(root.create_file_at(p(path), Mode::RWXU).is_err(), "{path}");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn last_link_is_kept_on_demand() {
    let (tmp, root) = tree();
    symlink("/etc/passwd", tmp.path().join("root/link")).unwrap();
    let fd = root.resolve_no_follow_last(p("/link")).unwrap();
    let mode = fstat(fd).unwrap().st_mode;
    assert_eq!(FileType::from_raw_mode(mode), FileType::Symlink);
    assert_eq!(root.read_link(p("/link")).unwrap(), p("/etc/passwd"));
    let e = root.read_link(p("/etc/passwd")).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::INVAL));
}

/// mknod of a device needs root (CAP_MKNOD).
#[test]
fn only_regular_files_are_opened() {
    let (tmp, root) = tree();
    let dir = tmp.path().join("root");
    mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let null = rustix::fs::makedev(1, 3);
    mknodat(CWD, dir.join("null"), FileType::CharacterDevice, Mode::RWXU, null).unwrap();
    let _socket = UnixListener::bind(dir.join("socket")).unwrap();
    symlink("fifo", dir.join("to-fifo")).unwrap();

    let start = Instant::now();
    for (path, kind) in [
        ("fifo", FileKind::Fifo),
        ("to-fifo", FileKind::Fifo),
        ("null", FileKind::CharDevice),
        ("socket", FileKind::Socket),
        ("a", FileKind::Directory),
    ] {
        for flags in [OFlags::RDONLY, OFlags::WRONLY] {
            let e = root.open_file(p(path), flags).unwrap_err();
            match e.source {
                PathFault::WrongKind { found, .. } => assert_eq!(found, kind, "{path}"),
                other => panic!("{path}: {other:?}"),
            }
        }
        assert!(root.read_file_capped(p(path), 100).is_err(), "{path}");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "it blocked");

    check_null(root.resolve(p("null")).unwrap()).unwrap();
    assert!(check_null(root.resolve(p("etc/passwd")).unwrap()).is_err());
    check_regular(root.resolve(p("etc/passwd")).unwrap()).unwrap();
    root.resolve_device(p("null"), FileKind::CharDevice, 1, 3).unwrap();
    for (kind, major, minor) in
        [(FileKind::CharDevice, 1, 5), (FileKind::CharDevice, 5, 3), (FileKind::BlockDevice, 1, 3)]
    {
        let e = root.resolve_device(p("null"), kind, major, minor).unwrap_err();
        assert!(e.is_conflict(), "{e}");
    }
}

#[test]
fn reading_is_capped() {
    let (tmp, root) = tree();
    assert_eq!(root.read_file_capped(p("/etc/passwd"), 6).unwrap(), b"inside");
    let e = root.read_file_capped(p("/etc/passwd"), 5).unwrap_err();
    assert!(matches!(e.source, PathFault::TooLong { max: 5 }), "{e}");
    // Sparse, 1 TiB: must not be read into memory.
    let big = fs::File::create(tmp.path().join("root/big")).unwrap();
    big.set_len(1 << 40).unwrap();
    assert!(root.read_file_capped(p("big"), 4096).is_err());
    assert!(root.open_file(p("big"), OFlags::RDWR | OFlags::TRUNC).is_err());
    assert!(root.open_file(p("new"), OFlags::RDWR | OFlags::CREATE).is_err());
    assert!(!tmp.path().join("root/new").exists());
}

#[test]
fn parents_have_names() {
    let (tmp, root) = tree();
    let (dir, name) = root.parent_and_name(p("/a/b/c/new")).unwrap();
    assert_eq!(ino(dir), fs::metadata(tmp.path().join("root/a/b/c")).unwrap().ino());
    assert_eq!(name, "new");
    assert_eq!(ino(root.parent_and_name(p("x")).unwrap().0), ino(&root));
    for path in ["/", "..", "a/..", ".", ""] {
        assert!(root.parent_and_name(p(path)).is_err(), "{path}");
    }
    assert!(root.parent_and_name(p("missing/x")).unwrap_err().is_not_found());
}

#[test]
fn odd_input_is_an_error() {
    let (tmp, root) = tree();
    let long = "x/".repeat(5000);
    let name = "y".repeat(300);
    for path in ["", "a\0b", &long, &name] {
        assert!(root.resolve(p(path)).is_err());
        assert!(root.mkdir_all(p(path), Mode::RWXU).is_err());
        assert!(root.create_file_at(p(path), Mode::RWXU).is_err());
    }
    let file = fs::File::open(tmp.path().join("root/etc/passwd")).unwrap();
    assert!(Root::from_fd(file.into()).is_err());
    assert!(Root::open(&tmp.path().join("root/etc/passwd")).is_err());
}

#[test]
fn errors_name_path_and_reason() {
    let (_tmp, root) = tree();
    let e = root.mkdir_all(p("/etc/passwd/b"), Mode::RWXU).unwrap_err();
    assert_eq!(
        e.to_string(),
        "cannot create directory \"/etc/passwd/b\" below the container's root: \
         Not a directory (os error 20)"
    );
}
