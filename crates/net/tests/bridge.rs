//! The built-in bridge, with real packets between namespaces.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod sandbox;

use std::os::fd::AsFd as _;
use std::time::Instant;

use caisson_net::{Finding, NetRequest, NetResult, Network, NetworkMode, PortMapping, Severity};
use sandbox::{HOST, Machine, NEIGHBOUR, Netns, call_tcp, call_udp, isolated, run};

fn ports(all: &[&str]) -> NetRequest {
    let ports = all.iter().flat_map(|text| PortMapping::parse(text).unwrap()).collect();
    NetRequest { mode: NetworkMode::Bridge, ports, ..NetRequest::default() }
}

fn setup(network: &Network, pod: &str, netns: &Netns, request: &NetRequest) -> NetResult {
    network.setup(pod, netns.0.as_fd(), &netns.path(), request).unwrap()
}

#[test]
fn published_ports_answer_everybody() {
    isolated("published_ports_answer_everybody", || {
        let machine = Machine::new();
        let network = machine.network();
        let web = Netns::new();
        let request = ports(&[
            "8080:80",
            "8080:80/udp",
            "127.0.0.1:8081:80",
            "192.0.2.1:8082:80",
            "80",
            "[2001:db8::1]:8083:80",
        ]);
        let result = setup(&network, "web", &web, &request);
        web.serve_tcp("[::]:80");
        web.serve_udp("0.0.0.0:80");
        let own = result.interfaces[0].addresses[0].address;
        let gateway = result.host_gateway.unwrap();
        let chosen = result.ports[4].host_port;
        assert_ne!(chosen, 0);

        // From another host, which sees its own address arrive.
        let caller = |address: &str| machine.neighbour.inside(|| call_tcp(address));
        for port in [8080, 8082, chosen] {
            assert_eq!(caller(&format!("{HOST}:{port}")).unwrap().to_string(), NEIGHBOUR);
        }
        for address in ["[2001:db8::1]:8080", "[2001:db8::1]:8083"] {
            assert_eq!(caller(address).unwrap().to_string(), "2001:db8::254");
        }
        let seen = machine.neighbour.inside(|| call_udp(&format!("{HOST}:8080")));
        assert_eq!(seen.unwrap().to_string(), NEIGHBOUR);
        assert!(caller(&format!("{HOST}:8081")).is_err(), "only for loopback");

        // From the machine itself.
        for port in [8080, 8081, chosen] {
            assert_eq!(call_tcp(&format!("127.0.0.1:{port}")).unwrap(), gateway);
        }
        assert_eq!(call_udp("127.0.0.1:8080").unwrap(), gateway);
        assert_eq!(call_tcp(&format!("{HOST}:8080")).unwrap().to_string(), HOST);
        assert_eq!(call_udp(&format!("{HOST}:8080")).unwrap().to_string(), HOST);
        call_tcp("[2001:db8::1]:8080").unwrap();
        assert!(call_tcp("[::1]:8080").unwrap_err().contains("refused"), "no wait for nothing");

        // From the pod to itself, and from a neighbour pod.
        assert_eq!(web.inside(|| call_tcp(&format!("{HOST}:8080"))).unwrap(), gateway);
        assert_eq!(web.inside(|| call_udp(&format!("{HOST}:8080"))).unwrap(), gateway);
        web.inside(|| call_tcp("[2001:db8::1]:8080")).unwrap();
        let other = Netns::new();
        setup(&network, "other", &other, &ports(&[]));
        assert_eq!(other.inside(|| call_tcp(&format!("{HOST}:8080"))).unwrap(), gateway);
        other.inside(|| call_tcp(&format!("{own}:80"))).unwrap();

        // Out into the world, in the machine's name.
        machine.neighbour.serve_tcp("[::]:99");
        let seen = other.inside(|| call_tcp(&format!("{NEIGHBOUR}:99"))).unwrap();
        assert_eq!(seen.to_string(), HOST);
        let seen = other.inside(|| call_tcp("[2001:db8::254]:99")).unwrap();
        assert_eq!(seen.to_string(), "2001:db8::1");

        network.teardown("web").unwrap();
        network.teardown("web").unwrap();
        assert!(caller(&format!("{HOST}:8080")).is_err());
        drop(result);
        let again = Netns::new();
        let result = setup(&network, "web2", &again, &ports(&["8080:80"]));
        again.serve_tcp("0.0.0.0:80");
        assert_ne!(result.interfaces[0].addresses[0].address, own, "not at once again");
        assert_eq!(caller(&format!("{HOST}:8080")).unwrap().to_string(), NEIGHBOUR);
    });
}

