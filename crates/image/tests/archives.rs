//! Loading and saving images.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod fixture;

use caisson_image::archive::{self, LoadError, SaveFormat};
use caisson_image::{Digest, FindImageError, NoProgress, PruneFilter, RemoveImageError};
use fixture::{assert_clean, entries, gzip, gzip_layer, image, load, oci_archive, plain_layer};
use fixture::{read_file, store, tar, zstd_layer};

fn three_layers() -> Vec<fixture::Layer> {
    vec![
        gzip_layer(&tar(&[("etc/", b""), ("etc/a", b"one"), ("etc/keep", b"kept")])),
        zstd_layer(&tar(&[("etc/a", b"two"), ("etc/link", b"->etc/keep")])),
        plain_layer(&tar(&[("bin/", b""), ("bin/sh", &[7; 300_000])])),
    ]
}

#[test]
fn an_oci_archive_is_loaded_and_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let image = image(&three_layers(), "x");
    for compressed in [false, true] {
        let archive = oci_archive(&image, "docker.io/library/thing:1");
        let archive = if compressed { gzip(&archive) } else { archive };
        let loaded = load(&store, &archive).unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0].id, Digest::sha256(&image.config));
    }
    let found = store.find("thing:1").unwrap();
    assert_eq!(found.title(), "thing:1");
    assert_eq!(read_file(&store, &found, "etc/a").unwrap(), b"two");
    // A hard link to a file of a lower layer.
    assert_eq!(read_file(&store, &found, "etc/link").unwrap(), b"kept");
    assert_eq!(read_file(&store, &found, "bin/sh").unwrap().len(), 300_000);
    assert_eq!(store.images().unwrap().len(), 1);
    let hex = found.id.hex();
    for query in [&hex[..3], &hex[..12], hex, &found.id.to_string(), found.manifest.digest.hex()] {
        assert_eq!(store.find(query).unwrap().id, found.id, "{query}");
    }
    let error = store.find("thnig:1").unwrap_err();
    assert!(error.to_string().contains("Did you mean thing:1?"), "{error}");
    assert!(matches!(store.find("nothing-like-it"), Err(FindImageError::NotFound { .. })));
    let arm = "linux/arm64".parse().unwrap();
    let other = store.find_for("thing:1", Some(&arm));
    assert!(
        matches!(other, Err(FindImageError::OtherPlatform { .. })) || cfg!(target_arch = "aarch64")
    );
    assert_clean(&store);
    // Lists of the archive are not kept.
    assert_eq!(store.usage().unwrap().blobs, 5);
}

#[test]
fn what_is_saved_can_be_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(&dir.path().join("first"));
    let archive = oci_archive(&image(&three_layers(), "x"), "localhost:5000/a/thing:1");
    load(&first, &archive).unwrap();
    let other = image(&three_layers()[..2], "y");
    load(&first, &oci_archive(&other, "other")).unwrap();
    let images = first.images().unwrap();
    for (number, format) in [SaveFormat::Oci, SaveFormat::Docker].into_iter().enumerate() {
        let mut bytes = Vec::new();
        archive::save(&first, &images, format, &mut bytes).unwrap();
        let mut again = Vec::new();
        archive::save(&first, &images, format, &mut again).unwrap();
        assert!(bytes == again);
        let second = store(&dir.path().join(format!("second{number}")));
        load(&second, &bytes).unwrap();
        assert_eq!(second.images().unwrap().len(), 2);
        let found = second.find("localhost:5000/a/thing:1").unwrap();
        assert_eq!(read_file(&second, &found, "etc/link").unwrap(), b"kept");
        assert_clean(&second);
    }
    let layout = dir.path().join("layout");
    archive::save_layout(&first, &images, &layout).unwrap();
    archive::save_layout(&first, &images, &layout).unwrap();
    let third = store(&dir.path().join("third"));
    let loaded = archive::load(&third, archive::Input::Path(&layout), None, &NoProgress).unwrap();
    assert_eq!(loaded.len(), 2);
    let same: Vec<_> = third.images().unwrap().iter().map(|i| i.manifest.digest.clone()).collect();
    assert!(images.iter().all(|i| same.contains(&i.manifest.digest)));
    // A bare word is a tag of we don't know what, and so no name.
    assert!(third.find("other").is_err() && third.find(images[0].id.hex()).is_ok());
    assert_clean(&third);
}

