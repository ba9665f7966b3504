//! `root`, `mounts`, `linux.maskedPaths`, `linux.readonlyPaths`,
//! `linux.rootfsPropagation` and `linux.mountLabel` of `config.json`.

#![cfg(test)]

mod bundle;

use std::path::PathBuf;

use bundle::Bundle;
use serde_json::json;

/// A directory beside the root file system.
fn source(bundle: &Bundle, name: &str) -> PathBuf {
    let path = bundle.path().join(name);
    std::fs::create_dir(&path).unwrap();
    path
}

/// `(options of the mount, optional fields, options of the file system)` of
/// the topmost mount at a place, from a text like `/proc/self/mountinfo`.
#[track_caller]
fn mount_at(mountinfo: &str, place: &str) -> (String, String, String) {
    let line = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some(place));
    let line = line.unwrap_or_else(|| panic!("nothing at {place}: {mountinfo}"));
    let (left, right) = line.split_once(" - ").unwrap();
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    (left[5].to_owned(), left[6..].join(" "), right.join(" "))
}

fn mountinfo(bundle: &mut Bundle) -> String {
    bundle.config["process"]["args"] = json!(["cat", "/proc/self/mountinfo"]);
    bundle.run().ok().stdout()
}

fn has(options: &str, word: &str) -> bool {
    options.split(',').any(|option| option == word)
}

#[test]
fn root_is_the_path_relative_or_absolute() {
    let mut bundle = Bundle::script("cat /marker");
    std::fs::write(bundle.rootfs().join("marker"), "here\n").unwrap();
    assert_eq!(bundle.run().lines(), ["here"]);
    bundle.config["root"]["path"] = json!(bundle.rootfs());
    assert_eq!(bundle.run().lines(), ["here"]);
}

#[test]
fn root_is_read_only_if_asked() {
    let mut bundle =
        Bundle::script("echo x > /new && echo wrote || echo denied; echo x > /dev/x && echo wrote");
    bundle.config["root"]["readonly"] = json!(true);
    assert_eq!(bundle.run().lines(), ["denied", "wrote"], "mounts on it stay writable");
    bundle.config["root"]["readonly"] = json!(false);
    assert_eq!(bundle.run().lines(), ["wrote", "wrote"]);
    assert!(bundle.rootfs().join("new").exists());
}

#[test]
fn destination_source_type_and_options_are_honoured() {
    let mut bundle = Bundle::new();
    bundle.mount(json!({
        "destination": "/made/on/the/way", "type": "tmpfs", "source": "my-tmpfs",
        "options": ["ro", "nosuid", "nodev", "noexec", "noatime", "nosymfollow",
            "size=64k", "mode=0711", "uid=7"]
    }));
    let info = mountinfo(&mut bundle);
    let (options, _, fs) = mount_at(&info, "/made/on/the/way");
    for word in ["ro", "nosuid", "nodev", "noexec", "noatime", "nosymfollow"] {
        assert!(has(&options, word), "{word}: {options}");
    }
    assert!(fs.starts_with("tmpfs my-tmpfs "), "{fs}");
    for word in ["size=64k", "mode=711", "uid=7"] {
        assert!(fs.contains(word), "{word}: {fs}");
    }
}

#[test]
fn later_options_win() {
    let mut bundle = Bundle::new();
    bundle.mount(json!({
        "destination": "/mnt", "type": "tmpfs", "source": "tmpfs",
        "options": ["ro", "nosuid", "noexec", "rw", "suid", "exec"]
    }));
    let (options, ..) = mount_at(&mountinfo(&mut bundle), "/mnt");
    assert!(has(&options, "rw") && !has(&options, "nosuid") && !has(&options, "noexec"));
}

#[test]
fn bind_mounts_show_directories_and_files() {
    let mut bundle = Bundle::script("cat /mnt/file /etc/single; echo more >> /etc/single");
    let dir = source(&bundle, "shared");
    std::fs::write(dir.join("file"), "in directory\n").unwrap();
    std::fs::write(bundle.path().join("single"), "single\n").unwrap();
    bundle
        .mount(json!({"destination": "/mnt", "type": "bind", "source": dir, "options": ["bind"]}));
    // A relative source starts at the bundle.
    bundle.mount(json!({"destination": "/etc/single", "source": "single", "options": ["rbind"]}));
    assert_eq!(bundle.run().lines(), ["in directory", "single"]);
    let text = std::fs::read_to_string(bundle.path().join("single")).unwrap();
    assert_eq!(text, "single\nmore\n");
}

