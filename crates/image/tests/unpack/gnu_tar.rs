//! The same archive through GNU tar, as root, and through us.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, makedev,
    mknodat, setxattr, utimensat,
};

use crate::sandbox::{Sandbox, needs_root};
use crate::tree::{differences, scan};

/// Runs a command that has to succeed.
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    output.stdout
}

/// A tree with one of everything.
fn everything(dir: &Path) {
    let at = |name: &str| dir.join(name);
    fs::write(at("plain"), "plain").unwrap();
    fs::write(at("empty"), "").unwrap();
    fs::write(at("large"), vec![7; 3 << 20]).unwrap();
    fs::hard_link(at("plain"), at("another name of plain")).unwrap();
    symlink("plain", at("link")).unwrap();
    symlink("/nowhere/at/all", at("dangling")).unwrap();
    fs::hard_link(at("link"), at("hard link to a link")).unwrap();
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2711), ("closed", 0), ("mixed", 0o6070)] {
        fs::write(at(name), name).unwrap();
        chownat(
            CWD,
            at(name),
            Some(Uid::from_raw(1234)),
            Some(Gid::from_raw(70_000)),
            AtFlags::empty(),
        )
        .unwrap();
        fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    for (name, mode) in [("sticky", 0o1777), ("setgid dir", 0o2775), ("closed dir", 0o0)] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("inside"), name).unwrap();
        fs::create_dir(at(name).join("deeper")).unwrap();
        fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    fs::write(at("big ids"), "x").unwrap();
    let big = (Some(Uid::from_raw(4_000_000_000)), Some(Gid::from_raw(3_000_000_000)));
    chownat(CWD, at("big ids"), big.0, big.1, AtFlags::empty()).unwrap();
    chownat(
        CWD,
        at("link"),
        Some(Uid::from_raw(5)),
        Some(Gid::from_raw(6)),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    for (name, kind, device) in [
        ("null", FileType::CharacterDevice, makedev(1, 3)),
        ("disk", FileType::BlockDevice, makedev(259, 100_000)),
        ("fifo", FileType::Fifo, 0),
    ] {
        mknodat(CWD, at(name), kind, Mode::from_raw_mode(0o620), device).unwrap();
    }
    let long = format!("{}/{}", "d".repeat(200), "e".repeat(200));
    fs::create_dir_all(at(&long)).unwrap();
    fs::write(at(&long).join("f".repeat(255)), "long").unwrap();
    symlink("t".repeat(300), at("long target")).unwrap();
    fs::hard_link(at(&long).join("f".repeat(255)), at("link to long")).unwrap();
    fs::write(at("größe\n\u{1f980}"), "names are bytes").unwrap();
    fs::write(at(".wh"), "no whiteout").unwrap();
}

