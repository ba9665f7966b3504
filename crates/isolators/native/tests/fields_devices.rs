//! `linux.devices` of `config.json`, and the devices every container has.

#![cfg(test)]

mod bundle;

use bundle::Bundle;
use serde_json::json;

#[test]
fn devices_have_the_type_number_mode_and_owner_asked_for() {
    let mut bundle =
        Bundle::script("stat -c '%F %t,%T %a %u:%g' /dev/c /dev/deep/b /dev/fifo /dev/u");
    bundle.config["linux"]["devices"] = json!([
        {"path": "/dev/c", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640,
            "uid": 5, "gid": 6},
        {"path": "/dev/deep/b", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600},
        {"path": "/dev/fifo", "type": "p", "fileMode": 0o622, "uid": 7, "gid": 8},
        {"path": "/dev/u", "type": "u", "major": 1, "minor": 5},
    ]);
    let lines = bundle.run().lines();
    assert_eq!(lines[0], "character special file a,e5 640 5:6");
    assert_eq!(lines[1], "block special file 7,c8 600 0:0");
    assert_eq!(lines[2], "fifo 0,0 622 7:8");
    assert!(lines[3].starts_with("character special file 1,5 "), "{}", lines[3]);
}

#[test]
fn every_container_has_the_default_devices_and_links() {
    let bundle = Bundle::script(
        "stat -c '%n %t,%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; \
         for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done",
    );
    assert_eq!(
        bundle.run().lines(),
        [
            "/dev/null 1,3 666",
            "/dev/zero 1,5 666",
            "/dev/full 1,7 666",
            "/dev/random 1,8 666",
            "/dev/urandom 1,9 666",
            "/dev/tty 5,0 666",
            "/proc/self/fd",
            "/proc/self/fd/0",
            "/proc/self/fd/1",
            "/proc/self/fd/2",
            "pts/ptmx",
        ]
    );
}

#[test]
fn a_device_asked_for_takes_the_place_of_a_default_one() {
    let mut bundle = Bundle::script("stat -c '%a %u' /dev/zero");
    bundle.config["linux"]["devices"] = json!([
        {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600, "uid": 9},
    ]);
    assert_eq!(bundle.run().lines(), ["600 9"]);
}

#[test]
fn in_a_user_namespace_the_hosts_devices_are_shown() {
    let mut bundle =
        Bundle::script("head -c 2 /dev/zero | wc -c; echo x > /dev/null; stat -c %t,%T /dev/full");
    bundle.user_namespace(200_000);
    assert_eq!(bundle.run().lines(), ["2", "1,7"]);
}

#[test]
fn ptmx_is_the_containers_own_whatever_is_asked_for() {
    for user in [false, true] {
        let mut bundle = Bundle::script("readlink /dev/ptmx");
        bundle.config["linux"]["devices"] =
            json!([{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}]);
        if user {
            bundle.user_namespace(200_000);
        }
        assert_eq!(bundle.run().lines(), ["pts/ptmx"], "{user}");
    }
}
