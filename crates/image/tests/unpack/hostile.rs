//! Archives that mean harm: each has a known outcome, and nothing outside the
//! target ever changes ([`Sandbox`] looks).

use std::path::Path;

use crate::archive::{Header, Tar, record};
use crate::sandbox::{Sandbox, is_root};

/// What has to happen: a refusal whose text has these words in it, or success
/// with this file content (`None`: not there) in the target.
enum Outcome {
    Refused(&'static str),
    Has(&'static [(&'static str, Option<&'static str>)]),
}
use Outcome::{Has, Refused};

fn check(cases: Vec<(&str, Vec<u8>, Outcome)>) {
    for (what, archive, outcome) in cases {
        let sandbox = Sandbox::new();
        let result = sandbox.unpack(archive.as_slice());
        match (outcome, result) {
            (Refused(words), Err(error)) => {
                let text = error.to_string();
                assert!(text.contains(words), "{what}: {text:?} lacks {words:?}");
            }
            (Refused(words), Ok(_)) => panic!("{what}: not refused ({words})"),
            (Has(_), Err(error)) => panic!("{what}: {error}"),
            (Has(files), Ok(_)) => {
                let tree = sandbox.tree();
                for (path, content) in files {
                    let found = tree
                        .get(Path::new(path))
                        .map(|node| String::from_utf8_lossy(&node.content).into_owned());
                    assert_eq!(found.as_deref(), *content, "{what}: {path}");
                }
            }
        }
    }
}

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
fn broken_archives() {
    let good = Tar::new().file("a", b"data").end();
    let cut = |len: usize| good[..len].to_vec();
    let mut flipped = good.clone();
    flipped[5] ^= 1;
    let no_mark = Tar::new().file("a", b"data").0;
    let with = |tail: &[u8]| [good.as_slice(), tail].concat();
    let field = |at: usize, bytes: &[u8]| {
        let mut header = Header::new(b'0', "a", 0);
        header.put(at, bytes);
        Tar::new().header(header).end()
    };
    check(vec![
        ("inside a header", cut(300), Refused("truncated")),
        ("behind a header", cut(512), Refused("truncated")),
        ("inside the data", cut(514), Refused("truncated")),
        ("inside the padding", cut(900), Refused("truncated")),
        ("behind the data", no_mark, Has(&[("a", Some("data"))])),
        ("half an end mark", cut(1536), Has(&[("a", Some("data"))])),
        ("padded with zeros", with(&[0; 9000]), Has(&[("a", Some("data"))])),
        ("padded with garbage", with(b"garbage"), Refused("after the end")),
        ("another archive behind", with(&good), Refused("after the end")),
        (
            "a zero block between",
            Tar::new().raw(&[0; 512]).file("a", b"").end(),
            Refused("after the end"),
        ),
        ("not an archive", b"#!/bin/sh\n".repeat(100), Refused("checksum")),
        ("empty", Vec::new(), Has(&[])),
        ("a flipped bit", flipped, Refused("the header's checksum is")),
        ("negative size", field(124, &[0xff; 12]), Refused("size")),
        (
            "huge size",
            field(124, &[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]),
            Refused("bytes of a file"),
        ),
        ("size beyond 64 bits", field(124, &[0x8f; 12]), Refused("size")),
        ("size in words", field(124, b"two hundred\0"), Refused("size")),
        ("negative owner", field(108, &[0xff; 8]), Refused("uid")),
        ("owner -1", field(116, &[0x80, 0, 0, 0, 255, 255, 255, 255]), Refused("gid")),
        ("owner beyond 32 bits", field(108, &[0x80, 0, 0, 1, 0, 0, 0, 0]), Refused("uid")),
        ("unknown type", Tar::new().header(Header::new(b'M', "a", 0)).end(), Refused("'M'")),
        (
            "data in a directory",
            Tar::new().entry(Header::new(b'5', "a", 512), &[0; 512]).end(),
            Refused("a directory with 512"),
        ),
        (
            "data in a hard link",
            Tar::new().entry(Header::new(b'1', "a", 9).link("b"), b"123456789").end(),
            Refused("a hard link with 9"),
        ),
        (
            "nothing behind an extension",
            Tar::new().pax(&[("path", b"a")]).end(),
            Refused("behind an extension"),
        ),
        (
            "PAX twice",
            Tar::new().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("c", b"").end(),
            Refused("more than one"),
        ),
        (
            "GNU twice",
            Tar::new().long_name(b'L', b"a").long_name(b'L', b"b").file("c", b"").end(),
            Refused("more than one"),
        ),
        (
            "PAX against GNU",
            Tar::new().pax(&[("path", b"a")]).long_name(b'L', b"b").file("c", b"").end(),
            Refused("two different names"),
        ),
    ]);
}

#[test]
fn pax_sizes_that_lie() {
    let inner = Tar::new().file("smuggled", b"x").0;
    let small = Tar::new()
        .pax(&[("size", b"0")])
        .entry(Header::new(b'0', "a", inner.len() as u64), &inner)
        .end();
    let large = Tar::new()
        .pax(&[("size", inner.len().to_string().as_bytes())])
        .header(Header::new(b'0', "a", 512))
        .raw(&inner)
        .end();
    let honest = Tar::new().pax(&[("size", b"4")]).entry(Header::new(b'0', "a", 0), b"data").end();
    let bad = |data: &[u8]| {
        Tar::new().entry(Header::new(b'x', "p", data.len() as u64), data).file("a", b"").end()
    };
    check(vec![
        ("smaller", small, Refused("header says")),
        ("larger", large, Refused("header says")),
        ("instead of the header's", honest, Has(&[("a", Some("data"))])),
        (
            "too large",
            Tar::new().pax(&[("size", b"99999999999999999")]).file("a", b"").end(),
            Refused("bytes of a file"),
        ),
        ("no number", Tar::new().pax(&[("size", b"-1")]).file("a", b"").end(), Refused("size")),
        ("a record too long", bad(b"99 path=b\n"), Refused("PAX record")),
        ("a record too short", bad(b"5 path=b\n"), Refused("PAX record")),
        ("no newline", bad(b"9 path=b\n9 path=bb"), Refused("PAX record")),
        (
            "global size",
            Tar::new().extended(b'g', &[("size", b"4")]).file("a", b"").end(),
            Refused("global"),
        ),
        (
            "global path",
            Tar::new().extended(b'g', &[("path", b"b")]).file("a", b"").end(),
            Refused("global"),
        ),
        (
            "global comment",
            Tar::new().extended(b'g', &[("comment", b"git")]).file("a", b"in").end(),
            Has(&[("a", Some("in"))]),
        ),
    ]);
}

#[test]
fn floods() {
    let limits = |change: fn(&mut caisson_image::unpack::Limits)| {
        let mut options = crate::sandbox::options();
        change(&mut options.limits);
        options
    };
    let many = |count: usize| {
        (0..count).fold(Tar::new(), |tar, n| tar.file(&format!("{n}"), b"1234")).end()
    };
    let globals =
        (0..200).fold(Tar::new(), |tar, _| tar.extended(b'g', &[("comment", b"x")])).end();
    let big = vec![b'v'; 2 << 20];
    let xattrs: Vec<u8> =
        (0..200).flat_map(|n| record(&format!("SCHILY.xattr.user.{n}"), b"x")).collect();
    let xattrs =
        Tar::new().entry(Header::new(b'x', "p", xattrs.len() as u64), &xattrs).file("a", b"").end();
    let implied = (0..20).fold(Tar::new(), |tar, n| tar.file(&format!("{n}/b/c/d/e/f"), b"")).end();
    for (what, archive, options, words) in [
        ("entries", many(101), limits(|l| l.entries = 100), "entries and extension headers: 101"),
        ("global headers", globals, limits(|l| l.entries = 100), "entries and extension headers"),
        ("implied directories", implied, limits(|l| l.entries = 50), "directories: 51"),
        ("bytes of files", many(100), limits(|l| l.total_bytes = 70_000), "bytes of the archive"),
        ("one file", many(1), limits(|l| l.file_bytes = 3), "bytes of a file: 4"),
        (
            "a PAX header",
            Tar::new().pax(&[("comment", &big)]).file("a", b"").end(),
            limits(|_| {}),
            "bytes of an extension header",
        ),
        ("attributes", xattrs, limits(|_| {}), "extended attributes of an entry: 129"),
        (
            "an attribute",
            Tar::new().pax(&[("SCHILY.xattr.user.a", &big[..300_000])]).file("a", b"").end(),
            limits(|_| {}),
            "bytes of an entry's extended attributes",
        ),
        (
            "zeros without end",
            Tar::new().raw(&vec![0; 200_000]).end(),
            limits(|l| l.total_bytes = 100_000),
            "bytes of the archive",
        ),
    ] {
        let sandbox = Sandbox::new();
        let error = sandbox.unpack_with(archive.as_slice(), &options).unwrap_err().to_string();
        assert!(error.contains(words), "{what}: {error}");
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
