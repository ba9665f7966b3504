//! A disk that is full, on a small tmpfs of the test's own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod fixture;

use std::path::Path;
use std::process::Command;

use caisson_image::manifest::LayerCompression;
use caisson_image::{BuildRequest, NoProgress, PullRequest, Reference, build_from_rootfs, pull};
use fixture::server::{Server, client};
use fixture::{assert_clean, gzip_layer, image, large_image, load, noise, oci_archive, store, tar};

/// Not a test: runs where `CAISSON_TEST_FULL` is a mounted tmpfs of 12 MiB.
#[test]
#[ignore = "run by the test below"]
fn child() {
    let Ok(root) = std::env::var("CAISSON_TEST_FULL") else { return };
    let root = Path::new(&root);
    let (store, server, client) = (store(&root.join("store")), Server::start(), client());
    let small = image(&[gzip_layer(&tar(&[("etc/", b""), ("etc/a", &noise(100_000, 7))]))], "s");
    load(&store, &oci_archive(&small, "small:1")).unwrap();
    let before = used(root);
    // Its blobs fit, its files do not.
    let large = large_image("x");
    server.add(&large, "1");
    let filler = root.join("filler");
    std::fs::write(&filler, vec![1; 7 << 20]).unwrap();
    let pulling = PullRequest::new(server.reference("1"));
    let error = pull(&store, &client, &pulling, &NoProgress).unwrap_err().to_string();
    assert!(error.contains("not enough space") && error.contains("bytes more"), "{error}");
    assert_clean(&store);
    assert_eq!(store.images().unwrap().len(), 1);
    // An archive that does not fit either.
    let error = load(&store, &oci_archive(&large, "large:1")).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    let tree = root.join("tree");
    std::fs::create_dir(&tree).unwrap();
    let name: Reference = "built:1".parse().unwrap();
    std::fs::write(tree.join("file"), noise(2 << 20, 9)).unwrap();
    std::fs::write(&filler, vec![1; 8 << 20]).unwrap();
    let request = BuildRequest {
        rootfs: &tree,
        name: Some(&name),
        config: caisson_image::manifest::ImageConfig::default(),
        compression: LayerCompression::Zstd,
        owner: None,
    };
    assert!(build_from_rootfs(&store, &request, &NoProgress).is_err());
    std::fs::remove_dir_all(&tree).unwrap();
    std::fs::remove_file(&filler).unwrap();
    assert_clean(&store);
    assert!(used(root) <= before + (256 << 10), "{} {before}", used(root));
    // With room it works.
    pull(&store, &client, &pulling, &NoProgress).unwrap();
    assert_clean(&store);
}

fn used(root: &Path) -> u64 {
    let found = rustix::fs::statvfs(root).unwrap();
    (found.f_blocks - found.f_bfree) * found.f_frsize
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    if !rustix::process::geteuid().is_root() {
        println!("left out: mounting a small file system takes root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=12m,mode=700 tmpfs \"$CAISSON_TEST_FULL\" && exec \"$0\" \
                  --ignored --exact child --nocapture";
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("CAISSON_TEST_FULL", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{text}");
}
