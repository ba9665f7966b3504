//! Without privilege: as user 1000 on the host, and in a user namespace. The
//! test program runs itself again as that user.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use caisson_image::unpack::{Ownership, SkipReason, UnpackOptions};

use crate::archive::{Header, Tar};
use crate::sandbox::{Sandbox, is_root};

/// Set where the program runs as the user.
const AS_USER: &str = "CAISSON_TEST_UNPACK_AS";

/// Runs `test` of this program as user 1000; `wrapper` goes in front.
fn as_user(test: &str, wrapper: &[&str]) {
    let name = format!("rootless::{test}");
    let program = std::env::current_exe().unwrap();
    // The user can't reach the build directory.
    let copy = tempfile::tempdir().unwrap();
    let place = copy.path().join("unpack");
    std::fs::copy(program, &place).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(copy.path(), open).unwrap();
    let mut words: Vec<&str> = wrapper.to_vec();
    let place = place.to_str().unwrap();
    words.extend([place, "--exact", &name, "--nocapture", "--test-threads=1"]);
    let output = Command::new(words[0])
        .args(&words[1..])
        .env(AS_USER, test)
        .current_dir("/")
        .uid(1000)
        .gid(1000)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && error.contains("unshare failed") {
        eprintln!("{test}: left out: no user namespaces for users here: {error}");
        return;
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}{error}");
}

/// `true` in the program that is the user's; starts that one otherwise.
fn is_user(test: &str, wrapper: &[&str]) -> bool {
    if std::env::var_os(AS_USER).is_some() {
        return true;
    }
    if is_root() {
        as_user(test, wrapper);
    } else {
        eprintln!("{test}: left out: it needs root, to become a user");
    }
    false
}

fn archive() -> Vec<u8> {
    Tar::new()
        .header(Header::new(b'5', "d", 0).mode(0o500).owner(3, 4))
        .entry(Header::new(b'0', "d/f", 1).mode(0).owner(70_000, 4), b"x")
        .pax(&[("SCHILY.xattr.user.k", b"v"), ("SCHILY.xattr.security.capability", b"bad")])
        .entry(Header::new(b'0', "d/locked", 1).mode(0o4555).owner(5, 6), b"x")
        .header(Header::new(b'3', "null", 0).device(1, 3))
        .header(Header::new(b'6', "fifo", 0).owner(1, 1))
        .symlink("l", "d")
        .dir("o")
        .file("o/.wh..wh..opq", b"")
        .file(".wh.gone", b"")
        .end()
}

#[test]
fn a_user_gets_all_files_as_their_own() {
    if !is_user("a_user_gets_all_files_as_their_own", &[]) {
        return;
    }
    let sandbox = Sandbox::new();
    let unpacked = sandbox.unpack(archive().as_slice()).unwrap();
    let tree = sandbox.tree();
    let at = |path: &str| &tree[Path::new(path)];
    assert!(tree.values().all(|node| (node.uid, node.gid) == (1000, 1000)));
    // Readable and removable for the user.
    assert_eq!((at("d").mode, at("d/f").mode, at("d/locked").mode), (0o700, 0o400, 0o4555));
    assert_eq!(at("d/locked").xattrs, [(b"user.k".to_vec(), b"v".to_vec())]);
    // This kernel lets users make whiteouts.
    assert_eq!((at("gone").kind, at("gone").device), ('c', 0));
    assert_eq!(at("o").xattrs, [(b"user.overlay.opaque".to_vec(), b"y".to_vec())]);
    let reasons: Vec<_> = unpacked.skipped.examples.iter().map(|(_, why)| why).collect();
    let capability = SkipReason::Xattr("security.capability".into());
    assert_eq!(reasons, [&capability, &SkipReason::Device]);
    let options = UnpackOptions::rootless(Ownership::AsIs);
    let owned = Tar::new().header(Header::new(b'0', "f", 0).owner(7, 7)).end();
    let error = Sandbox::new().unpack_with(owned.as_slice(), &options).unwrap_err();
    assert!(error.to_string().contains("a user namespace"), "{error}");
}

#[test]
fn root_of_a_user_namespace_keeps_owners_that_are_mapped() {
    const TEST: &str = "root_of_a_user_namespace_keeps_owners_that_are_mapped";
    if !is_user(TEST, &["unshare", "--user", "--map-root-user"]) {
        return;
    }
    assert!(is_root());
    let options = UnpackOptions::rootless(Ownership::AsIs);
    let sandbox = Sandbox::new();
    let archive = Tar::new()
        .entry(Header::new(b'0', "f", 1).mode(0o4755), b"x")
        .header(Header::new(b'4', "disk", 0).device(8, 0))
        .dir("o")
        .file("o/.wh..wh..opq", b"")
        .file(".wh.gone", b"")
        .end();
    let unpacked = sandbox.unpack_with(archive.as_slice(), &options).unwrap();
    assert_eq!(unpacked.skipped.examples.len(), 1);
    let tree = sandbox.tree();
    assert_eq!(tree[Path::new("f")].mode, 0o4755);
    assert_eq!((tree[Path::new("gone")].kind, tree[Path::new("gone")].device), ('c', 0));
    assert_eq!(tree[Path::new("o")].xattrs, [(b"user.overlay.opaque".to_vec(), b"y".to_vec())]);
    let archive = Tar::new().header(Header::new(b'0', "f", 0).owner(7, 7)).end();
    let error = Sandbox::new().unpack_with(archive.as_slice(), &options).unwrap_err();
    assert!(error.to_string().contains("owner 7:7 is not mapped"), "{error}");
}