#[test]
fn mounts_are_made_in_the_order_given() {
    let mut bundle = Bundle::script("cat /mnt/inner/file");
    let dir = source(&bundle, "inner");
    std::fs::write(dir.join("file"), "inner\n").unwrap();
    bundle.mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"}));
    bundle.mount(json!({"destination": "/mnt/inner", "source": dir, "options": ["bind"]}));
    assert_eq!(bundle.run().lines(), ["inner"]);
}

#[test]
fn a_symlink_at_the_destination_stays_inside() {
    let mut bundle = Bundle::script("cat /target/file");
    std::os::unix::fs::symlink("/../../target", bundle.rootfs().join("link")).unwrap();
    let dir = source(&bundle, "source");
    std::fs::write(dir.join("file"), "x\n").unwrap();
    bundle.mount(json!({"destination": "/link", "source": dir, "options": ["bind"]}));
    assert_eq!(bundle.run().lines(), ["x"]);
    assert!(bundle.rootfs().join("target").exists());
}

#[test]
fn a_plain_attribute_leaves_submounts_alone_and_a_recursive_one_does_not() {
    for (option, word) in [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnoatime", "noatime"),
        ("rnodiratime", "nodiratime"),
        ("rnosymfollow", "nosymfollow"),
    ] {
        let mut bundle = Bundle::new();
        let dir = source(&bundle, "source");
        bundle.prelude = Some(
            "mount -t tmpfs t $B/source; mkdir $B/source/sub; mount -t tmpfs t $B/source/sub"
                .into(),
        );
        bundle.mount(json!({"destination": "/mnt", "source": dir, "options": ["rbind", option]}));
        let info = mountinfo(&mut bundle);
        assert!(has(&mount_at(&info, "/mnt").0, word), "{option}: {info}");
        assert!(has(&mount_at(&info, "/mnt/sub").0, word), "{option}: {info}");
        bundle.config["mounts"].as_array_mut().unwrap().pop();
        bundle.mount(json!({"destination": "/mnt", "source": dir, "options": ["rbind", word]}));
        let info = mountinfo(&mut bundle);
        assert!(has(&mount_at(&info, "/mnt").0, word), "{word}: {info}");
        assert!(!has(&mount_at(&info, "/mnt/sub").0, word), "{word}: {info}");
    }
}

#[test]
fn recursive_attributes_can_be_taken_off() {
    let mut bundle = Bundle::new();
    let dir = source(&bundle, "source");
    bundle.prelude = Some(
        "mount -t tmpfs -o nosuid,nodev,noexec,noatime t $B/source; mkdir $B/source/sub
         mount -t tmpfs -o nosuid,nodev,noexec,noatime t $B/source/sub"
            .into(),
    );
    bundle.mount(json!({"destination": "/mnt", "source": dir,
        "options": ["rbind", "rsuid", "rdev", "rexec", "rrelatime", "rro", "rrw"]}));
    let info = mountinfo(&mut bundle);
    for place in ["/mnt", "/mnt/sub"] {
        assert_eq!(mount_at(&info, place).0, "rw,relatime", "{place}: {info}");
    }
}

#[test]
fn a_read_only_bind_mount_keeps_the_sources_flags() {
    let mut bundle = Bundle::new();
    let dir = source(&bundle, "source");
    bundle.prelude = Some("mount -t tmpfs -o nosuid,nodev,noexec t $B/source".into());
    bundle.mount(json!({"destination": "/mnt", "source": dir, "options": ["bind", "ro"]}));
    let (options, ..) = mount_at(&mountinfo(&mut bundle), "/mnt");
    for word in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(has(&options, word), "{word}: {options}");
    }
}

