//! Random trees: what `Root` reaches is what a process chrooted there reaches.
//!
//! Needs root (chroot). The chrooted reference is this test binary again, in
//! a process of its own. The seed of a failure is printed; set
//! `CAISSON_ROOTPATH_SEED` to repeat it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use caisson_rootpath::{Root, RootPathError};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mknodat, openat};

const CHROOT: &str = "CAISSON_ROOTPATH_TEST_CHROOT";
const TREES: u64 = 60;
const PATHS: u64 = 150;

/// xorshift64*: enough to be random, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    /// Few names, so that paths meet things that exist.
    fn path(&mut self) -> String {
        let mut path = String::new();
        if self.below(2) == 0 {
            path.push('/');
        }
        for i in 0..=self.below(5) {
            if i > 0 {
                path.push('/');
            }
            path.push_str(
                ["a", "b", "c", "d", "e", "..", "..", ".", ""]
                    [usize::try_from(self.below(9)).unwrap()],
            );
        }
        if path.is_empty() { ".".into() } else { path }
    }

    fn grow(&mut self, dir: &Path, depth: u32) {
        for name in ["a", "b", "c", "d", "e"] {
            let at = dir.join(name);
            match self.below(8) {
                0..=2 if depth > 0 => {
                    fs::create_dir(&at).unwrap();
                    self.grow(&at, depth - 1);
                }
                3 => fs::write(&at, name).unwrap(),
                4..=5 => symlink(self.path(), &at).unwrap(),
                6 if depth == 0 => {
                    mknodat(CWD, &at, FileType::Fifo, Mode::RWXU, 0).unwrap();
                }
                _ => {}
            }
        }
    }
}

/// The answer as one word: the inode, or the error number.
fn word(got: Result<u64, i32>) -> String {
    match got {
        Ok(ino) => format!("i{ino}"),
        Err(errno) => format!("e{errno}"),
    }
}

fn reference(path: &str, flags: OFlags) -> String {
    let fd = openat(CWD, path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    word(fd.and_then(|fd| Ok(fstat(fd)?.st_ino)).map_err(rustix::io::Errno::raw_os_error))
}

fn ours(got: Result<std::os::fd::OwnedFd, RootPathError>) -> String {
    word(match got {
        Ok(fd) => Ok(fstat(fd).unwrap().st_ino),
        Err(e) => Err(e.errno().map_or(0, rustix::io::Errno::raw_os_error)),
    })
}

/// One line per path: as is, as a directory, without the last link.
fn chrooted(root: &Path, paths: &[String]) -> Vec<String> {
    fs::write(root.join("paths"), paths.join("\n")).unwrap();
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "same_as_chroot", "--nocapture", "--test-threads=1"])
        .env(CHROOT, root)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    fs::remove_file(root.join("paths")).unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once("answer ").map(|(_, answer)| answer.to_owned()))
        .collect();
    assert_eq!(lines.len(), paths.len(), "{text}");
    lines
}

fn be_the_reference(root: &Path) {
    let paths = fs::read_to_string(root.join("paths")).unwrap();
    std::os::unix::fs::chroot(root).unwrap();
    std::env::set_current_dir("/").unwrap();
    for path in paths.lines() {
        println!(
            "answer {} {} {}",
            reference(path, OFlags::empty()),
            reference(path, OFlags::DIRECTORY),
            reference(path, OFlags::NOFOLLOW)
        );
    }
}

#[test]
fn same_as_chroot() {
    if let Some(root) = std::env::var_os(CHROOT) {
        be_the_reference(Path::new(&root));
        return;
    }
    let seed: u64 = std::env::var("CAISSON_ROOTPATH_SEED").map_or_else(
        |_| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into(),
        |text| text.parse().unwrap(),
    );
    println!("CAISSON_ROOTPATH_SEED={seed}");
    let (mut found, mut made) = (0, 0);
    for n in 0..TREES {
        let mut random = Random((seed + n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let tmp = tempfile::tempdir().unwrap();
        let top = tmp.path().join("x/root");
        fs::create_dir_all(&top).unwrap();
        // What an escape upwards would find.
        for name in ["a", "b", "c", "d", "e"] {
            fs::create_dir_all(tmp.path().join(name).join("a/b")).unwrap();
        }
        random.grow(&top, 3);
        let root = Root::open(&top).unwrap();
        let paths: Vec<_> = (0..PATHS).map(|_| random.path()).collect();

        for (path, want) in paths.iter().zip(chrooted(&top, &paths)) {
            let p = Path::new(path);
            let got = format!(
                "{} {} {}",
                ours(root.resolve(p)),
                ours(root.resolve_dir(p)),
                ours(root.resolve_no_follow_last(p))
            );
            assert_eq!(got, want, "seed {seed} tree {n} path {path:?}");
            found += u32::from(got.starts_with('i'));
        }

        // What creation returns is what the chrooted process then finds there.
        let mut promised = Vec::new();
        for (i, path) in paths.iter().enumerate() {
            let p = Path::new(path);
            let before = root.resolve(p).is_ok();
            let got = if i % 2 == 0 {
                root.mkdir_all(p, Mode::RWXU)
            } else {
                root.create_file_at(p, Mode::RWXU)
            };
            // `a/../b` with no `a` is made as `b`, which no kernel then finds by that name.
            if got.is_ok() && root.resolve(p).is_ok() {
                made += u32::from(!before);
                promised.push((path.clone(), ours(got)));
            }
        }
        let names: Vec<_> = promised.iter().map(|(path, _)| path.clone()).collect();
        for ((path, got), want) in promised.iter().zip(chrooted(&top, &names)) {
            let want = want.split(' ').next().unwrap();
            assert_eq!(got, want, "seed {seed} tree {n} made {path:?}");
        }
        let above: Vec<_> = fs::read_dir(tmp.path().join("x")).unwrap().collect();
        assert_eq!(above.len(), 1, "seed {seed} tree {n}: {above:?}");
    }
    println!("{found} paths found, {made} made");
    assert!(found > 500 && made > 100, "the trees are too poor: {found}, {made}");
}
