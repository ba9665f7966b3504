//! `linux.netDevices`: what a device keeps and gets, and what is refused.

#![cfg(test)]

mod bundle;

use bundle::Bundle;
use serde_json::{Value, json};

/// A container that shows its network, started from a network namespace with
/// the veth pair `nd-one`, `nd-two`.
fn bundle(setup: &str, devices: Value) -> Bundle {
    let mut bundle = Bundle::script("ip addr show; ip route show");
    bundle.prelude = Some(format!(
        "ip link add nd-one type veth peer name nd-two; ip link set nd-two up\n{setup}"
    ));
    bundle.config["linux"]["netDevices"] = devices;
    bundle
}

#[test]
fn permanent_global_addresses_of_any_family_are_kept_and_the_device_is_up() {
    let setup = "ip addr add 10.9.0.1/24 brd + dev nd-one
        ip addr add 10.9.0.2/24 dev nd-one
        ip addr add 10.8.0.1 peer 10.8.0.2/32 dev nd-one
        ip addr add 169.254.1.1/16 scope link dev nd-one
        ip -6 addr add fd00::5/64 dev nd-one nodad
        ip link set nd-one mtu 1400 up";
    let text = bundle(setup, json!({"nd-one": {"name": "inside"}})).run().ok().stdout();
    for wanted in [
        "inet 10.9.0.1/24 brd 10.9.0.255",
        "inet 10.9.0.2/24",
        "inet 10.8.0.1 peer 10.8.0.2/32",
        "inet6 fd00::5/64",
        "mtu 1400",
        "10.9.0.0/24 dev inside",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("169.254.1.1"), "{text}");
    let line = text.lines().find(|line| line.contains("inside@")).unwrap();
    assert!(line.contains(",UP"), "{line}");
}

#[test]
fn the_kernel_numbers_a_name_with_a_pattern() {
    let mut bundle = bundle(
        "ip link add nd-three type veth peer name nd-four",
        json!({"nd-one": {"name": "x%d"}, "nd-three": {"name": "x%d"}}),
    );
    // Two devices can't ask for one name, not even with a pattern.
    bundle.run().refused(&["netDevices", "x%d"]);
    bundle.config["linux"]["netDevices"] =
        json!({"nd-one": {"name": "x%d"}, "nd-three": {"name": "y%d"}});
    let text = bundle.run().ok().stdout();
    assert!(text.contains("x0@") && text.contains("y0@"), "{text}");
}

#[test]
fn an_index_that_is_taken_inside_is_no_obstacle() {
    // In a fresh namespace 2 is the first index; make it one that is taken.
    let mut bundle = Bundle::script("ip addr show; sleep 0");
    bundle.prelude = Some(
        "unshare -n sleep 1000 & holder=$!; trap 'kill $holder' EXIT
         until [ \"$(cat /proc/$holder/comm)\" = sleep ]; do sleep 0.01; done
         ip link add nd-one type veth peer name nd-two
         ip addr add 10.9.0.1/24 dev nd-one
         nsenter -t $holder -n ip link add taken type veth peer name also
         nsenter -t $holder -n ip link add more type veth peer name yet
         sed -i s/@holder@/$holder/ $B/config.json; touch $B/holder; echo $holder > $B/holder"
            .to_owned(),
    );
    bundle.namespace("network", Some("/proc/@holder@/ns/net"));
    bundle.config["linux"]["netDevices"] = json!({"nd-one": {"name": "inside"}});
    let ended = bundle.run();
    let holder = std::fs::read_to_string(bundle.path().join("holder")).unwrap();
    let holder = rustix::process::Pid::from_raw(holder.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(holder, rustix::process::Signal::KILL).unwrap();
    let text = ended.ok().stdout();
    assert!(text.contains("inside@") && text.contains("10.9.0.1/24"), "{text}");
}

#[test]
fn what_cannot_be_moved_is_named_with_the_reason() {
    let refused = |setup: &str, devices: Value, words: &[&str]| {
        bundle(setup, devices).run().refused(words);
    };
    refused("", json!({"nd-zero": {}}), &["nd-zero", "the host has no device of this name"]);
    refused("", json!({"nd-one": {"name": "lo"}}), &["nd-one", "already"]);
    refused("", json!({"lo": {"name": "lo9"}}), &["lo9", "does not let"]);
    refused("ip link add nd-br type bridge", json!({"nd-br": {}}), &["nd-br", "does not let"]);
}

#[test]
fn nothing_moves_if_one_device_is_missing() {
    let mut bundle = bundle("", json!({"nd-one": {}, "nd-zero": {}}));
    // The runtime's error must not end the script before it has looked.
    let look = "\"$@\" || true; ip -br link show nd-one; exec true";
    bundle.prelude = bundle.prelude.take().map(|setup| format!("{setup}\n{look}"));
    let ended = bundle.run().ok();
    assert!(ended.stdout().contains("nd-one@"), "{}", ended.stdout());
    assert!(ended.stderr().contains("nd-zero"), "{}", ended.stderr());
}

#[test]
fn the_host_namespace_is_no_place_to_move_to() {
    let mut bundle = bundle("", json!({"nd-one": {"name": "other"}}));
    bundle.namespace("network", Some("/proc/self/ns/net"));
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "sysfs");
    bundle.run().refused(&["linux.netDevices", "no network namespace of its own"]);
}