/// Times and attributes that only PAX can say.
fn pax_only(dir: &Path) {
    let at = |name: &str| dir.join(name);
    let set = |name: &str, tv_sec, tv_nsec| {
        let time = Timespec { tv_sec, tv_nsec };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, at(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    };
    setxattr(at("plain"), "user.note", b"a=b\0\n\xff", XattrFlags::empty()).unwrap();
    setxattr(at("sticky"), "user.dir", b"", XattrFlags::empty()).unwrap();
    // cap_net_raw+ep, linux/capability.h, revision 2.
    let cap = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for name in ["setuid", "big ids"] {
        setxattr(at(name), "security.capability", &cap, XattrFlags::empty()).unwrap();
    }
    set("plain", 1_234_567_890, 123_456_789);
    set("link", 1, 1);
    set("dangling", 4_000_000_000, 999_999_999);
    set("empty", -86_400, 250_000_000);
    set("large", -1, 999_999_999);
    set("null", 77, 7);
    set("sticky", 1_000_000_000, 1);
    set("closed dir", 5, 5);
    set("", 1_111_111_111, 111_111_111);
}

/// Archives `source`, extracts it with both, compares all of it.
fn compare(pack: &mut Command, what: &str) {
    let sandbox = Sandbox::new();
    let theirs = sandbox.path().join("outside");
    let work = tempfile::tempdir().unwrap();
    let archive = work.path().join("archive.tar");
    run(pack.arg("--file").arg(&archive));
    let reference = work.path().join("reference");
    fs::create_dir(&reference).unwrap();
    run(Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--same-owner", "--numeric-owner"])
        .args(["--xattrs", "--xattrs-include=*", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(&reference));
    drop(theirs);
    let unpacked = sandbox.unpack(File::open(&archive).unwrap()).unwrap();
    assert_eq!(unpacked.skipped.count, 0, "{what}: {:?}", unpacked.skipped);
    let (mut ours, mut theirs) = (sandbox.tree(), scan(&reference));
    if unpacked.deferred.is_empty() {
        assert!(ours.contains_key(Path::new("")));
    } else {
        // No entry describes the root: GNU tar leaves it as it was.
        ours.remove(Path::new(""));
        theirs.remove(Path::new(""));
    }
    let found = differences(&ours, &theirs);
    assert!(found.is_empty(), "{what}, {} entries:\n{}", unpacked.entries, found.join("\n"));
    assert!(ours.len() > 20, "{what}: only {} files", ours.len());
}

#[test]
fn one_of_everything_in_every_format() {
    if needs_root("one_of_everything_in_every_format") {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    everything(source.path());
    for format in ["gnu", "oldgnu"] {
        let mut tar = Command::new("tar");
        compare(
            tar.args(["--create", "--format", format, "--directory"]).arg(source.path()).arg("."),
            format,
        );
    }
    pax_only(source.path());
    let mut tar = Command::new("tar");
    compare(
        tar.args(["--create", "--format=pax", "--xattrs", "--xattrs-include=*", "--directory"])
            .arg(source.path())
            .arg("."),
        "pax",
    );
    // ustar and v7 know no long names and no large ids.
    for name in ["d".repeat(200), "long target".into(), "link to long".into(), "big ids".into()] {
        let path = source.path().join(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    for name in ["empty", "large", "dangling"] {
        utimensat(
            CWD,
            source.path().join(name),
            &Timestamps {
                last_access: Timespec { tv_sec: 9, tv_nsec: 0 },
                last_modification: Timespec { tv_sec: 9, tv_nsec: 0 },
            },
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }
    let mut tar = Command::new("tar");
    compare(
        tar.args(["--create", "--format=ustar", "--directory"]).arg(source.path()).arg("."),
        "ustar",
    );
    for name in ["null", "disk", "fifo"] {
        fs::remove_file(source.path().join(name)).unwrap();
    }
    let mut tar = Command::new("tar");
    compare(tar.args(["--create", "--format=v7", "--directory"]).arg(source.path()).arg("."), "v7");
}

#[test]
fn files_of_debian_packages() {
    if needs_root("files_of_debian_packages") {
        return;
    }
    let packages = ["coreutils", "bash", "tar", "dpkg", "util-linux", "login", "perl-base"];
    let list = run(Command::new("dpkg").arg("-L").args(packages));
    let list = String::from_utf8(list).unwrap();
    // Some of what a package had may be gone (documentation, most likely);
    // others are listed through /bin, a link these days.
    let mut present = BTreeSet::new();
    for line in list.lines().map(Path::new).filter(|path| path.symlink_metadata().is_ok()) {
        let (Some(parent), Some(name)) = (line.parent(), line.file_name()) else { continue };
        let path = parent.canonicalize().unwrap().join(name);
        present.extend(path.ancestors().map(Path::to_owned));
    }
    present.remove(Path::new("/"));
    let present: Vec<&str> =
        present.iter().map(|path| path.to_str().unwrap().trim_start_matches('/')).collect();
    assert!(present.len() > 300, "{} files", present.len());
    let work = tempfile::tempdir().unwrap();
    let names = work.path().join("names");
    fs::write(&names, present.join("\n")).unwrap();
    for format in ["--format=pax", "--format=gnu"] {
        let mut tar = Command::new("tar");
        compare(
            tar.args(["--create", format, "--no-recursion", "--directory=/", "--files-from"])
                .arg(&names),
            format,
        );
    }
}

/// A whole root file system, where the environment names one.
#[test]
fn a_whole_root_file_system() {
    let Some(source) = std::env::var_os("CAISSON_TEST_ROOTFS") else {
        eprintln!("a_whole_root_file_system: left out: CAISSON_TEST_ROOTFS names no directory");
        return;
    };
    if needs_root("a_whole_root_file_system") {
        return;
    }
    let mut tar = Command::new("tar");
    compare(
        tar.args(["--create", "--format=pax", "--xattrs", "--xattrs-include=*", "--directory"])
            .arg(source)
            .arg("."),
        "root file system",
    );
}
