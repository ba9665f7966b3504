//! Archives that are broken, lie about sizes, or ask for too much.

use crate::archive::{Header, Tar, record};
use crate::outcome::Outcome::{Has, Refused};
use crate::outcome::check;
use crate::sandbox::Sandbox;

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
