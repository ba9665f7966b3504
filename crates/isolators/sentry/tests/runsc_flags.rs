//! The command line as engines call gVisor's runsc.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use container::Container;
use sandbox::until;
use serde_json::json;

fn run(container: &Container, flags: &[&str]) -> sandbox::Ended {
    container.call(&[flags, &["run"]].concat(), &[])
}

#[test]
fn flags_that_tune_runsc_are_taken_and_others_refused_by_name() {
    if !sandbox::possible() {
        return;
    }
    let container = Container::new(&["uname", "-r"], |_| {});
    // As gVisor's documentation has them in docker's daemon.json.
    let usual = [
        "--platform=systrap",
        "--debug-log=/nowhere/",
        "--debug",
        "--strace",
        "-directfs=false",
        "--watchdog-action",
        "panic",
        "--host-uds=none",
        "--net-raw",
        "--gso=false",
        "--overlay2=root:self,size=2g",
    ];
    let ended = run(&container, &usual);
    assert_eq!((ended.stdout.as_str(), ended.code), ("6.1.0-caisson\n", 0), "{}", ended.stderr);
    for (flags, named) in [
        (&["--host-uds=all"][..], "--host-uds all"),
        (&["--net-raw=false"], "--net-raw false"),
        (&["--ignore-cgroups"], "--ignore-cgroups true"),
        (&["--platform", "magic"], "--platform magic"),
        (&["--network=bridge"], "--network bridge"),
        (&["--file-access=some"], "--file-access some"),
        (&["--overlay2=root:disk"], "root:disk"),
        (&["--overlay2=root:dir=/nowhere"], "/nowhere"),
        (&["--no-such-flag"], "-no-such-flag"),
    ] {
        let ended = run(&container, flags);
        assert!(ended.code != 0 && ended.stderr.contains(named), "{flags:?}: {ended:?}");
    }
}

/// A network namespace with an interface.
struct Network(Child);

impl Network {
    fn new() -> Self {
        let script = "ip link add name d0 type bridge && ip addr add 10.9.8.1/24 dev d0 && \
                      ip link set d0 up && echo up && exec sleep 1000";
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", script]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = [0; 3];
        child.stdout.take().unwrap().read_exact(&mut said).unwrap();
        Network(child)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_container_can_be_without_its_network() {
    if !sandbox::possible() {
        return;
    }
    let network = Network::new();
    let container = Container::new(&["sh", "-c", "ip -4 -o addr | wc -l"], |config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        let path = format!("/proc/{}/ns/net", network.0.id());
        namespaces.push(json!({"type": "network", "path": path}));
    });
    for (flag, addresses) in [("--network=none", "1\n"), ("--network=sandbox", "2\n")] {
        let ended = run(&container, &[flag]);
        assert_eq!((ended.stdout.as_str(), ended.code), (addresses, 0), "{flag}: {ended:?}");
    }
}

/// What the host does to a root file system that is said to be shared is seen at once.
#[test]
fn a_root_can_be_shared_with_the_host() {
    if !sandbox::possible() {
        return;
    }
    let script = "for i in 1 2 3 4 5 6 7 8; do [ ! -e /f$i ] || exit 1; touch /s$i; \
                  until [ -e /go$i ]; do usleep 1000; done; [ -e /f$i ] || exit 2; done; echo seen";
    let container = Container::new(&["sh", "-c", script], |_| {});
    let mut command = container.command(&["--file-access=shared", "run"], &[]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    for round in 1..=8 {
        let there = |name: &str| container.sandbox.path(&format!("{name}{round}"));
        until("it waits", || there("s").exists().then_some(()));
        std::fs::write(there("f"), "").unwrap();
        std::fs::write(there("go"), "").unwrap();
    }
    let ended = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "seen\n", "{:?}", ended.status);
}
