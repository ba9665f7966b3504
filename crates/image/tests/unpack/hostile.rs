//! Archives that mean harm: each has a known outcome, and nothing outside the
//! target ever changes ([`Sandbox`] looks).

use std::path::Path;

use crate::archive::{Header, Tar};
use crate::outcome::Outcome::{Has, Refused};
use crate::outcome::check;
use crate::sandbox::{Sandbox, is_root};

#[test]
fn paths() {
    let deep = format!("{}f", "d/".repeat(600));
    let long = format!("{}x", format!("{}/", "n".repeat(200)).repeat(25));
    let name = "n".repeat(300);
    let pax = |path: &str| Tar::new().pax(&[("path", path.as_bytes())]).file("x", b"x").end();
    check(vec![
        (
            "absolute",
            Tar::new().file("/etc/passwd", b"in").end(),
            Has(&[("etc/passwd", Some("in"))]),
        ),
        ("absolute, doubled", Tar::new().file("//../x", b"").end(), Refused("`..`")),
        ("parent", Tar::new().file("../outside/secret", b"").end(), Refused("`..`")),
        ("parent within", Tar::new().file("a/../b", b"").end(), Refused("`..`")),
        ("parent at the end", Tar::new().dir("a/..").end(), Refused("`..`")),
        ("parent by PAX", pax("a/../../outside/secret"), Refused("`..`")),
        (
            "parent by GNU",
            Tar::new().long_name(b'L', b"../outside/x").file("x", b"").end(),
            Refused("`..`"),
        ),
        ("dots", Tar::new().file("./././x", b"in").end(), Has(&[("x", Some("in"))])),
        ("NUL by PAX", pax("a\0b"), Refused("NUL")),
        ("NUL by GNU", Tar::new().long_name(b'L', b"a\0b").file("x", b"").end(), Refused("NUL")),
        ("empty", Tar::new().file("", b"").end(), Refused("empty")),
        ("too deep", pax(&deep), Refused("components of a path")),
        ("too long", pax(&long), Refused("bytes of a path")),
        ("name too long", pax(&name), Refused("bytes of a name")),
        (
            "GNU name beyond all limits",
            Tar::new().long_name(b'L', &[b'a'; 10_000]).file("x", b"").end(),
            Refused("extension header"),
        ),
        ("the root as a file", Tar::new().file("./.", b"x").end(), Refused("root")),
        ("the root as a link", Tar::new().symlink("/", "/etc").end(), Refused("root")),
        (
            "through a file",
            Tar::new().file("a", b"x").file("a/b", b"y").end(),
            Refused("not a directory"),
        ),
    ]);
}

#[test]
fn symbolic_links() {
    let outside = "../outside";
    check(vec![
        (
            "write through an absolute link",
            Tar::new().symlink("a", "/etc").file("a/x", b"in").end(),
            Has(&[("etc/x", Some("in"))]),
        ),
        (
            "write through a link up",
            Tar::new().symlink("a", outside).file("a/secret", b"in").end(),
            Has(&[("outside/secret", Some("in"))]),
        ),
        (
            "far up, and a chain",
            Tar::new()
                .symlink("a", "../../../../../../outside")
                .symlink("b", "a")
                .symlink("d/c", "../b")
                .file("d/c/secret", b"in")
                .end(),
            Has(&[("outside/secret", Some("in"))]),
        ),
        (
            "a file over a link replaces the link",
            Tar::new().symlink("a", "../outside/secret").file("a", b"in").end(),
            Has(&[("a", Some("in")), ("outside", None)]),
        ),
        (
            "a directory over a link replaces the link",
            Tar::new().symlink("a", outside).dir("a").file("a/secret", b"in").end(),
            Has(&[("a/secret", Some("in")), ("outside", None)]),
        ),
        (
            "a link over a directory replaces it",
            Tar::new().dir("a/b").symlink("a", outside).file("a/secret", b"in").end(),
            Has(&[("outside/secret", Some("in"))]),
        ),
        (
            "link, directory, link again",
            Tar::new()
                .symlink("a", outside)
                .file("a/x", b"1")
                .dir("a")
                .file("a/x", b"2")
                .symlink("a", "/etc")
                .file("a/x", b"3")
                .end(),
            Has(&[("outside/x", Some("1")), ("etc/x", Some("3"))]),
        ),
        (
            "the parent becomes a link between two files",
            Tar::new()
                .file("a/b/x", b"1")
                .symlink("a/b", "../../../outside")
                .file("a/b/secret", b"in")
                .end(),
            Has(&[("outside/secret", Some("in"))]),
        ),
        (
            "a link through itself",
            Tar::new().symlink("a", "a").file("a/x", b"").end(),
            Refused("too many symbolic links"),
        ),
        (
            "links in a ring",
            Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", b"").end(),
            Refused("too many symbolic links"),
        ),
        (
            "proc",
            Tar::new().symlink("a", "/proc/self/root").file("a/x", b"in").end(),
            Has(&[("proc/self/root/x", Some("in"))]),
        ),
        (
            "a whiteout through a link",
            Tar::new().symlink("a", outside).file("a/.wh.secret", b"").end(),
            Has(&[("outside/secret", Some(""))]),
        ),
        ("no target", Tar::new().symlink("a", "").end(), Refused("no target")),
        (
            "NUL in a target",
            Tar::new().pax(&[("linkpath", b"a\0b")]).symlink("a", "x").end(),
            Refused("NUL"),
        ),
        (
            "a target too long",
            Tar::new().pax(&[("linkpath", &[b'a'; 5000])]).symlink("a", "x").end(),
            Refused("target"),
        ),
    ]);
}