#[test]
fn propagation_of_mounts_is_set() {
    for (option, wanted) in [
        ("private", ""),
        ("rprivate", ""),
        ("unbindable", "unbindable"),
        ("shared", "shared:"),
        ("rshared", "shared:"),
    ] {
        let mut bundle = Bundle::new();
        bundle.mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "t",
            "options": [option]}));
        let (_, propagation, _) = mount_at(&mountinfo(&mut bundle), "/mnt");
        assert!(propagation.starts_with(wanted), "{option}: {propagation:?}");
        assert_eq!(propagation.is_empty(), wanted.is_empty(), "{option}: {propagation:?}");
    }
    let mut bundle = Bundle::new();
    let dir = source(&bundle, "source");
    bundle.prelude = Some("mount -t tmpfs t $B/source; mount --make-shared $B/source".into());
    bundle.mount(json!({"destination": "/mnt", "source": dir, "options": ["rbind", "rslave"]}));
    let (_, propagation, _) = mount_at(&mountinfo(&mut bundle), "/mnt");
    assert!(propagation.starts_with("master:"), "{propagation:?}");
}

#[test]
fn rootfs_propagation_is_that_of_the_containers_root() {
    for (kind, wanted) in [
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("private", ""),
        ("rprivate", ""),
        ("slave", ""),
        ("rslave", ""),
        ("unbindable", "unbindable"),
    ] {
        let mut bundle = Bundle::new();
        bundle.prelude = Some("mount --make-rprivate /".into());
        bundle.config["linux"]["rootfsPropagation"] = json!(kind);
        let (_, propagation, _) = mount_at(&mountinfo(&mut bundle), "/");
        assert!(propagation.starts_with(wanted), "{kind}: {propagation:?}");
        assert_eq!(propagation.is_empty(), wanted.is_empty(), "{kind}: {propagation:?}");
    }
}

/// What the host mounts later below a slave's source shows inside.
#[test]
fn a_slave_root_receives_mounts_and_sends_none() {
    let mut bundle = Bundle::script(
        "touch /mnt/ready; n=0; until [ -e /mnt/sub/late ]; do usleep 10000; n=$((n+1)); \
         [ $n -gt 500 ] && exit 9; done; mount -t tmpfs own /mnt/sub2; touch /mnt/done; sleep 1",
    );
    let dir = source(&bundle, "source");
    bundle.capabilities(&["CAP_SYS_ADMIN"]);
    bundle.mount(json!({"destination": "/mnt", "source": dir, "options": ["rbind", "rslave"]}));
    bundle.prelude = Some(
        "mount -t tmpfs t $B/source; mount --make-shared $B/source; mkdir $B/source/sub $B/source/sub2
         ( until [ -e $B/source/ready ]; do sleep 0.02; done
           mount -t tmpfs late $B/source/sub; touch $B/source/sub/late
           until [ -e $B/source/done ]; do sleep 0.02; done
           cp /proc/self/mountinfo $B/seen ) &"
            .into(),
    );
    bundle.run().ok();
    let seen = std::fs::read_to_string(bundle.path().join("seen")).unwrap();
    assert!(seen.contains("source/sub ") && !seen.contains("source/sub2 "), "{seen}");
}

#[test]
fn tmpcopyup_fills_a_tmpfs_with_what_it_covers() {
    let mut bundle = Bundle::script(
        "cat /etc/passwd; stat -c %a /etc/dir; readlink /etc/link; echo x > /etc/new",
    );
    std::fs::create_dir(bundle.rootfs().join("etc/dir")).unwrap();
    std::os::unix::fs::symlink("passwd", bundle.rootfs().join("etc/link")).unwrap();
    bundle.mount(json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs",
        "options": ["tmpcopyup"]}));
    let lines = bundle.run().lines();
    assert!(lines[0].starts_with("root:"), "{lines:?}");
    assert_eq!(lines[2..], ["755", "passwd"]);
    assert!(!bundle.rootfs().join("etc/new").exists());
}

