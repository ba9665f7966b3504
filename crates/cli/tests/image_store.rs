//! Commands on images that are here, through the real program.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod caisson;

use caisson::{Caisson, Ran};

#[test]
fn nothing_is_here_at_first() {
    let caisson = Caisson::new();
    assert_eq!(caisson.run(&["images"]), "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n");
    assert_eq!(caisson.run(&["images", "--no-header"]), "");
    assert_eq!(caisson.run(&["images", "--format", "json"]), "[]\n");
    assert_eq!(caisson.run(&["image", "ls", "-q"]), "");
}

#[test]
fn an_image_is_loaded_listed_and_removed() {
    let caisson = Caisson::new();
    let archive = caisson.archive(&["web:1.2", "localhost:5000/web:latest"], "hello");
    let told = caisson.run(&["load", "-i", archive.to_str().unwrap()]);
    assert_eq!(told, "Loaded image: web:1.2\nLoaded image: localhost:5000/web:latest\n");

    let table = caisson.run(&["images"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("REPOSITORY"));
    assert!(table.contains("web                  1.2"), "{table}");
    assert!(lines[1].contains("years ago"), "{table}");

    let id = caisson.run(&["images", "-q", "--no-trunc"]);
    assert!(id.starts_with("sha256:") && id.lines().count() == 1, "{id}");
    let short = caisson.run(&["images", "-q"]);
    assert_eq!(short.trim(), &id[7..19]);

    assert_eq!(
        caisson.run(&["images", "--format", "name,platform", "--no-header"]),
        "web:1.2                     linux/amd64\nlocalhost:5000/web:latest   linux/amd64\n"
    );
    // By its id, an image with two names is not removed by accident.
    let refused = caisson.fail(1, &["rmi", short.trim()]);
    assert!(refused.contains("web:1.2") && refused.contains("--force"), "{refused}");
    assert_eq!(caisson.run(&["rmi", "web:1.2"]), "Untagged: web:1.2\n");
    let gone = caisson.run(&["rmi", "localhost:5000/web"]);
    assert_eq!(gone, format!("Untagged: localhost:5000/web:latest\nDeleted: {id}"));
    assert_eq!(caisson.run(&["images", "-q"]), "");

    let events = caisson.run(&["events", "--no-stream", "--filter", "type=image"]);
    let id = id.trim();
    let told: Vec<_> = events.lines().map(|line| line.split_once(" image ").unwrap().1).collect();
    assert_eq!(
        told,
        [
            format!("load {id} (name=web:1.2)"),
            format!("untag {id} (name=web:1.2)"),
            format!("untag {id} (name=localhost:5000/web:latest)"),
            format!("delete {id} ()"),
        ]
    );
}

#[test]
fn an_unknown_image_suggests_what_is_near() {
    let caisson = Caisson::new();
    caisson.load(&["nginx:1.2"], "a");
    for command in ["rmi", "history", "inspect"] {
        let error = caisson.fail(1, &[command, "ngnix"]);
        assert!(error.contains("Did you mean nginx:1.2?"), "{command}: {error}");
        assert!(error.starts_with("caisson: "), "{error}");
    }
}

#[test]
fn several_are_tried_whatever_happens() {
    let caisson = Caisson::new();
    caisson.load(&["a:1"], "a");
    caisson.load(&["b:1"], "bb");
    let ran = caisson.try_run(&["rmi", "a:1", "none:1", "b:1"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("none:1"), "{ran:?}");
    assert_eq!(caisson.run(&["images", "-q"]), "");
}

#[test]
fn filters_choose() {
    let caisson = Caisson::new();
    caisson.load(&["a:1"], "a");
    caisson.load(&["b:1"], "bb");
    let names = |args: &[&str]| {
        let mut line = vec!["images", "--format", "name", "--no-header"];
        line.extend(args);
        caisson.run(&line)
    };
    assert_eq!(names(&["a"]), "a:1\n");
    assert_eq!(names(&["--filter", "reference=b*"]), "b:1\n");
    assert_eq!(names(&["--filter", "label=kind=test", "a"]), "a:1\n");
    assert_eq!(names(&["--filter", "label=kind=none"]), "");
    assert_eq!(names(&["--filter", "dangling=true"]), "");
    assert_eq!(names(&["--filter", "until=2019-01-01"]), "");
    assert_eq!(names(&["--filter", "until=2021-01-01"]).lines().count(), 2);
    let error = caisson.fail(125, &["images", "--filter", "colour=red"]);
    assert!(error.contains("colour") && error.contains("reference"), "{error}");
}

#[test]
fn names_come_and_go() {
    let caisson = Caisson::new();
    let id = caisson.load(&["a:1"], "a");
    caisson.run(&["tag", "a:1", "b", "registry.example/c:2"]);
    let json = caisson.run(&["inspect", "--format", "RepoTags", "b"]);
    assert_eq!(json, "[\"a:1\",\"b:latest\",\"registry.example/c:2\"]\n");
    assert_eq!(caisson.run(&["image", "inspect", "-f", "id", "registry.example/c:2"]).trim(), id);
    let error = caisson.fail(1, &["tag", "a:1", "Upper"]);
    assert!(error.contains("lower case"), "{error}");
}

#[test]
fn everything_is_shown_of_an_image() {
    let caisson = Caisson::new();
    let id = caisson.load(&["a:1"], "a");
    let value: serde_json::Value = serde_json::from_str(&caisson.run(&["inspect", "a:1"])).unwrap();
    let image = &value[0];
    assert_eq!(image["Id"], id.as_str());
    assert_eq!(image["Config"]["Cmd"][0], "/bin/true");
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    assert_eq!(image["Created"], "2020-01-02T03:04:05Z");
    let error = caisson.fail(125, &["inspect", "-f", "{{.Id}}", "a:1"]);
    assert!(error.contains("without braces"), "{error}");

    let history = caisson.run(&["history", "a:1"]);
    let lines: Vec<_> = history.lines().collect();
    assert_eq!(lines.len(), 3, "{history}");
    assert!(lines[1].contains("CMD true") && lines[1].contains("0B"), "{history}");
    assert!(lines[2].contains("made by a test") && lines[2].contains("years ago"), "{history}");
}

#[test]
fn pruning_asks_first_and_spares_names() {
    let caisson = Caisson::new();
    let id = caisson.load(&["a:1"], "a");
    let error = caisson.fail(1, &["image", "prune"]);
    assert!(error.contains("--force"), "{error}");
    assert_eq!(caisson.run(&["image", "prune", "-f"]), "Total reclaimed space: 0B\n");
    // Another image takes the name: the first is dangling now.
    caisson.load(&["a:1"], "bb");
    assert_eq!(caisson.run(&["images", "-q", "--filter", "dangling=true"]).trim(), &id[7..19]);
    let told = caisson.run(&["prune", "--force"]);
    assert!(told.starts_with(&format!("Deleted: {id}\nTotal reclaimed space: ")), "{told}");
    let told = caisson.run(&["prune", "--all", "-f", "--filter", "label=kind=test"]);
    assert!(told.starts_with("Untagged: a:1\n"), "{told}");
    assert_eq!(caisson.run(&["images", "-q"]), "");
}

#[test]
fn damage_is_found() {
    let caisson = Caisson::new();
    caisson.load(&["a:1"], "a");
    assert!(caisson.run(&["image", "verify"]).contains("all as they should be"));
    let layer = caisson.run(&["history", "-q", "--no-trunc", "a:1"]);
    let layer = layer.lines().find(|line| line.starts_with("sha256:")).unwrap();
    let blob = caisson.path("state/content/blobs/sha256").join(&layer[7..]);
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[100] ^= 1;
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, bytes).unwrap();
    let Ran { code, stdout, stderr } = caisson.try_run(&["image", "verify"]);
    assert_eq!(code, 1);
    assert!(stdout.contains("is damaged") && stdout.contains(layer), "{stdout}");
    assert!(stderr.contains("the store is damaged"), "{stderr}");
}

#[test]
fn saved_images_come_back() {
    let caisson = Caisson::new();
    let ids = [caisson.load(&["a:1"], "a"), caisson.load(&["b:1"], "bb")];
    for format in ["oci-archive", "docker-archive", "oci-dir"] {
        let path = caisson.path(&format!("saved-{format}"));
        let path = path.to_str().unwrap();
        caisson.run(&["save", "--format", format, "-o", path, "a:1", "b:1"]);
        let other = Caisson::new();
        let told = other.run(&["load", "--quiet", "--input", path]);
        let mut loaded: Vec<_> = told.lines().collect();
        loaded.sort_unstable();
        let mut wanted: Vec<_> = ids.iter().map(String::as_str).collect();
        wanted.sort_unstable();
        assert_eq!(loaded, wanted, "{format}");
        assert_eq!(other.run(&["images", "-q"]).lines().count(), 2);
    }
    let leftovers = std::fs::read_dir(caisson.path("")).unwrap();
    let partial =
        leftovers.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("partial"));
    assert_eq!(partial.count(), 0);
}

