//! Trees written as layers: the same bytes every time, readable by GNU tar
//! and by ourselves.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use caisson_image::layer_writer::{LayerSource, LayerWriteOptions, write_layer};
use caisson_image::unpack::WhiteoutForm;

use crate::archive::{Header, Tar};
use crate::sandbox::{Sandbox, is_root, needs_root};
use crate::tree::{differences, scan};

fn form() -> WhiteoutForm {
    if is_root() { WhiteoutForm::Trusted } else { WhiteoutForm::User }
}

fn write(dir: &Path, source: LayerSource) -> Result<Vec<u8>, String> {
    write_times(dir, source, true)
}

fn write_times(dir: &Path, source: LayerSource, nanoseconds: bool) -> Result<Vec<u8>, String> {
    let options = LayerWriteOptions { source, nanoseconds, owner: None };
    let mut out = Vec::new();
    let dir = File::open(dir).unwrap();
    write_layer(dir.as_fd(), &mut out, &options).map_err(|e| e.to_string())?;
    Ok(out)
}

/// A layer with whatever a layer can have.
fn layer() -> Vec<u8> {
    let deep = "deep/".repeat(60);
    let mut tar = Tar::new()
        .pax(&[("mtime", b"5.000000006")])
        .header(Header::new(b'5', "./", 0).mode(0o755))
        .pax(&[("mtime", b"-1.25"), ("SCHILY.xattr.user.k", b"a=b\n")])
        .entry(Header::new(b'0', "file", 3).mode(0o6755), b"abc")
        .hard_link("file again", "file")
        .symlink("link", "file")
        .hard_link("link again", "link")
        .pax(&[("linkpath", &[b't'; 300])])
        .symlink("far", "x")
        .header(Header::new(b'6', "fifo", 0).mode(0o600))
        .header(Header::new(b'5', "sticky", 0).mode(0o1777))
        .pax(&[("path", format!("{deep}x").as_bytes())])
        .file("x", b"deep");
    if is_root() {
        tar = tar
            .header(Header::new(b'3', "null", 0).device(1, 3).mode(0o666))
            .pax(&[("uid", b"4000000000"), ("gid", b"70000")])
            .file("big ids", b"");
    }
    tar.end()
}

#[test]
fn what_we_write_we_and_gnu_tar_read() {
    let source = Sandbox::new();
    source.layer(layer().as_slice(), &[]).unwrap();
    let archive = write(&source.target(), LayerSource::Directory).unwrap();
    let copy = Sandbox::new();
    copy.layer(archive.as_slice(), &[]).unwrap();
    let found = differences(&copy.tree(), &source.tree());
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The copy was made in another order, perhaps; its archive is the same.
    assert_eq!(write(&copy.target(), LayerSource::Directory).unwrap(), archive);
    if needs_root("what_we_write_we_and_gnu_tar_read (GNU tar)") {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("a.tar"), &archive).unwrap();
    let theirs = work.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    let output = Command::new("tar")
        .args(["--extract", "--same-owner", "--numeric-owner", "--preserve-permissions"])
        .args(["--xattrs", "--xattrs-include=*", "--file"])
        .arg(work.path().join("a.tar"))
        .arg("--directory")
        .arg(&theirs)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let found = differences(&scan(&theirs), &source.tree());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn overlay_uppers_become_whiteouts_again() {
    let source = Sandbox::new();
    let archive = Tar::new()
        .dir("./")
        .dir("d")
        .file("d/.wh.z", b"")
        .file("d/a", b"")
        .dir("o")
        .file("o/.wh..wh..opq", b"")
        .file("o/a", b"")
        .end();
    source.layer(archive.as_slice(), &[]).unwrap();
    let archive = write(&source.target(), LayerSource::OverlayUpper(form())).unwrap();
    let names: Vec<String> = archive
        .chunks(512)
        .filter(|block| block[257..262] == *b"ustar")
        .map(|block| String::from_utf8_lossy(&block[..100]).trim_end_matches('\0').to_owned())
        .collect();
    assert_eq!(names, ["./", "d/", "d/.wh.z", "d/a", "o/", "o/.wh..wh..opq", "o/a"]);
    let copy = Sandbox::new();
    copy.layer(archive.as_slice(), &[]).unwrap();
    let (mut ours, mut theirs) = (copy.tree(), source.tree());
    for tree in [&mut ours, &mut theirs] {
        // Nobody sees a whiteout's time.
        tree.get_mut(Path::new("d/z")).unwrap().mtime = (0, 0);
    }
    let found = differences(&ours, &theirs);
    assert!(found.is_empty(), "{}", found.join("\n"));
    // A whole tree has no whiteouts.
    let error = write(&source.target(), LayerSource::Directory).unwrap_err();
    assert!(error.contains("whiteout"), "{error}");
}

#[test]
fn links_are_not_followed_and_reserved_names_refused() {
    let source = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), source.path().join("out")).unwrap();
    symlink(outside.path().join("secret"), source.path().join("file")).unwrap();
    let archive = write_times(source.path(), LayerSource::Directory, false).unwrap();
    let text = String::from_utf8_lossy(&archive);
    assert!(!text.contains("out/secret"));
    assert_eq!(archive.len(), 512 * 3 + 1024);
    fs::write(source.path().join(".wh.x"), "").unwrap();
    let error = write(source.path(), LayerSource::Directory).unwrap_err();
    assert!(error.contains("reserved"), "{error}");
}

#[test]
fn one_owner_for_everything() {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("a"), "").unwrap();
    let options = LayerWriteOptions {
        source: LayerSource::Directory,
        nanoseconds: false,
        owner: Some((0, 0)),
    };
    let mut out = Vec::new();
    let dir = File::open(source.path()).unwrap();
    let written = write_layer(dir.as_fd(), &mut out, &options).unwrap();
    assert_eq!(written.entries, 2);
    // No PAX header: whole seconds, small ids.
    assert_eq!(out.len(), 2 * 512 + 1024);
    assert_eq!(&out[512 + 108..512 + 124], b"0000000\x000000000\0");
}
