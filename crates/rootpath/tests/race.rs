//! A thread swaps a directory with a link to the outside as fast as it can,
//! while another resolves and creates below it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use caisson_rootpath::{Node, NodeKind, Root, RootPathError};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, RenameFlags, Uid, mknodat, renameat_with};
use rustix::io::Errno;
use tempfile::TempDir;

const FOR: Duration = Duration::from_millis(500);

/// All inodes at and below `dir`.
fn inodes(dir: &Path) -> Vec<u64> {
    let mut found = vec![fs::symlink_metadata(dir).unwrap().ino()];
    if fs::symlink_metadata(dir).unwrap().is_dir() {
        for entry in fs::read_dir(dir).unwrap() {
            found.extend(inodes(&entry.unwrap().path()));
        }
    }
    found
}

/// The tree outside mirrors the one inside, so that an escape would succeed.
fn tree() -> TempDir {
    let tmp = tempfile::tempdir().unwrap();
    for top in ["root/a/swap", "outside"] {
        fs::create_dir_all(tmp.path().join(top).join("deep/er")).unwrap();
        fs::write(tmp.path().join(top).join("deep/file"), "x").unwrap();
    }
    tmp
}

/// Runs `work` against the attacker for a while; returns (successes, failures).
fn under_attack(
    tmp: &TempDir,
    target: &Path,
    mut work: impl FnMut(&Root, u32) -> Result<std::os::fd::OwnedFd, RootPathError>,
) -> (u32, u32) {
    let base = tmp.path().to_owned();
    let root = Root::open(&base.join("root")).unwrap();
    let evil = base.join("root/a/evil");
    symlink(target, &evil).unwrap();
    let before = inodes(&base.join("outside"));
    let stop = AtomicBool::new(false);
    let counts = thread::scope(|s| {
        s.spawn(|| {
            let swap = base.join("root/a/swap");
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &swap, CWD, &evil, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let start = Instant::now();
        let (mut good, mut bad, mut i) = (0, 0, 0);
        // Stop the attacker also when an assertion fails.
        let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while start.elapsed() < FOR {
                i += 1;
                match work(&root, i) {
                    Ok(fd) => {
                        good += 1;
                        assert_inside(&base, &before, fd.as_fd());
                    }
                    Err(e) => {
                        bad += 1;
                        assert_ne!(e.errno(), Some(Errno::AGAIN), "not retried");
                    }
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = verdict {
            std::panic::resume_unwind(panic);
        }
        (good, bad)
    });
    assert_eq!(inodes(&base.join("outside")), before, "something appeared outside");
    counts
}

fn assert_inside(base: &Path, outside: &[u64], fd: std::os::fd::BorrowedFd<'_>) {
    let stat = rustix::fs::fstat(fd).unwrap();
    assert!(!outside.contains(&stat.st_ino), "a descriptor of the outside");
    let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
    assert!(path.starts_with(base.join("root")), "{}", path.display());
}

fn targets(tmp: &TempDir) -> [PathBuf; 3] {
    [
        tmp.path().join("outside"),
        PathBuf::from("../../outside"),
        PathBuf::from(format!("{}outside", "../".repeat(30))),
    ]
}

#[test]
fn resolve_under_attack() {
    for n in 0..3 {
        let tmp = tree();
        let (good, bad) = under_attack(&tmp, &targets(&tmp)[n], |root, i| match i % 3 {
            0 => root.resolve(Path::new("/a/swap/deep/file")),
            1 => root.resolve(Path::new("/a/swap/deep/er/../../../swap/deep")),
            _ => root.open_file(Path::new("/a/swap/deep/file"), OFlags::RDONLY).map(Into::into),
        });
        println!("resolve: {good} inside, {bad} refused");
        assert!(good > 0 && bad > 0, "the race did not happen: {good} {bad}");
    }
}

#[test]
fn mkdir_all_under_attack() {
    for n in 0..3 {
        let tmp = tree();
        let (good, bad) = under_attack(&tmp, &targets(&tmp)[n], |root, i| {
            let path = format!("/a/swap/deep/er/d{}/e/f", i % 500);
            root.mkdir_all(Path::new(&path), Mode::RWXU)
        });
        println!("mkdir_all: {good} inside, {bad} refused");
        assert!(good > 0);
    }
}

#[test]
fn swapped_while_being_made() {
    // The swapped directory is itself what is to be made.
    for n in 0..3 {
        let tmp = tree();
        let (good, bad) = under_attack(&tmp, &targets(&tmp)[n], |root, i| {
            if i % 2 == 0 {
                root.mkdir_all(Path::new("/a/swap"), Mode::RWXU)
            } else {
                root.mkdir_all(Path::new("/a/evil/new"), Mode::RWXU)
            }
        });
        println!("mkdir_all of the swapped one: {good} inside, {bad} refused");
        assert!(good > 0);
    }
}

#[test]
fn create_file_at_under_attack() {
    for n in 0..3 {
        let tmp = tree();
        let (good, bad) = under_attack(&tmp, &targets(&tmp)[n], |root, i| {
            let path = format!("/a/swap/deep/n{}/file", i % 500);
            root.create_file_at(Path::new(&path), Mode::RWXU)
        });
        println!("create_file_at: {good} inside, {bad} refused");
        assert!(good > 0);
    }
}

/// Needs root (CAP_MKNOD).
#[test]
fn mknod_symlink_remove_under_attack() {
    let node = Node {
        kind: NodeKind::Char { major: 1, minor: 3 },
        mode: Mode::from_raw_mode(0o600),
        uid: Uid::ROOT,
        gid: Gid::ROOT,
    };
    for n in 0..3 {
        let tmp = tree();
        let (good, bad) = under_attack(&tmp, &targets(&tmp)[n], |root, i| {
            let path = format!("/a/swap/deep/er/null{}", i % 200);
            let link = format!("/a/swap/deep/er/link{}", i % 200);
            let _ = root.symlink(Path::new(&link), Path::new("x"));
            let _ = root.remove(Path::new("/a/swap/deep/file"));
            let _ = root.chown(Path::new("/a/swap/deep/er"), Some(Uid::from_raw(9)), None);
            root.mknod(Path::new(&path), &node)
        });
        println!("mknod: {good} inside, {bad} refused");
        assert!(good > 0);
        let er = fs::metadata(tmp.path().join("outside/deep/er")).unwrap();
        assert_eq!(er.uid(), 0, "ownership changed outside");
    }
}

#[test]
fn moved_out_of_the_root_while_walking_up() {
    // With the host's help a directory leaves the root while `..` are walked
    // in it: the kernel must notice, we must retry or fail.
    let tmp = tree();
    let base = tmp.path();
    let root = Root::open(&base.join("root")).unwrap();
    let inner = base.join("root/a/swap/deep");
    let outer = base.join("moved");
    let outside = fs::metadata(base).unwrap().ino();
    let stop = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&inner, &outer).unwrap();
                fs::rename(&outer, &inner).unwrap();
            }
        });
        let start = Instant::now();
        let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while start.elapsed() < FOR {
                for up in ["../..", "../../..", "../../../.."] {
                    let path = format!("/a/swap/deep/er/{up}");
                    if let Ok(fd) = root.resolve(Path::new(&path)) {
                        let ino = rustix::fs::fstat(fd).unwrap().st_ino;
                        assert_ne!(ino, outside, "above the root");
                    }
                    let escaped = format!("{path}/outside/deep/made");
                    let _ = root.mkdir_all(Path::new(&escaped), Mode::RWXU);
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = verdict {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(!base.join("outside/deep/made").exists());
}

#[test]
fn a_file_swapped_with_a_fifo_is_never_opened() {
    let tmp = tree();
    let base = tmp.path();
    let root = Root::open(&base.join("root")).unwrap();
    let (file, fifo) = (base.join("root/a/file"), base.join("root/a/fifo"));
    fs::write(&file, "content").unwrap();
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &file, CWD, &fifo, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let start = Instant::now();
        let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while start.elapsed() < FOR {
                if let Ok(got) = root.open_file(Path::new("/a/file"), OFlags::RDONLY) {
                    assert!(got.metadata().unwrap().is_file());
                }
            }
            // Had one open blocked, we would not be here, or late.
            assert!(start.elapsed() < Duration::from_secs(10));
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = verdict {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn swapped_between_making_and_opening() {
    // The attacker waits for a directory that we just made, and puts a link
    // in its place before we go on below it.
    let tmp = tree();
    let base = tmp.path();
    let root = Root::open(&base.join("root")).unwrap();
    let (made, evil) = (base.join("root/a/made"), base.join("root/a/evil"));
    let before = inodes(&base.join("outside"));
    let stop = AtomicBool::new(false);
    let (mut good, mut refused) = (0, 0);
    thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = renameat_with(CWD, &made, CWD, &evil, RenameFlags::EXCHANGE);
            }
        });
        let start = Instant::now();
        let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for i in 0u32.. {
                if start.elapsed() > FOR * 4 {
                    break;
                }
                for left in [&made, &evil] {
                    let _ = fs::remove_file(left);
                    let _ = fs::remove_dir_all(left);
                }
                let _ = symlink("../../outside", &evil);
                let got = match i % 3 {
                    0 => root.mkdir_all(Path::new("/a/made/x/y"), Mode::RWXU),
                    1 => root.mkdir_all(Path::new("/a/made"), Mode::RWXU),
                    _ => root.create_file_at(Path::new("/a/made/x/file"), Mode::RWXU),
                };
                match got {
                    Ok(fd) => {
                        good += 1;
                        let ino = rustix::fs::fstat(&fd).unwrap().st_ino;
                        assert!(!before.contains(&ino), "a descriptor of the outside");
                    }
                    Err(_) => refused += 1,
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = verdict {
            std::panic::resume_unwind(panic);
        }
    });
    println!("swapped after mkdir: {good} inside, {refused} refused");
    assert!(good > 0);
    assert_eq!(inodes(&base.join("outside")), before, "something appeared outside");
}