#[test]
fn archives_go_through_pipes() {
    let caisson = Caisson::new();
    let id = caisson.load(&["a:1"], "a");
    let other = Caisson::new();
    let mut save =
        caisson.command(&["save", "a:1"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let load = other.command(&["load", "-q"]).stdin(save.stdout.take().unwrap()).output().unwrap();
    assert!(save.wait().unwrap().success());
    assert_eq!(Ran::from(load).stdout.trim(), id);
}

#[test]
fn what_is_no_archive_is_refused() {
    let caisson = Caisson::new();
    let path = caisson.path("text");
    std::fs::write(&path, "hello").unwrap();
    let error = caisson.fail(1, &["load", "-i", path.to_str().unwrap()]);
    assert!(error.contains("cannot load") && error.contains("docker save"), "{error}");
    let error = caisson.fail(1, &["load", "-i", "/nonexistent"]);
    assert!(error.contains("/nonexistent") && error.contains("No such file"), "{error}");
    assert!(!error.contains("os error"), "{error}");
}

#[test]
fn a_directory_becomes_an_image() {
    let caisson = Caisson::new();
    let tree = caisson.path("tree");
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    std::fs::write(tree.join("bin/program"), "x").unwrap();
    let build = |name: &str, more: &[&str]| {
        let mut line =
            vec!["image", "build-from-rootfs", "-q", tree.to_str().unwrap(), name, "--created"];
        line.push("2024-01-02T03:04:05Z");
        line.extend(more);
        caisson.run(&line).trim().to_owned()
    };
    let options = [
        "--entrypoint",
        "/bin/program",
        "--cmd",
        r#"["a b"]"#,
        "--env",
        "A=1",
        "--workdir",
        "/bin",
        "--user",
        "7:8",
        "--label",
        "k=v",
        "--expose",
        "80",
        "--platform",
        "linux/arm64",
    ];
    let id = build("made:1", &options);
    let show = |path: &str| caisson.run(&["inspect", "-f", path, "made:1"]);
    assert_eq!(show("Id").trim(), id);
    assert_eq!(show("Config.Entrypoint"), "[\"/bin/program\"]\n");
    assert_eq!(show("Config.Cmd"), "[\"a b\"]\n");
    assert_eq!(show("Config.Env,Config.User,Config.WorkingDir"), "[\"A=1\"]\n7:8\n/bin\n");
    assert_eq!(
        show("Config.Labels.k,Architecture,Config.ExposedPorts"),
        "v\narm64\n{\"80/tcp\":{}}\n"
    );
    // The same again is the same image.
    assert_eq!(build("again", &options), id);
    for compression in ["none", "gzip", "zstd"] {
        build(compression, &["--compression", compression]);
    }
    assert!(caisson.run(&["image", "verify"]).contains("all as they should be"));
    let error = caisson.fail(1, &["image", "build-from-rootfs", "/nonexistent", "x"]);
    assert!(error.contains("/nonexistent"), "{error}");
    let error = caisson.fail(125, &["image", "build-from-rootfs", "/tmp", "Upper"]);
    assert!(error.contains("lower case"), "{error}");
}

#[test]
fn the_signature_policy_is_asked_about_archives() {
    let caisson = Caisson::new();
    let archive = caisson.archive(&["thing:1"], "x");
    let archive = archive.to_str().unwrap();
    let policy = caisson.path("policy.json");
    let file = policy.to_str().unwrap();
    let reject = r#"{"default":[{"type":"insecureAcceptAnything"}],
        "transports":{"docker-archive":{"":[{"type":"reject"}]}}}"#;
    std::fs::write(&policy, reject).unwrap();
    let error = caisson.fail(1, &["load", "-i", archive, "--signature-policy", file]);
    assert!(error.contains("docker-archive \"\": reject"), "{error}");
    let settings = caisson.path("config.toml");
    std::fs::write(&settings, format!("[storage]\nsignature_policy = {file:?}\n")).unwrap();
    let settings = settings.to_str().unwrap();
    caisson.fail(1, &["--config", settings, "load", "-i", archive]);
    assert_eq!(caisson.run(&["images", "-q"]), "");
    std::fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    caisson.run(&["--config", settings, "load", "-i", archive]);
}
