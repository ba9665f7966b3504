//! Mounts whose outcome the runtime-spec leaves open and callers know from runc.

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

#[test]
fn idmap_takes_the_maps_of_a_joined_user_namespace() {
    let mut first = Bundle::sleeper();
    first.user_namespace(200_000);
    first.started();
    let mut bundle = Bundle::script("stat -c %u:%g /mnt/zero");
    bundle.user_namespace(200_000);
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    bundle.without_namespace("user");
    bundle.namespace("user", Some(&format!("/proc/{}/ns/user", first.pid())));
    let dir = source(&bundle, "source");
    std::fs::write(dir.join("zero"), "").unwrap();
    bundle.mount(json!({"destination": "/mnt", "source": dir, "options": ["bind", "idmap"]}));
    assert_eq!(bundle.run().lines(), ["0:0"]);
}

#[test]
fn sources_in_the_root_show_what_was_mounted_there() {
    for user in [false, true] {
        let mut bundle = Bundle::script("cat /mnt/final/file");
        let dir = source(&bundle, "source");
        std::fs::write(dir.join("file"), "mounted\n").unwrap();
        let inside = bundle.rootfs().join("tmp/inside");
        std::fs::create_dir_all(&inside).unwrap();
        if user {
            bundle.user_namespace(200_000);
        }
        bundle.mount(json!({"destination": "/tmp/inside", "source": dir, "options": ["bind"]}));
        // The host's name of a destination in the root stands for that, too.
        let last = bundle.rootfs().join("mnt/final");
        bundle.mount(json!({"destination": last, "source": inside, "options": ["rbind"]}));
        assert_eq!(bundle.run().lines(), ["mounted"], "{user}");
    }
}

#[test]
fn a_dev_that_is_to_be_read_only_is_filled_first() {
    let mut bundle = Bundle::script(
        "grep ' /dev ' /proc/mounts | cut -d ' ' -f 4 | cut -d , -f 1; test -c /dev/null && \
         echo x > /dev/null && echo filled; touch /dev/new 2>/dev/null || echo denied",
    );
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    let dev = mounts.iter_mut().find(|mount| mount["destination"] == "/dev").unwrap();
    dev["options"].as_array_mut().unwrap().push(json!("ro"));
    assert_eq!(bundle.run().lines(), ["ro", "filled", "denied"]);
}

#[test]
fn a_tmpfs_on_nothing_is_everybodys() {
    let mut bundle = Bundle::script("stat -c %a /mnt/new /tmp/old");
    let old = bundle.rootfs().join("tmp/old");
    std::fs::create_dir(&old).unwrap();
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o710)).unwrap();
    for path in ["/mnt/new", "/tmp/old"] {
        bundle.mount(json!({"destination": path, "type": "tmpfs", "source": "tmpfs"}));
    }
    assert_eq!(bundle.run().lines(), ["1777", "710"]);
}

#[test]
fn a_path_is_masked_once() {
    let mut bundle = Bundle::script("grep -c ' /mnt/hidden ' /proc/mounts");
    std::fs::create_dir(bundle.rootfs().join("mnt/hidden")).unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/mnt/hidden", "/mnt/hidden"]);
    assert_eq!(bundle.run().lines(), ["1"]);
}

/// As the kernel lets users of a namespace mount procfs if there is a bare one.
#[test]
fn without_pivot_root_the_hosts_procfs_is_out_of_view() {
    let mut bundle =
        Bundle::script("unshare -mrpf mount -t proc none /proc 2>/dev/null || echo denied");
    bundle.capabilities(&["CAP_SETFCAP"]);
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/version"]);
    assert_eq!(bundle.run_with(&["--no-pivot"]).lines(), ["denied"]);
}