#[test]
fn ids_of_a_mount_are_mapped() {
    let mut bundle = Bundle::script("stat -c '%u:%g' /mnt/zero /mnt/five /mnt/other");
    let dir = source(&bundle, "source");
    for (name, uid, gid) in [("zero", 0, 0), ("five", 5, 6), ("other", 4242, 4242)] {
        std::fs::write(dir.join(name), "").unwrap();
        std::os::unix::fs::chown(dir.join(name), Some(uid), Some(gid)).unwrap();
    }
    bundle.mount(json!({"destination": "/mnt", "source": dir, "options": ["bind"],
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 2000, "size": 1},
            {"containerID": 1, "hostID": 3000, "size": 10}]}));
    assert_eq!(bundle.run().lines(), ["1000:2000", "1005:3005", "65534:65534"]);
}

#[test]
fn idmap_takes_the_containers_own_maps() {
    let mut bundle =
        Bundle::script("stat -c '%u:%g' /mnt/zero; echo x > /mnt/new; stat -c %u /mnt/new");
    bundle.user_namespace(200_000);
    let dir = source(&bundle, "source");
    std::fs::write(dir.join("zero"), "").unwrap();
    bundle.mount(json!({"destination": "/mnt", "source": dir, "options": ["bind", "idmap"]}));
    assert_eq!(bundle.run().lines(), ["0:0", "0"]);
    let made = std::fs::metadata(dir.join("new")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 0, "on disk it is the host's root's");
}

#[test]
fn ridmap_maps_submounts_and_idmap_does_not() {
    for (option, inner) in [("ridmap", "1000"), ("idmap", "0")] {
        let mut bundle = Bundle::script("stat -c %u /mnt/outer /mnt/sub/inner");
        let dir = source(&bundle, "source");
        bundle.prelude = Some(
            "mount -t tmpfs t $B/source; mkdir $B/source/sub; mount -t tmpfs t $B/source/sub
             touch $B/source/outer $B/source/sub/inner"
                .into(),
        );
        let map = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
        bundle.mount(json!({"destination": "/mnt", "source": dir, "options": ["rbind", option],
            "uidMappings": map, "gidMappings": map}));
        assert_eq!(bundle.run().lines(), ["1000", inner], "{option}");
    }
}

#[test]
fn masked_paths_are_empty_and_missing_ones_no_error() {
    let mut bundle = Bundle::script(
        "cat /secret; ls -A /hidden; cat /proc/timer_list; ls /proc/scsi; echo end; \
         echo x > /hidden/x || echo denied",
    );
    std::fs::write(bundle.rootfs().join("secret"), "secret").unwrap();
    std::fs::create_dir_all(bundle.rootfs().join("hidden/inner")).unwrap();
    bundle.config["linux"]["maskedPaths"] =
        json!(["/secret", "/hidden", "/proc/timer_list", "/proc/scsi", "/no/such/path"]);
    assert_eq!(bundle.run().lines(), ["end", "denied"]);
}

#[test]
fn readonly_paths_are_read_only() {
    let mut bundle = Bundle::script(
        "for f in /proc/sys/kernel/hostname /kept/file /kept/sub/file /free; do \
         echo x > $f 2>/dev/null && echo wrote || echo denied; done",
    );
    std::fs::create_dir_all(bundle.rootfs().join("kept/sub")).unwrap();
    bundle.mount(json!({"destination": "/kept/sub", "type": "tmpfs", "source": "t"}));
    bundle.config["linux"]["readonlyPaths"] = json!(["/proc/sys", "/kept", "/no/such/path"]);
    assert_eq!(bundle.run().lines(), ["denied", "denied", "denied", "wrote"]);
}

#[test]
fn cgroup_mounts_show_the_containers_own() {
    let mut bundle = Bundle::script(
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; \
         echo 3 > /sys/fs/cgroup/pids/pids.max && echo wrote || echo denied",
    );
    bundle.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}));
    bundle.config["linux"]["resources"] = json!({"pids": {"limit": 77}});
    assert_eq!(bundle.run().lines(), ["77", "denied"]);
}

