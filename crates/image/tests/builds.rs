//! Images made from a directory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod fixture;

use std::os::unix::fs::symlink;

use caisson_image::manifest::{ImageConfig, LayerCompression};
use caisson_image::{BuildRequest, NoProgress, Reference, build_from_rootfs};
use fixture::{assert_clean, read_file, store};

#[test]
fn a_directory_becomes_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("store"));
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    std::fs::write(tree.join("bin/sh"), vec![3; 400_000]).unwrap();
    symlink("sh", tree.join("bin/ash")).unwrap();
    let name: Reference = "made:1".parse().unwrap();
    let mut config =
        ImageConfig { created: Some("2024-01-02T03:04:05Z".to_owned()), ..Default::default() };
    config.config.cmd = vec!["sh".to_owned()];
    let mut ids = Vec::new();
    for compression in [LayerCompression::None, LayerCompression::Gzip, LayerCompression::Zstd] {
        let request = BuildRequest {
            rootfs: &tree,
            name: Some(&name),
            config: config.clone(),
            compression,
            owner: Some((0, 0)),
        };
        let first = build_from_rootfs(&store, &request, &NoProgress).unwrap();
        let again = build_from_rootfs(&store, &request, &NoProgress).unwrap();
        assert_eq!(first.manifest.digest, again.manifest.digest);
        assert_eq!(read_file(&store, &first, "bin/ash").unwrap().len(), 400_000);
        assert_eq!(store.find("made:1").unwrap().manifest.digest, first.manifest.digest);
        assert_eq!(first.config.config.cmd, ["sh"]);
        ids.push(first.id);
    }
    // The content is the same, whatever the compression.
    assert!(ids.iter().all(|id| *id == ids[0]));
    let request = BuildRequest {
        rootfs: &tree.join("none"),
        name: None,
        config,
        compression: LayerCompression::None,
        owner: None,
    };
    assert!(build_from_rootfs(&store, &request, &NoProgress).is_err());
    assert_clean(&store);
}
