//! pasta and slirp4netns, started by a user without privileges who is root in
//! a user namespace.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod sandbox;

use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use caisson_net::{NetRequest, NetSettings, Network, NetworkMode, PortMapping};
use sandbox::{HOST, Machine, NEIGHBOUR, Netns, call_tcp, call_udp, isolated, run};

const USER: &str = "CAISSON_NET_TEST_USER";

/// Runs `body` as that user, with a neighbour that answers at port 99, and
/// asks the published ports from there.
fn as_user(test: &str, prepare: &str, body: fn()) {
    if std::env::var_os(USER).is_some() {
        return body();
    }
    let machine = Machine::new();
    // The user's own device file: in many a container only root may open it.
    run("mkdir -m 777 /run/user; mkdir /run/dev; mknod -m 666 /run/dev/tun c 10 200
         mount --bind /run/dev/tun /dev/net/tun");
    run(prepare);
    machine.neighbour.serve_tcp("0.0.0.0:99");
    let exe = std::env::current_exe().unwrap();
    run(&format!("cp {} /run/user/test; chmod 755 /run/user/test", exe.display()));
    let mut child = Command::new("setpriv")
        .args(["--reuid=12345", "--regid=12345", "--clear-groups", "--"])
        .args(["unshare", "--user", "--map-root-user", "--", "/run/user/test"])
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(USER, "1")
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !Path::new("/run/user/ready").exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
        assert!(child.try_wait().unwrap().is_none(), "the user's part ended early");
    }
    let answer = machine.neighbour.inside(|| call_tcp(&format!("{HOST}:8080")));
    let other = machine.neighbour.inside(|| call_tcp(&format!("{HOST}:8081")));
    let udp = machine.neighbour.inside(|| call_udp(&format!("{HOST}:8080")));
    std::fs::write("/run/user/asked", "").unwrap();
    assert!(child.wait().unwrap().success());
    answer.unwrap();
    udp.unwrap();
    assert!(other.is_err(), "8081 is for loopback only");
}

fn pod_of_a_user(program: &str) {
    let settings = NetSettings::new("/run/user/net", true);
    let network = Network::open(settings).unwrap();
    let pod = Netns::new();
    let ports = ["8080:80", "8080:80/udp", "127.0.0.1:8081:80", "127.0.0.1::80"];
    let ports = ports.iter().flat_map(|text| PortMapping::parse(text).unwrap()).collect();
    let request = NetRequest { mode: NetworkMode::Bridge, ports, ..NetRequest::default() };
    let start = Instant::now();
    let result = network.setup("pod", pod.0.as_fd(), &pod.path(), &request).unwrap();
    println!("{program}: {:?}, {:?}", start.elapsed(), result.interfaces);
    let process = result.process.clone().unwrap();
    assert_eq!(process.program, program);
    assert_eq!(result.interfaces[0].name, "eth0");
    assert!(!result.interfaces[0].addresses.is_empty());
    pod.serve_tcp("0.0.0.0:80");
    pod.serve_udp("0.0.0.0:80");
    call_tcp("127.0.0.1:8080").unwrap();
    call_tcp("127.0.0.1:8081").unwrap();
    call_tcp(&format!("127.0.0.1:{}", result.ports[3].host_port)).unwrap();
    let seen = pod.inside(|| call_tcp(&format!("{NEIGHBOUR}:99"))).unwrap();
    assert_eq!(seen.to_string(), HOST);
    let other = Netns::new();
    let refused = network.setup("other", other.0.as_fd(), &other.path(), &request).unwrap_err();
    assert!(refused.to_string().contains("pod pod, which publishes"), "{refused}");

    std::fs::write("/run/user/ready", "").unwrap();
    while !Path::new("/run/user/asked").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let gone = || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", process.pid));
        state.map_or(true, |text| text.contains(") Z "))
    };
    assert!(!gone());
    if program == "slirp4netns" {
        // It ends with the last holder of what was reserved.
        drop(result);
        let end = Instant::now() + Duration::from_secs(10);
        while !gone() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(gone());
    }
    assert_eq!(network.collect(&|_| false).unwrap().removed, ["pod"]);
    assert!(gone());
    let left = run("ls /run/user/net/* | grep -v -e : -e lock -e '^$' || true");
    assert_eq!(left.trim().replace("pods", "").replace("cni", "").trim(), "", "{left}");
    assert!(call_tcp("127.0.0.1:8080").is_err());
}

#[test]
fn by_pasta() {
    isolated("by_pasta", || as_user("by_pasta", "true", || pod_of_a_user("pasta")));
}

#[test]
fn by_slirp4netns() {
    isolated("by_slirp4netns", || {
        let hidden = "mount --bind /dev/null $(command -v pasta)";
        as_user("by_slirp4netns", hidden, || pod_of_a_user("slirp4netns"));
    });
}