#[test]
fn other_file_systems_are_mounted() {
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
        "options": ["nosuid", "noexec", "nodev"]}));
    bundle.mount(json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
        "options": ["nosuid", "mode=1777", "size=65536k"]}));
    let info = mountinfo(&mut bundle);
    assert!(mount_at(&info, "/dev/mqueue").2.starts_with("mqueue"), "{info}");
    assert!(mount_at(&info, "/dev/shm").2.contains("size=65536k"), "{info}");
    assert!(mount_at(&info, "/proc").2.starts_with("proc"), "{info}");
    assert!(mount_at(&info, "/dev/pts").2.contains("ptmxmode=666"), "{info}");
}

#[test]
fn a_source_that_is_missing_is_named() {
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/mnt", "source": "/no/such/source", "options": ["bind"]}));
    bundle.run().refused(&["/no/such/source", "no such file or directory"]);
}

#[test]
fn a_mount_label_needs_selinux() {
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        println!("not tested: this machine has SELinux");
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["linux"]["mountLabel"] = json!("system_u:object_r:container_file_t:s0");
    bundle.run().refused(&["linux.mountLabel", "SELinux"]);
}

#[test]
fn every_option_of_the_specification_is_accepted() {
    let plain = [
        "async",
        "atime",
        "defaults",
        "dev",
        "diratime",
        "dirsync",
        "exec",
        "iversion",
        "lazytime",
        "loud",
        "noatime",
        "nodev",
        "nodiratime",
        "noexec",
        "noiversion",
        "nolazytime",
        "norelatime",
        "nostrictatime",
        "nosuid",
        "nosymfollow",
        "private",
        "ratime",
        "rdev",
        "rdiratime",
        "relatime",
        "rexec",
        "rnoatime",
        "rnodev",
        "rnodiratime",
        "rnoexec",
        "rnorelatime",
        "rnostrictatime",
        "rnosuid",
        "rnosymfollow",
        "ro",
        "rprivate",
        "rrelatime",
        "rro",
        "rrw",
        "rshared",
        "rslave",
        "rstrictatime",
        "rsuid",
        "rsymfollow",
        "runbindable",
        "rw",
        "shared",
        "silent",
        "slave",
        "strictatime",
        "suid",
        "symfollow",
        "sync",
        "tmpcopyup",
        "unbindable",
        "mand",
        "nomand",
    ];
    let mut bundle = Bundle::new();
    for option in plain {
        std::fs::create_dir(bundle.rootfs().join("mnt").join(option)).unwrap();
        bundle.mount(json!({"destination": format!("/mnt/{option}"), "type": "tmpfs",
            "source": "tmpfs", "options": [option]}));
    }
    let info = mountinfo(&mut bundle);
    for option in plain {
        mount_at(&info, &format!("/mnt/{option}"));
    }
    for (option, word) in [("sync", "sync"), ("dirsync", "dirsync"), ("lazytime", "lazytime")] {
        let (_, _, fs) = mount_at(&info, &format!("/mnt/{option}"));
        assert!(fs.split([' ', ',']).any(|shown| shown == word), "{option}: {fs}");
    }
    let (strict, ..) = mount_at(&info, "/mnt/strictatime");
    assert!(!has(&strict, "relatime") && !has(&strict, "noatime"), "{strict}");
}

#[test]
fn an_option_that_the_file_system_does_not_know_is_refused_by_name() {
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs",
        "options": ["no-such-option=7"]}));
    bundle.run().refused(&["/mnt", "no-such-option"]);
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/mnt", "type": "nosuchfs", "source": "none"}));
    bundle.run().refused(&["/mnt", "nosuchfs"]);
}

/// A mount on top of `/` would not be seen by the process, whose root lies below.
#[test]
fn the_root_itself_is_not_silently_covered() {
    let mut bundle = Bundle::script("echo x > /new && echo wrote || echo denied");
    bundle.config["linux"]["readonlyPaths"] = json!(["/"]);
    assert_eq!(bundle.run().lines(), ["denied"]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    bundle.config["linux"]["maskedPaths"] = json!(["/etc/.."]);
    bundle.run().refused(&["linux.maskedPaths", "/etc/.."]);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.mount(json!({"destination": "//.", "type": "tmpfs", "source": "tmpfs"}));
    bundle.run().refused(&["//.", "root.path"]);
}