#[test]
fn hard_links() {
    check(vec![
        ("up", Tar::new().hard_link("a", "../outside/secret").end(), Refused("`..`")),
        (
            "absolute stays inside",
            Tar::new().file("etc/x", b"in").hard_link("a", "/etc/x").end(),
            Has(&[("a", Some("in"))]),
        ),
        (
            "through a link up",
            Tar::new()
                .symlink("l", "../outside")
                .file("outside/secret", b"in")
                .hard_link("a", "l/secret")
                .end(),
            Has(&[("a", Some("in"))]),
        ),
        (
            "to a link, then written over",
            Tar::new().symlink("l", "../outside/secret").hard_link("a", "l").file("a", b"in").end(),
            Has(&[("a", Some("in"))]),
        ),
        (
            "to a directory",
            Tar::new().dir("d").hard_link("a", "d").end(),
            Refused("is a directory"),
        ),
        ("to the root", Tar::new().hard_link("a", "/").end(), Refused("is a directory")),
        (
            "to itself",
            Tar::new().file("a", b"in").hard_link("a", "a").end(),
            Has(&[("a", Some("in"))]),
        ),
        (
            "over the directory that holds its target",
            Tar::new().file("d/a", b"in").hard_link("d", "d/a").end(),
            Has(&[("d", None)]),
        ),
        (
            "to a whiteout",
            Tar::new().file(".wh.x", b"").hard_link("a", ".wh.x").end(),
            Refused("reserved"),
        ),
        (
            "to a later file",
            Tar::new().hard_link("a", "b").file("b", b"in").end(),
            Has(&[("a", Some("in")), ("b", Some("in"))]),
        ),
    ]);
    let sandbox = Sandbox::new();
    let error = sandbox.layer(Tar::new().hard_link("a", "none").end().as_slice(), &[]).unwrap_err();
    assert!(error.to_string().contains("neither this layer nor a lower one"), "{error}");
}

#[test]
fn repeated_entries() {
    check(vec![
        (
            "the last file wins",
            Tar::new().file("a", b"1").file("a", b"2").end(),
            Has(&[("a", Some("2"))]),
        ),
        (
            "other names of the first keep it",
            Tar::new().file("a", b"1").hard_link("b", "a").file("a", b"2").end(),
            Has(&[("a", Some("2")), ("b", Some("1"))]),
        ),
        (
            "a file over a full directory",
            Tar::new().file("a/b/c", b"1").file("a/d", b"1").file("a", b"2").end(),
            Has(&[("a", Some("2")), ("a/d", None)]),
        ),
        (
            "a directory over a file",
            Tar::new().file("a", b"1").file("a/", b"").file("a/b", b"2").end(),
            Has(&[("a/b", Some("2"))]),
        ),
        (
            "a directory again keeps what is in it",
            Tar::new().dir("a").file("a/b", b"1").dir("a").end(),
            Has(&[("a/b", Some("1"))]),
        ),
        (
            "a link deferred, then a file",
            Tar::new().hard_link("a", "lower").file("a", b"2").end(),
            Has(&[("a", Some("2"))]),
        ),
    ]);
}

