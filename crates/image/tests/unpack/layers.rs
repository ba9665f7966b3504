//! What is particular to layers: whiteouts, implied directories, and what
//! comes from the layers below.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::archive::{Header, Tar};
use crate::sandbox::{Sandbox, is_root};
use crate::tree::{Node, Tree};

fn opaque_name() -> &'static [u8] {
    if is_root() { b"trusted.overlay.opaque" } else { b"user.overlay.opaque" }
}

fn is_opaque(node: &Node) -> bool {
    node.xattrs.iter().any(|(name, value)| name == opaque_name() && value == b"y")
}

fn is_whiteout(tree: &Tree, path: &str) -> bool {
    tree.get(Path::new(path)).is_some_and(|n| n.kind == 'c' && n.device == 0)
}

fn lower(archive: &[u8]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.layer(archive, &[]).unwrap();
    sandbox
}

#[test]
fn whiteouts_become_overlays() {
    let sandbox = Sandbox::new();
    let archive =
        Tar::new().dir("a").file("a/.wh.gone", b"").dir("b").file("b/.wh..wh..opq", b"").end();
    sandbox.layer(archive.as_slice(), &[]).unwrap();
    let tree = sandbox.tree();
    assert!(is_whiteout(&tree, "a/gone"));
    assert!(is_opaque(&tree[Path::new("b")]));
    assert!(!is_opaque(&tree[Path::new("a")]));
    // Times of directories survive what is put into them at the end.
    assert_eq!(tree[Path::new("a")].mtime, (1_600_000_000, 0));
}

#[test]
fn order_of_whiteouts_does_not_matter() {
    let first = Tar::new().file(".wh.f", b"").file(".wh.d", b"").file("f", b"new").file("d/x", b"");
    let last = Tar::new().file("f", b"new").file("d/x", b"").file(".wh.f", b"").file(".wh.d", b"");
    for archive in [first, last] {
        let below = lower(&Tar::new().file("f", b"old").dir("d").end());
        let sandbox = Sandbox::new();
        sandbox.layer(archive.end().as_slice(), &[&below]).unwrap();
        let tree = sandbox.tree();
        assert_eq!(tree[Path::new("f")].content, b"new");
        assert!(is_opaque(&tree[Path::new("d")]));
        assert_eq!(tree[Path::new("d/x")].kind, '-');
    }
}

#[test]
fn implied_directories_are_as_below() {
    let below = lower(
        &Tar::new()
            .header(Header::new(b'5', "./", 0).mode(0o751))
            .pax(&[("mtime", b"1000.000000005"), ("SCHILY.xattr.user.k", b"v")])
            .header(Header::new(b'5', "etc", 0).mode(0o2750).owner(3, 4))
            .header(Header::new(b'5', "hidden/in", 0).mode(0o700))
            .header(Header::new(b'5', "replaced", 0).mode(0o700))
            .end(),
    );
    let top = lower(&Tar::new().dir("other").file("other/.wh..wh..opq", b"").end());
    let sandbox = Sandbox::new();
    let archive = Tar::new()
        .file("etc/x", b"")
        .file("new/x", b"")
        .file("hidden/.wh..wh..opq", b"")
        .file("hidden/in/x", b"")
        .file(".wh.replaced", b"")
        .file("replaced/x", b"")
        .end();
    let finished = sandbox.layer(archive.as_slice(), &[&top, &below]).unwrap();
    assert!(finished.shadowed.is_empty());
    let tree = sandbox.tree();
    let at = |path: &str| &tree[Path::new(path)];
    let etc = at("etc");
    assert_eq!((etc.mode, etc.mtime), (0o2750, (1000, 5)));
    assert_eq!(etc.xattrs, [(b"user.k".to_vec(), b"v".to_vec())]);
    if is_root() {
        assert_eq!((etc.uid, etc.gid), (3, 4));
    }
    assert_eq!((at("new").mode, at("new").mtime), (0o755, (0, 0)));
    // Nothing of what is hidden comes through.
    assert_eq!((at("hidden/in").mode, at("replaced").mode), (0o755, 0o755));
    // The root comes from the topmost layer, which had no entry for it.
    assert_eq!(at("").mode, 0o755);
}

#[test]
fn a_link_below_is_not_followed_but_reported() {
    let below = lower(&Tar::new().dir("usr/lib").symlink("lib", "usr/lib").end());
    let sandbox = Sandbox::new();
    let finished =
        sandbox.layer(Tar::new().file("lib/x", b"").end().as_slice(), &[&below]).unwrap();
    assert_eq!(finished.shadowed, [Path::new("lib")]);
    assert_eq!(sandbox.tree()[Path::new("lib")].kind, 'd');
}