#[test]
fn a_pod_reaches_no_loopback_and_nobody_the_unpublished() {
    isolated("a_pod_reaches_no_loopback_and_nobody_the_unpublished", || {
        let machine = Machine::new();
        let network = machine.network();
        let pod = Netns::new();
        let result = setup(&network, "pod", &pod, &ports(&["8080:80"]));
        let (own, gateway) = (result.interfaces[0].addresses[0].address, result.host_gateway);
        let gateway = gateway.unwrap();
        pod.serve_tcp("0.0.0.0:80");
        pod.serve_tcp("0.0.0.0:81");
        machine.neighbour.run(&format!("ip route add {own} via {HOST}"));
        let direct = |port| machine.neighbour.inside(|| call_tcp(&format!("{own}:{port}")));
        assert!(direct(80).is_err() && direct(81).is_err(), "a pod is no host of the outer net");
        assert_eq!(call_tcp(&format!("{own}:81")).unwrap(), gateway, "but one of its own host's");

        // The pod's root sends packets for the host's loopback over the bridge.
        let listener = std::net::UdpSocket::bind("127.0.0.1:7777").unwrap();
        let everywhere = std::net::UdpSocket::bind("0.0.0.0:7778").unwrap();
        pod.run(&format!(
            "ip addr del 127.0.0.1/8 dev lo; echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
             ip route add 127.0.0.0/8 via {gateway} dev eth0 src {own}"
        ));
        pod.inside(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.send_to(b"attack", "127.0.0.1:7777").unwrap();
            socket.send_to(b"fine", format!("{gateway}:7778")).unwrap();
        });
        let mut buffer = [0; 16];
        everywhere.set_read_timeout(Some(sandbox::PATIENCE)).unwrap();
        assert_eq!(everywhere.recv(&mut buffer).unwrap(), 4);
        listener.set_nonblocking(true).unwrap();
        assert!(listener.recv(&mut buffer).is_err(), "the host's loopback was reached");
    });
}

#[test]
fn conflicts_name_the_owner() {
    isolated("conflicts_name_the_owner", || {
        let machine = Machine::new();
        let network = machine.network();
        let (one, two) = (Netns::new(), Netns::new());
        let _held = setup(&network, "one", &one, &ports(&["127.0.0.1:8080:80"]));
        let refused = |request: &NetRequest| {
            let result = network.setup("two", two.0.as_fd(), &two.path(), request);
            result.unwrap_err().to_string()
        };
        let text = refused(&ports(&["8080:80"]));
        assert!(text.contains("pod one, which publishes 127.0.0.1:8080->80/tcp"), "{text}");
        let _listener = std::net::TcpListener::bind("0.0.0.0:8090").unwrap();
        let text = refused(&ports(&["8090:80"]));
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
        assert_eq!((machine.records(), machine.pod_links().len()), (1, 1), "nothing is left");

        let mut request = ports(&[]);
        request.ip = Some([10, 165, 0, 2].into());
        assert!(refused(&request).contains("pod one has it"));
        request.ip = Some([10, 1, 0, 2].into());
        assert!(refused(&request).contains("10.165.0.0/16"));
        assert!(refused(&ports(&["[::1]:1:1"])).contains("use 127.0.0.1"));
        request.ip = Some([10, 165, 7, 7].into());
        request.mac = Some("0a:00:00:00:00:07".parse().unwrap());
        let result = setup(&network, "two", &two, &request);
        assert_eq!(result.interfaces[0].addresses[0].to_string(), "10.165.7.7/16");
        assert!(two.run("ip link show eth0").contains("0a:00:00:00:00:07"));
    });
}