#[test]
fn whiteouts_and_overlay_metadata() {
    let whiteout = |name: &str| Tar::new().file(name, b"").end();
    check(vec![
        ("of the parent", whiteout("a/.wh..."), Refused("whiteout names no file")),
        ("of the directory", whiteout("a/.wh.."), Refused("whiteout names no file")),
        ("of nothing", whiteout("a/.wh."), Refused("whiteout names no file")),
        ("as a directory", Tar::new().file(".wh.a/b", b"").end(), Refused("reserved")),
        ("upwards", whiteout("a/../.wh.b"), Refused("`..`")),
        (
            "AUFS's own",
            Tar::new().file(".wh..wh.plnk/1", b"x").dir(".wh..wh.orph").end(),
            Has(&[(".wh..wh.plnk", None), (".wh..wh.plnk/1", None), (".wh..wh.orph", None)]),
        ),
        (
            "device 0:0",
            Tar::new().header(Header::new(b'3', "etc", 0).device(0, 0)).end(),
            Refused("forge a whiteout"),
        ),
    ]);
    let sandbox = Sandbox::new();
    let mut options = crate::sandbox::options();
    options.limits.whiteouts = 10;
    let mut tar = Tar::new();
    for n in 0..11 {
        tar = tar.file(&format!(".wh.{n}"), b"");
    }
    let error = sandbox.unpack_with(tar.end().as_slice(), &options).unwrap_err();
    assert!(error.to_string().contains("whiteouts: 11"), "{error}");

    let forged = [
        "SCHILY.xattr.trusted.overlay.opaque",
        "SCHILY.xattr.trusted.overlay.redirect",
        "SCHILY.xattr.trusted.overlay.metacopy",
        "SCHILY.xattr.user.overlay.opaque",
        "SCHILY.xattr.user.overlay.whiteout",
        "SCHILY.xattr.user.overlay.overlay.opaque",
        "SCHILY.xattr.trusted.other",
        "SCHILY.xattr.security.selinux",
        "SCHILY.xattr.security.ima",
        "SCHILY.xattr.system.posix_acl_access",
    ];
    let records: Vec<(&str, &[u8])> = forged.iter().map(|key| (*key, &b"y"[..])).collect();
    let sandbox = Sandbox::new();
    let archive = Tar::new().pax(&records).dir("d").pax(&records).file("f", b"x").end();
    let unpacked = sandbox.unpack(archive.as_slice()).unwrap();
    assert_eq!(unpacked.skipped.count, 20);
    for node in sandbox.tree().values() {
        let bad: Vec<_> = node
            .xattrs
            .iter()
            .filter(|(name, _)| {
                // A host with SELinux labels what is made.
                name != b"security.selinux"
            })
            .collect();
        assert!(bad.is_empty(), "{bad:?}");
    }
}

#[test]
fn deep_nesting_by_links_is_bounded() {
    // Every link leads 100 directories further down.
    let step = "d/".repeat(45);
    let mut tar = Tar::new().dir(&step).symlink("l0", &step);
    for n in 1..30 {
        let path = format!("l{}/{step}", n - 1);
        tar = tar.pax(&[("path", path.as_bytes())]).dir("x");
        tar = tar.symlink(&format!("l{n}"), &format!("l{}/{step}", n - 1));
    }
    let sandbox = Sandbox::new();
    let error = sandbox.unpack(tar.end().as_slice()).unwrap_err().to_string();
    assert!(error.contains("components of a path: 513"), "{error}");
}

#[test]
fn devices_and_setuid() {
    let archive = Tar::new()
        .header(Header::new(b'3', "null", 0).device(1, 3).mode(0o666))
        .header(Header::new(b'4', "disk", 0).device(8, 0).mode(0o660))
        .header(Header::new(b'6', "fifo", 0).mode(0o600))
        .entry(Header::new(b'0', "su", 2).mode(0o4755), b"su")
        .end();
    let sandbox = Sandbox::new();
    let unpacked = sandbox.unpack(archive.as_slice()).unwrap();
    let tree = sandbox.tree();
    assert_eq!(tree[Path::new("su")].mode, 0o4755);
    assert_eq!(tree[Path::new("fifo")].kind, 'p');
    if is_root() {
        assert_eq!((tree[Path::new("null")].kind, tree[Path::new("disk")].kind), ('c', 'b'));
    } else {
        assert_eq!(unpacked.skipped.count, 2);
    }
}

#[test]
fn errors_name_entry_and_place() {
    let sandbox = Sandbox::new();
    let archive = Tar::new().file("good", b"x").file("bad/../x", b"").end();
    let error = sandbox.unpack(archive.as_slice()).unwrap_err().to_string();
    assert_eq!(
        error,
        "entry 2 of the layer, \"bad/../x\", can't be unpacked: the path contains `..`"
    );
    let sandbox = Sandbox::new();
    let archive = Tar::new().file("good", b"x").header(Header::new(b'0', "cut", 700)).0;
    let error = sandbox.unpack(archive.as_slice()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the layer's archive is refused: entry \"cut\" at byte 1024: the archive is truncated: \
         700 more bytes were announced"
    );
    // The target has to be empty.
    let error = sandbox.unpack(&b""[..]).unwrap_err().to_string();
    assert!(error.contains("not empty"), "{error}");
}