#[test]
fn a_docker_archive_with_links_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let layer = tar(&[("a", b"same")]);
    let image = image(&[plain_layer(&layer), plain_layer(&layer)], "x");
    let config = format!("{}.json", Digest::sha256(&image.config).hex());
    let manifest = format!(
        "[{{\"Config\":\"{config}\",\"RepoTags\":[\"old:1\",\"old:2\"],\
         \"Layers\":[\"x/layer.tar\",\"y/layer.tar\"]}}]"
    );
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    add("x/layer.tar", &layer);
    add(&config, &image.config);
    add("manifest.json", manifest.as_bytes());
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "y/layer.tar", "../x/layer.tar").unwrap();
    let archive = builder.into_inner().unwrap();
    let loaded = load(&store, &archive).unwrap();
    assert_eq!(loaded[0].names.len(), 2);
    assert_eq!(loaded[0].chain.len(), 2);
    assert_eq!(read_file(&store, &loaded[0], "a").unwrap(), b"same");
    assert_clean(&store);
}

#[test]
fn bad_archives_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let before = entries(dir.path());
    let good = image(&three_layers(), "x");
    let mut wrong_diff = three_layers();
    wrong_diff[1].diff_id = Digest::sha256(b"other");
    let mut garbage = three_layers();
    garbage[0].blob.extend(b"garbage behind the stream");
    let mut half = three_layers();
    half[1].blob.truncate(40);
    for (what, bad) in [
        ("diff id", image(&wrong_diff, "x")),
        ("garbage", image(&garbage, "x")),
        ("half", image(&half, "x")),
    ] {
        let error = load(&store, &oci_archive(&bad, "bad:1")).unwrap_err();
        assert!(matches!(error, LoadError::Install(_)), "{what}: {error}");
    }
    let archive = oci_archive(&good, "bad:1");
    assert!(load(&store, &archive[..archive.len() / 2]).is_err());
    assert!(matches!(load(&store, &tar(&[("a", b"b")])), Err(LoadError::NoImages)));
    // Content under a name that it does not hash to.
    let lie = format!("blobs/sha256/{}", Digest::sha256(b"x").hex());
    assert!(load(&store, &tar(&[(&lie, b"y")])).is_err());
    let files: Vec<(&str, &[u8])> =
        vec![("oci-layout", b"{}"), ("index.json", b"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":3}]}")];
    assert!(matches!(load(&store, &tar(&files)), Err(LoadError::Missing { .. })));
    store.prune(&PruneFilter::default()).unwrap();
    let after: Vec<_> = entries(dir.path()).into_iter().filter(|e| !e.contains("leases")).collect();
    let files = |list: &[String]| -> Vec<String> {
        list.iter().filter(|e| !e.starts_with("meta.db")).cloned().collect()
    };
    assert_eq!(files(&after), files(&before));
    assert!(store.images().unwrap().is_empty());
}