#[test]
fn other_state_directories_get_other_bridges() {
    isolated("other_state_directories_get_other_bridges", || {
        let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
        let first = machine.network();
        let mut settings = machine.settings();
        settings.state_dir = dir.path().to_owned();
        let second = Network::open(settings.clone()).unwrap();
        let (one, two) = (Netns::new(), Netns::new());
        let a = setup(&first, "pod", &one, &ports(&["8080:80"]));
        let b = setup(&second, "pod", &two, &ports(&["8081:80"]));
        assert_eq!(a.interfaces[0].addresses[0].to_string(), "10.165.0.2/16");
        assert_eq!(b.interfaces[0].addresses[0].to_string(), "10.166.0.2/16");
        run("ip link show caisson0; ip link show caisson1");
        one.serve_tcp("0.0.0.0:80");
        two.serve_tcp("0.0.0.0:80");
        call_tcp("127.0.0.1:8080").unwrap();
        call_tcp("127.0.0.1:8081").unwrap();

        settings.subnet = Some("10.9.0.0/24".parse().unwrap());
        let changed = Network::open(settings).unwrap();
        let three = Netns::new();
        let error = changed.setup("x", three.0.as_fd(), &three.path(), &ports(&[])).unwrap_err();
        assert!(error.to_string().contains("stop them"), "{error}");
        assert!(!second.remove_bridge().unwrap());
        second.teardown("pod").unwrap();
        let c = setup(&changed, "x", &three, &ports(&[]));
        assert_eq!(c.interfaces[0].addresses[0].to_string(), "10.9.0.2/24");
        changed.teardown("x").unwrap();
        assert!(changed.remove_bridge().unwrap());
        let left = run("ip link; nft list tables");
        assert!(left.contains("caisson0") && !left.contains("caisson1"), "{left}");
    });
}

#[test]
fn rules_come_back_after_a_flush() {
    isolated("rules_come_back_after_a_flush", || {
        let machine = Machine::new();
        let network = machine.network();
        let (one, two) = (Netns::new(), Netns::new());
        let _one = setup(&network, "one", &one, &ports(&["8080:80"]));
        one.serve_tcp("0.0.0.0:80");
        run("nft flush ruleset");
        assert!(call_tcp("127.0.0.1:8080").is_err());
        let _two = setup(&network, "two", &two, &ports(&["8081:80"]));
        two.serve_tcp("0.0.0.0:80");
        call_tcp("127.0.0.1:8080").unwrap();
        call_tcp("127.0.0.1:8081").unwrap();
        run("nft flush map inet caisson0 published_any4");
        network.teardown("one").unwrap();
        call_tcp("127.0.0.1:8081").unwrap();
        assert!(call_tcp("127.0.0.1:8080").is_err());
    });
}

#[test]
fn pods_have_the_mtu_of_the_way_out() {
    isolated("pods_have_the_mtu_of_the_way_out", || {
        let machine = Machine::new();
        run("ip link set cable mtu 1400");
        let network = machine.network();
        for pod in ["first", "second"] {
            let netns = Netns::new();
            setup(&network, pod, &netns, &ports(&[]));
            assert!(netns.run("ip link show eth0").contains("mtu 1400"), "{pod}");
            network.teardown(pod).unwrap();
        }
    });
}

#[test]
fn old_udp_flows_find_new_pods() {
    isolated("old_udp_flows_find_new_pods", || {
        let machine = Machine::new();
        let network = machine.network();
        // The host tracks flows once there are rules.
        let first = Netns::new();
        setup(&network, "first", &first, &ports(&[]));
        let socket =
            machine.neighbour.inside(|| std::net::UdpSocket::bind("0.0.0.0:5353")).unwrap();
        socket.connect(format!("{HOST}:53")).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
        let ask = || {
            let mut buffer = [0; 64];
            socket.send(b"x").and_then(|_| socket.recv(&mut buffer))
        };
        let _ = ask();
        for round in 0..2 {
            let pod = Netns::new();
            let _result = setup(&network, "dns", &pod, &ports(&["53:53/udp"]));
            pod.serve_udp("0.0.0.0:53");
            // An error of before may have been waiting.
            assert!(ask().or_else(|_| ask()).is_ok(), "round {round}");
        }
    });
}