#[test]
fn hard_links_to_lower_files() {
    let bottom = lower(
        &Tar::new()
            .header(Header::new(b'5', "d", 0).mode(0o711))
            .pax(&[("mtime", b"1.000000001"), ("SCHILY.xattr.user.k", b"v")])
            .entry(Header::new(b'0', "d/f", 5).mode(0o4751).owner(7, 8), b"lower")
            .symlink("d/s", "f")
            .file("gone", b"x")
            .file("covered/f", b"x")
            .dir("dir")
            .symlink("way", "d")
            .end(),
    );
    let top = lower(
        &Tar::new().file(".wh.gone", b"").dir("covered").file("covered/.wh..wh..opq", b"").end(),
    );
    let sandbox = Sandbox::new();
    let archive = Tar::new()
        .dir("new")
        .hard_link("new/a", "d/f")
        .hard_link("new/b", "/d/f")
        .hard_link("new/s", "d/s")
        .end();
    let finished = sandbox.layer(archive.as_slice(), &[&top, &bottom]).unwrap();
    assert_eq!(finished.copied, 5);
    let tree = sandbox.tree();
    let at = |path: &str| &tree[Path::new(path)];
    let file = at("new/a");
    assert_eq!((file.content.as_slice(), file.mode, file.mtime), (&b"lower"[..], 0o4751, (1, 1)));
    assert_eq!(file.xattrs, [(b"user.k".to_vec(), b"v".to_vec())]);
    // One inode in the merged view.
    assert_eq!((&at("d/f").same_as, &at("new/b").same_as), (&file.same_as, &file.same_as));
    assert_eq!(at("d").mode, 0o711);
    assert_eq!(at("new").mtime, (1_600_000_000, 0));
    assert_eq!(at("new/s").target.as_deref(), Some(Path::new("f")));
    for (target, words) in [
        ("gone", "neither"),
        ("covered/f", "neither"),
        ("none", "neither"),
        ("way/f", "neither"),
        ("dir", "is a directory"),
    ] {
        let sandbox = Sandbox::new();
        let archive = Tar::new().hard_link("a", target).end();
        let error = sandbox.layer(archive.as_slice(), &[&top, &bottom]).unwrap_err().to_string();
        assert!(error.contains(words), "{target}: {error}");
    }
}

#[test]
fn an_opaque_root_hides_every_name() {
    let below = lower(&Tar::new().file("a", b"").dir("b").dir("c").end());
    let sandbox = Sandbox::new();
    let archive = Tar::new().file(".wh..wh..opq", b"").dir("c").file("d", b"").end();
    sandbox.layer(archive.as_slice(), &[&below]).unwrap();
    let tree = sandbox.tree();
    assert!(is_whiteout(&tree, "a") && is_whiteout(&tree, "b"));
    assert!(is_opaque(&tree[Path::new("c")]));
}

/// What we make is what an overlay mount understands.
#[test]
fn an_overlay_mount_shows_the_merged_layers() {
    if crate::sandbox::needs_root("an_overlay_mount_shows_the_merged_layers") {
        return;
    }
    let below = lower(
        &Tar::new().file("a/1", b"1").file("a/2", b"2").file("b/1", b"1").file("c", b"c").end(),
    );
    let above = Sandbox::new();
    let archive = Tar::new()
        .file("a/.wh.1", b"")
        .file("b/.wh..wh..opq", b"")
        .file("b/2", b"")
        .file(".wh.c", b"");
    above.layer(archive.end().as_slice(), &[&below]).unwrap();
    // A detached mount: nothing to leave behind.
    let fs = rustix::mount::fsopen("overlay", rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    let lowers = format!("{}:{}", above.target().display(), below.target().display());
    rustix::mount::fsconfig_set_string(fs.as_fd(), "lowerdir", lowers).unwrap();
    rustix::mount::fsconfig_create(fs.as_fd()).unwrap();
    let mount = rustix::mount::fsmount(
        fs.as_fd(),
        rustix::mount::FsMountFlags::FSMOUNT_CLOEXEC,
        rustix::mount::MountAttrFlags::empty(),
    )
    .unwrap();
    let list = |path: &str| {
        let dir = rustix::fs::openat(
            &mount,
            path,
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        let mut names: Vec<String> = rustix::fs::Dir::read_from(&dir)
            .unwrap()
            .map(|item| item.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(list("."), "a b");
    assert_eq!(list("a"), "2");
    assert_eq!(list("b"), "2");
}

#[test]
fn nothing_of_the_target_directory_leaks_in() {
    // Group and setgid bit of the directory that the store made, a umask.
    let sandbox = Sandbox::new();
    fs::set_permissions(sandbox.target(), PermissionsExt::from_mode(0o2777)).unwrap();
    let archive = Tar::new()
        .header(Header::new(b'5', "open", 0).mode(0o777))
        .entry(Header::new(b'0', "open/file", 1).mode(0o666), b"x")
        .end();
    sandbox.layer(archive.as_slice(), &[]).unwrap();
    let tree = sandbox.tree();
    assert_eq!(tree[Path::new("open")].mode, 0o777);
    assert_eq!(tree[Path::new("open/file")].mode, 0o666);
    assert_eq!(tree[Path::new("")].mode, 0o755);
    assert_eq!(fs::metadata(sandbox.target()).unwrap().gid(), rustix::process::getegid().as_raw());
}

#[test]
fn the_source_is_heard_out() {
    struct Failing(usize);
    impl std::io::Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::other("the line went dead"));
            }
            let len = buffer.len().min(self.0);
            buffer[..len].fill(0);
            self.0 -= len;
            Ok(len)
        }
    }
    for before in [0, 100, 1 << 20] {
        let sandbox = Sandbox::new();
        let head = Tar::new().header(Header::new(b'0', "a", 5 << 20)).0;
        let source = std::io::Read::chain(head.as_slice(), Failing(before));
        let error = sandbox.unpack(source).unwrap_err().to_string();
        assert!(error.contains("the line went dead"), "{error}");
    }
}

#[test]
fn this_kernel_confines() {
    let unpacked = Sandbox::new().unpack(&b""[..]).unwrap();
    match caisson_sys::landlock::landlock_abi() {
        Some(abi) if abi >= 2 => assert!(unpacked.confined),
        _ => eprintln!("this_kernel_confines: left out: no Landlock here"),
    }
}