#[test]
fn names_and_removal() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    load(&store, &oci_archive(&image(&three_layers(), "x"), "one:1")).unwrap();
    let other = image(&three_layers()[..1], "y");
    load(&store, &oci_archive(&other, "two:1")).unwrap();
    let one = store.find("one:1").unwrap();
    store.tag(&one, &"three".parse().unwrap()).unwrap();
    let short = one.short_id().to_owned();
    assert!(matches!(store.remove(&short, false), Err(RemoveImageError::SeveralNames { .. })));
    let removed = store.remove("three", false).unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted), (1, None));
    store.retain("container-1", &one).unwrap();
    let error = store.remove("one:1", false).unwrap_err();
    assert!(error.to_string().contains("container-1"), "{error}");
    // By force only the name goes.
    let removed = store.remove("one:1", true).unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted), (1, None));
    store.prune(&PruneFilter { all: true, ..PruneFilter::default() }).unwrap();
    assert!(store.find("two:1").is_err());
    assert_eq!(read_file(&store, &one, "etc/a").unwrap(), b"two");
    assert_clean(&store);
    assert_eq!(store.release_dead(&|_| false).unwrap(), ["container-1"]);
    let report = store.prune(&PruneFilter::default()).unwrap();
    assert_eq!(report.images.len(), 1);
    assert!(report.reclaimed > 300_000);
    let usage = store.usage().unwrap();
    assert_eq!((usage.images, usage.blobs, usage.snapshots), (0, 0, 0));
    assert!(store.rootfs(&one).is_err() && store.retain("late", &one).is_err());
}

#[test]
fn pruning_looks_at_labels_and_age() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    load(&store, &oci_archive(&image(&three_layers(), "x"), "one:1")).unwrap();
    let all = PruneFilter { all: true, ..PruneFilter::default() };
    let kept = [
        PruneFilter::default(),
        PruneFilter { until: Some(std::time::SystemTime::UNIX_EPOCH), ..all.clone() },
        PruneFilter { labels: vec![("is".to_owned(), Some("y".to_owned()))], ..all.clone() },
        PruneFilter { not_labels: vec![("is".to_owned(), None)], ..all.clone() },
    ];
    for filter in kept {
        assert!(store.prune(&filter).unwrap().images.is_empty(), "{filter:?}");
    }
    let gone = PruneFilter {
        until: Some(std::time::SystemTime::now()),
        labels: vec![("is".to_owned(), Some("x".to_owned()))],
        ..all
    };
    assert_eq!(store.prune(&gone).unwrap().images.len(), 1);
}

#[test]
fn damage_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    load(&store, &oci_archive(&image(&three_layers(), "x"), "one:1")).unwrap();
    let one = store.find("one:1").unwrap();
    let path = store.content().path(&one.layers[0].digest);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    std::fs::remove_file(store.content().path(&one.layers[1].digest)).unwrap();
    std::fs::remove_dir_all(&store.rootfs(&one).unwrap().lowers[0]).unwrap();
    let problems = store.verify().unwrap().problems;
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn a_quota_refuses_or_evicts() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = caisson_image::StoreSettings::at(dir.path());
    settings.quota = Some(1_500_000);
    let store = caisson_image::Store::open(settings.clone()).unwrap();
    load(&store, &oci_archive(&image(&three_layers(), "x"), "one:1")).unwrap();
    let big = image(&[plain_layer(&tar(&[("big", &[1; 500_000])]))], "z");
    let error = load(&store, &oci_archive(&big, "big:1")).unwrap_err();
    assert!(error.to_string().contains("quota"), "{error}");
    settings.quota_policy = caisson_image::QuotaPolicy::Evict;
    let store = caisson_image::Store::open(settings).unwrap();
    store.retain("c", &store.find("one:1").unwrap()).unwrap();
    assert!(load(&store, &oci_archive(&big, "big:1")).is_err());
    store.release("c").unwrap();
    load(&store, &oci_archive(&big, "big:1")).unwrap();
    assert!(store.find("one:1").is_err());
    assert_clean(&store);
}

/// Not a test: what the one below runs in processes of their own.
#[test]
#[ignore = "run by another test"]
fn child() {
    let Some(root) = std::env::var_os("CAISSON_TEST_ROOT").map(std::path::PathBuf::from) else {
        return;
    };
    let store = store(&root.join("store"));
    archive::load(&store, archive::Input::Path(&root.join("archive")), None, &NoProgress).unwrap();
}