#[test]
fn a_forward_chain_that_drops_is_passed() {
    isolated("a_forward_chain_that_drops_is_passed", || {
        let machine = Machine::new();
        run("iptables-nft -P FORWARD DROP; ip6tables-nft -P FORWARD DROP");
        let network = machine.network();
        let findings = network.check().unwrap();
        let bad = |finding: &&Finding| finding.severity == Severity::Missing;
        assert_eq!(findings.iter().find(bad), None);
        assert!(findings.iter().any(|f| f.what == "iptables" && f.detail.contains("drops")));
        assert!(findings.iter().any(|f| f.what == "bridge" && f.detail.contains("not made yet")));
        let pod = Netns::new();
        let _result = setup(&network, "pod", &pod, &ports(&["8080:80"]));
        let findings = network.check().unwrap();
        assert!(
            findings
                .iter()
                .any(|f| f.detail.contains("10.165.0.0/16") && f.detail.contains("1 pods"))
        );
        pod.serve_tcp("[::]:80");
        machine.neighbour.inside(|| call_tcp(&format!("{HOST}:8080"))).unwrap();
        machine.neighbour.inside(|| call_tcp("[2001:db8::1]:8080")).unwrap();
        setup(&network, "two", &Netns::new(), &ports(&[]));
        assert_eq!(run("iptables-nft -S FORWARD").matches("caisson0").count(), 2);
        network.teardown("pod").unwrap();
        network.teardown("two").unwrap();
        assert!(network.remove_bridge().unwrap());
        assert!(!run("iptables-nft -S FORWARD; ip6tables-nft -S FORWARD").contains("caisson0"));
    });
}

#[test]
fn fifty_pods_at_once() {
    isolated("fifty_pods_at_once", || {
        let machine = Machine::new();
        let start = Instant::now();
        let addresses = std::thread::scope(|scope| {
            let machine = &machine;
            let one = move |number: usize| {
                let (network, netns) = (machine.network(), Netns::new());
                let request = ports(&[&format!("{}:80", 9000 + number), "80/udp"]);
                let result = setup(&network, &format!("pod{number}"), &netns, &request);
                netns.serve_tcp("0.0.0.0:80");
                call_tcp(&format!("127.0.0.1:{}", 9000 + number)).unwrap();
                result.interfaces[0].addresses[0].to_string()
            };
            let threads: Vec<_> = (0..50).map(|n| scope.spawn(move || one(n))).collect();
            threads
                .into_iter()
                .map(|t| t.join().unwrap())
                .collect::<std::collections::BTreeSet<_>>()
        });
        println!("50 pods at once, each called: {:?}", start.elapsed());
        assert_eq!(addresses.len(), 50);
        let start = Instant::now();
        let collected = machine.network().collect(&|pod| pod == "pod7").unwrap();
        println!("49 collected in {:?}", start.elapsed());
        assert_eq!((collected.removed.len(), collected.failed.len()), (49, 0));
        assert_eq!((machine.records(), machine.pod_links().len()), (1, 1));
        assert!(machine.leases().contains("pod7") && !machine.leases().contains("pod8"));
        let rules = run("nft list table inet caisson0");
        assert_eq!(rules.matches("10.165.0.").count(), 2 + rules.matches("10.165.0.0").count());
    });
}

#[test]
fn figures() {
    isolated("figures", || {
        let machine = Machine::new();
        let network = machine.network();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for number in 0..30 {
            let netns = Netns::new();
            let start = Instant::now();
            let request = ports(&["8080:80"]);
            let result = setup(&network, &format!("pod{number}"), &netns, &request);
            up.push(start.elapsed());
            drop(result);
            let start = Instant::now();
            network.teardown(&format!("pod{number}")).unwrap();
            down.push(start.elapsed());
        }
        println!("first set-up, which makes the bridge: {:?}", up.remove(0));
        up.sort();
        down.sort();
        println!("medians: set-up {:?}, teardown {:?}", up[up.len() / 2], down[down.len() / 2]);
    });
}
