//! Sparse files: every form of GNU tar, and maps that lie.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use crate::archive::{Header, Tar};
use crate::sandbox::Sandbox;
use crate::tree::{differences, scan};

#[test]
fn every_form_of_gnu_tar() {
    let source = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let file = File::create(source.path().join("holes")).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    for piece in 1..200 {
        file.write_all_at(b"data", piece * (1 << 20)).unwrap();
    }
    file.set_len(300 << 20).unwrap();
    let empty = File::create(source.path().join("only a hole")).unwrap();
    empty.set_len(50 << 20).unwrap();
    let end = File::create(source.path().join("data at the end")).unwrap();
    end.write_all_at(&[3; 5000], 10 << 20).unwrap();

    for form in [
        &["--format=gnu"][..],
        &["--format=oldgnu"],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let sandbox = Sandbox::new();
        let archive = work.path().join("archive.tar");
        let status = Command::new("tar")
            .args(["--create", "--sparse", "--numeric-owner"])
            .args(form)
            .arg("--file")
            .arg(&archive)
            .arg("--directory")
            .arg(source.path())
            .arg(".")
            .status()
            .unwrap();
        assert!(status.success());
        assert!(fs::metadata(&archive).unwrap().len() < 2 << 20);
        sandbox.unpack(File::open(&archive).unwrap()).unwrap();
        let (mut ours, mut theirs) = (sandbox.tree(), scan(source.path()));
        for tree in [&mut ours, &mut theirs] {
            for node in tree.values_mut() {
                // Formats other than PAX keep whole seconds only.
                node.mtime.1 = 0;
            }
        }
        let found = differences(&ours, &theirs);
        assert!(found.is_empty(), "{form:?}:\n{}", found.join("\n"));
        for piece in [0, 100, 199_u64] {
            let mut data = [0; 4];
            let file = File::open(sandbox.target().join("holes")).unwrap();
            file.read_exact_at(&mut data, piece << 20).unwrap();
            assert_eq!(&data, if piece == 0 { b"begi" } else { b"data" });
        }
    }
}

/// An old GNU header: real size, then offset and length pairs.
fn old_gnu(name: &str, stored: u64, real: u64, pieces: &[(u64, u64)]) -> Header {
    let mut header = Header::new(b'S', name, stored);
    header.put(257, b"ustar  \0");
    header.0[345..500].fill(0);
    for (slot, (offset, len)) in pieces.iter().enumerate() {
        header.octal(386 + slot * 24, 12, *offset).octal(398 + slot * 24, 12, *len);
    }
    header.octal(483, 12, real);
    header
}

#[test]
fn maps_that_lie_are_refused() {
    let pax =
        |records: &[(&str, &[u8])], data: &[u8]| Tar::new().pax(records).file("f", data).end();
    let gnu = |header: Header, data: &[u8]| Tar::new().entry(header, data).end();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("out of order", gnu(old_gnu("f", 8, 100, &[(50, 4), (0, 4)]), &[1; 8])),
        ("overlap", gnu(old_gnu("f", 8, 100, &[(0, 4), (3, 4)]), &[1; 8])),
        ("beyond the end", gnu(old_gnu("f", 8, 100, &[(96, 8)]), &[1; 8])),
        ("less data", gnu(old_gnu("f", 8, 100, &[(0, 4)]), &[1; 8])),
        ("more data", gnu(old_gnu("f", 8, 100, &[(0, 16)]), &[1; 8])),
        ("a larger file than allowed", gnu(old_gnu("f", 0, 1 << 32, &[(0, 0)]), &[])),
        (
            "not GNU",
            gnu(
                {
                    let mut header = old_gnu("f", 0, 5, &[]);
                    header.put(257, b"ustar\x0000");
                    header
                },
                &[],
            ),
        ),
        ("no map", pax(&[("GNU.sparse.size", b"100")], b"")),
        ("half a pair", pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0")], b"")),
        ("length first", pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.numbytes", b"0")], b"")),
        ("offset last", pax(&[("GNU.sparse.size", b"9"), ("GNU.sparse.offset", b"0")], b"")),
        (
            "fewer than announced",
            pax(
                &[
                    ("GNU.sparse.size", b"9"),
                    ("GNU.sparse.numblocks", b"2"),
                    ("GNU.sparse.offset", b"0"),
                    ("GNU.sparse.numbytes", b"0"),
                ],
                b"",
            ),
        ),
        (
            "unknown version",
            pax(
                &[
                    ("GNU.sparse.major", b"2"),
                    ("GNU.sparse.minor", b"0"),
                    ("GNU.sparse.realsize", b"9"),
                ],
                b"",
            ),
        ),
        (
            "map without end",
            pax(
                &[
                    ("GNU.sparse.major", b"1"),
                    ("GNU.sparse.minor", b"0"),
                    ("GNU.sparse.realsize", b"9"),
                ],
                &[b'1'; 512],
            ),
        ),
        (
            "map longer than the data",
            pax(
                &[
                    ("GNU.sparse.major", b"1"),
                    ("GNU.sparse.minor", b"0"),
                    ("GNU.sparse.realsize", b"9"),
                ],
                b"9\n0\n1\n",
            ),
        ),
    ];
    for (what, archive) in cases {
        let sandbox = Sandbox::new();
        let mut options = crate::sandbox::options();
        options.limits.file_bytes = 1 << 31;
        let error = sandbox.unpack_with(archive.as_slice(), &options).unwrap_err().to_string();
        assert!(error.contains("sparse"), "{what}: {error}");
    }
}

#[test]
fn a_gigantic_hole_takes_no_disk() {
    let sandbox = Sandbox::new();
    let size = 200_u64 << 30;
    let mut header = old_gnu("f", 4, 0, &[(0, 4)]);
    let mut big = [0_u8; 12];
    big[0] = 0x80;
    big[4..].copy_from_slice(&size.to_be_bytes());
    header.put(483, &big);
    sandbox.unpack(Tar::new().entry(header, b"data").end().as_slice()).unwrap();
    let node = &sandbox.tree()[std::path::Path::new("f")];
    assert_eq!(node.size, size);
    assert!(node.blocks.0 <= 64, "{:?}", node.blocks);
}
