//! Containers in a user namespace of the host's: ids are translated as by caisson-native.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use std::os::unix::fs::{MetadataExt as _, chown};

use container::Container;
use serde_json::json;

/// What a container says of this under caisson-native, with the same configuration.
const SAID: &str = "         0     100000       1000
         0     100000       1000
uid=0 gid=0
/five 5 6 0
/host 65534 65534 0
/volume/file 7 7 0
no
chown: /tmp/dir: Invalid argument
mknod: /tmp/dev: Operation not permitted
/tmp/new 7 8 2
/tmp/dir 0 0 40
chown: /host: Invalid argument
touch: /host: Permission denied
maps -1 -1, -1 -1, -1 -1, -1 -1, -1 -1, 10 10
setgid -22 0 groups -22 0 fs 3 0 setuid -22 0
ids 999 999 open -13 -13
";

const SCRIPT: &str = "cat /proc/self/uid_map /proc/self/gid_map; id; exec 2>&1; \
    stat -c '%n %u %g %s' /five /host /volume/file; cat /host 2>/dev/null || echo no; \
    cd /data; echo x >new; mkdir dir; ln -s a link; chown 7:8 new; cd /; \
    mkdir /tmp/dir; chown 1000 /tmp/dir; mknod /tmp/dev c 1 3; echo x >/tmp/new; chown 7:8 /tmp/new; \
    stat -c '%n %u %g %s' /tmp/new /tmp/dir; chown 0 /host; touch /host; \
    \
    /bin/ids";

#[test]
fn ids_are_those_of_the_mapping() {
    if !sandbox::possible() {
        return;
    }
    let volume = tempfile::tempdir().unwrap();
    let container = Container::new(&["sh", "-c", SCRIPT], |config| {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        let all = json!([
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_MKNOD",
            "CAP_SETGID",
            "CAP_SETUID"
        ]);
        config["process"]["capabilities"] =
            json!({"bounding": all, "effective": all, "permitted": all});
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        let bind = json!({"type": "bind", "source": volume.path(), "destination": "/volume",
                          "options": ["bind"]});
        config["mounts"].as_array_mut().unwrap().push(bind);
    });
    let root = container.sandbox.root();
    container.sandbox.compile("ids", &["-static"]);
    std::fs::create_dir(root.join("data")).unwrap();
    for (path, user, group, mode) in [
        (root.to_owned(), 100_000, 100_000, 0o755),
        (root.join("data"), 100_000, 100_000, 0o755),
        (root.join("five"), 100_005, 100_006, 0o600),
        (root.join("host"), 0, 0, 0o600),
        (volume.path().to_owned(), 100_007, 100_007, 0o755),
        (volume.path().join("file"), 100_007, 100_007, 0o644),
    ] {
        if !path.exists() {
            std::fs::write(&path, "").unwrap();
        }
        chown(&path, Some(user), Some(group)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    std::fs::create_dir(root.join("volume")).unwrap();
    chown(root.join("volume"), Some(100_000), Some(100_000)).unwrap();
    let ended = container.call(&["run"], &[]);
    assert_eq!((ended.stdout.as_str(), ended.code), (SAID, 0), "{}", ended.stderr);
    let owner = |name: &str| {
        let found = std::fs::symlink_metadata(root.join("data").join(name)).unwrap();
        (found.uid(), found.gid())
    };
    assert_eq!(owner("new"), (100_007, 100_008));
    assert_eq!((owner("dir"), owner("link")), ((100_000, 100_000), (100_000, 100_000)));
}

/// Where what is written stays in the sandbox, too.
#[test]
fn a_root_of_mapped_ids_can_be_covered() {
    if !sandbox::possible() {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    chown(disk.path(), Some(100_000), Some(100_000)).unwrap();
    let own = format!("root:dir={}", disk.path().display());
    let script = "echo x >/etc/x; stat -c '%u %g' /etc/x; cp /bin/busybox /etc/sh; \
                  /etc/sh -c 'echo ran'; ls /proc/1/comm";
    let container = Container::new(&["sh", "-c", script], |config| {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    });
    for path in ["", "etc", "tmp"] {
        chown(container.sandbox.path(path), Some(100_000), Some(100_000)).unwrap();
    }
    for overlay in ["root:memory", "root:self", &own] {
        let ended = container.call(&["--overlay2", overlay, "run"], &[]);
        let told = (ended.stdout.as_str(), ended.code);
        assert_eq!(told, ("0 0\nran\n/proc/1/comm\n", 0), "{overlay}: {ended:?}");
        assert!(!container.sandbox.path("etc/x").exists());
    }
    // Of a folder that is not his nobody makes use.
    chown(disk.path(), Some(0), Some(0)).unwrap();
    let ended = container.call(&["--overlay2", &own, "run"], &[]);
    assert!(ended.code != 0 && ended.stderr.contains("Permission denied"), "{ended:?}");
}
