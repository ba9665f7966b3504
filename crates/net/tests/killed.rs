//! kill -9 at any moment: what is left is found and removed.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod sandbox;

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use caisson_net::{NetRequest, NetSettings, Network, NetworkMode, PortMapping};
use sandbox::{Machine, Netns, call_tcp, isolated, run};

const DIR: &str = "CAISSON_NET_TEST_DIR";
/// How often; CAISSON_NET_KILLS asks for more.
const ROUNDS: u32 = 20;

fn request(port: u16) -> NetRequest {
    let ports = PortMapping::parse(&format!("{port}:80")).unwrap();
    NetRequest { mode: NetworkMode::Bridge, ports, ..NetRequest::default() }
}

/// Sets pods up and takes them back until it is killed.
fn victim(dir: PathBuf) {
    let network = Network::open(NetSettings::new(dir, false)).unwrap();
    let work = |thread: u16| {
        for round in 0.. {
            let (pod, netns) = (format!("pod{thread}-{round}"), Netns::new());
            let request = request(8080 + thread);
            let result = network.setup(&pod, netns.0.as_fd(), &netns.path(), &request).unwrap();
            drop(result);
            network.teardown(&pod).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(0));
        scope.spawn(|| work(1));
    });
}

#[test]
fn nothing_is_left_of_the_killed() {
    if let Some(dir) = std::env::var_os(DIR) {
        return victim(dir.into());
    }
    isolated("nothing_is_left_of_the_killed", || {
        let machine = Machine::new();
        let dir = machine.dir.path().join("net");
        let (mut found, start) = (0, Instant::now());
        let rounds = std::env::var("CAISSON_NET_KILLS").ok().and_then(|text| text.parse().ok());
        let rounds: u32 = rounds.unwrap_or(ROUNDS);
        for round in 0..rounds {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "nothing_is_left_of_the_killed"])
                .env(DIR, &dir)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            // Up to 120 ms, spread evenly, in an order that looks like none.
            std::thread::sleep(Duration::from_micros(u64::from(round * 37 % 100) * 1200));
            child.kill().unwrap();
            child.wait().unwrap();
            // Now and then the rules go as well, as by a restart of nftables.
            if round % 10 == 9 {
                run("nft flush ruleset");
            }
            let network = machine.network();
            let collected = network.collect(&|_| false).unwrap();
            assert!(collected.failed.is_empty(), "{collected:?}");
            found += collected.removed.len();
            assert_eq!((machine.records(), machine.pod_links().len()), (0, 0));
            if let Ok(leases) = std::fs::read_to_string(dir.join("leases.json")) {
                assert!(leases.contains("\"taken\":{}"), "{leases}");
            }
            let rules = run("nft list ruleset");
            assert!(!rules.contains("elements"), "{rules}");
            // The same command succeeds now.
            let netns = Netns::new();
            let pod = "pod0-0";
            let result =
                network.setup(pod, netns.0.as_fd(), &netns.path(), &request(8080)).unwrap();
            netns.serve_tcp("0.0.0.0:80");
            call_tcp("127.0.0.1:8080").unwrap();
            drop(result);
            network.teardown(pod).unwrap();
        }
        println!("{rounds} kills left {found} pods, all removed, in {:?}", start.elapsed());
        assert!(found > 0, "no kill came at the right moment");
    });
}