#[test]
fn a_load_killed_at_any_moment_leaves_a_clean_store() {
    let dir = tempfile::tempdir().unwrap();
    let archive = oci_archive(&fixture::large_image("x"), "large:1");
    std::fs::write(dir.path().join("archive"), &archive).unwrap();
    for round in 0..10 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child"])
            .env("CAISSON_TEST_ROOT", dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let moment = u64::from(fixture::noise(8, round + 1)[0]) * 2;
        std::thread::sleep(std::time::Duration::from_millis(moment));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = store(&dir.path().join("store"));
        assert_clean(&store);
        if store.find("large:1").is_ok() {
            store.remove("large:1", false).unwrap();
        }
    }
    let store = store(&dir.path().join("store"));
    load(&store, &archive).unwrap();
    store.prune(&PruneFilter { all: true, ..PruneFilter::default() }).unwrap();
    let usage = store.usage().unwrap();
    assert_eq!((usage.images, usage.blobs, usage.snapshots), (0, 0, 0));
    for name in ["snapshots", "leases", "content/ingest"] {
        let left = entries(&dir.path().join("store").join(name));
        assert_eq!(left, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_policy_of_a_form_decides() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let store = store(&root.join("store"));
    let image = image(&three_layers(), "x");
    let archive = root.join("a.tar");
    std::fs::write(&archive, oci_archive(&image, "thing:1")).unwrap();
    let link = root.join("link.tar");
    std::os::unix::fs::symlink(&archive, &link).unwrap();
    let load = |input: archive::Input<'_>, policy: &str| {
        let policy = caisson_image::Policy::parse(policy.as_bytes()).unwrap();
        archive::load(&store, input, Some(&policy), &NoProgress)
    };
    let allowing = |transport: &str, scope: &str| {
        format!(
            r#"{{"default":[{{"type":"reject"}}],"transports":{{"{transport}":{{
            "{scope}":[{{"type":"insecureAcceptAnything"}}]}}}}}}"#
        )
    };
    let here = root.to_str().unwrap();
    let file = archive.to_str().unwrap();
    let stream = || archive::Input::Stream(Box::new(std::fs::File::open(file).unwrap()));
    let path = || archive::Input::Path(&archive);
    let refused = [
        (path(), allowing("docker-archive", "")),
        (path(), allowing("oci", "")),
        (path(), allowing("oci-archive", "/elsewhere")),
        (path(), allowing("oci-archive", link.to_str().unwrap())),
        (stream(), allowing("oci-archive", here)),
    ];
    for (input, policy) in refused {
        let error = load(input, &policy).unwrap_err();
        assert!(matches!(error, LoadError::Policy(_)), "{policy}: {error}");
    }
    assert!(store.images().unwrap().is_empty());
    assert_eq!(store.usage().unwrap().blobs, 0, "what was refused is not kept");
    let allowed = [
        (path(), allowing("oci-archive", file)),
        (archive::Input::Path(&link), allowing("oci-archive", here)),
        (stream(), allowing("oci-archive", "")),
    ];
    for (input, policy) in allowed {
        assert_eq!(load(input, &policy).unwrap().len(), 1, "{policy}");
    }
    let loaded = store.find("thing:1").unwrap();
    let (layout, docker) = (root.join("layout"), root.join("docker.tar"));
    archive::save_layout(&store, std::slice::from_ref(&loaded), &layout).unwrap();
    let mut out = std::fs::File::create(&docker).unwrap();
    archive::save(&store, &[loaded], SaveFormat::Docker, &mut out).unwrap();
    for (input, transport) in [(&layout, "oci"), (&docker, "docker-archive")] {
        let wrong = allowing("oci-archive", "");
        assert!(load(archive::Input::Path(input), &wrong).is_err(), "{transport}");
        load(archive::Input::Path(input), &allowing(transport, "")).unwrap();
    }
}
