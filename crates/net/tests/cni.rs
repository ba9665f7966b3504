//! CNI networks: Debian's plugins, and plugins that hang and lie.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod sandbox;

use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use caisson_net::{NetRequest, NetResult, Network, NetworkError, NetworkMode, PortMapping};
use sandbox::{HOST, Machine, NEIGHBOUR, Netns, call_tcp, isolated, run};

struct Cni {
    machine: Machine,
    network: Network,
}

impl Cni {
    fn new() -> Self {
        let machine = Machine::new();
        let dir = machine.dir.path();
        for folder in ["conf", "bin", "log"] {
            std::fs::create_dir(dir.join(folder)).unwrap();
        }
        run("mkdir -p /var/lib/cni; mount -t tmpfs tmpfs /var/lib/cni");
        let mut settings = machine.settings();
        settings.cni_conf_dirs = vec![dir.join("conf")];
        settings.cni_bin_dirs = vec![dir.join("bin"), "/usr/lib/cni".into()];
        settings.plugin_deadline = Duration::from_secs(3);
        let network = Network::open(settings).unwrap();
        Self { machine, network }
    }

    fn configure(&self, file: &str, text: &str) {
        std::fs::write(self.machine.dir.path().join("conf").join(file), text).unwrap();
    }

    /// A plugin that notes each call, and then does what `script` says.
    fn plugin(&self, name: &str, script: &str) {
        let path = self.machine.dir.path().join("bin").join(name);
        let log = self.machine.dir.path().join("log/calls");
        let note = format!("echo \"{name} $CNI_COMMAND $(cat)\" >> {}", log.display());
        std::fs::write(&path, format!("#!/bin/sh\n{note}\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.machine.dir.path().join("log/calls"));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn setup(&self, pod: &str, netns: &Netns, ports: &[&str]) -> Result<NetResult, NetworkError> {
        let ports = ports.iter().flat_map(|text| PortMapping::parse(text).unwrap()).collect();
        let mode = NetworkMode::Cni(String::new());
        let request = NetRequest { mode, ports, ..NetRequest::default() };
        self.network.setup(pod, netns.0.as_fd(), &netns.path(), &request)
    }

    fn nothing_is_left(&self) {
        assert_eq!(self.machine.records(), 0);
        let left = std::fs::read_dir(self.machine.dir.path().join("net/cni")).unwrap().count();
        assert_eq!(left, 0);
    }
}

const PODNET: &str = r#"{"cniVersion": "1.0.0", "name": "podnet", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "ipam": {
        "type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}]}, "dns": {"nameservers": ["10.77.0.1"]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}]}"#;

#[test]
fn real_plugins_connect_a_pod() {
    isolated("real_plugins_connect_a_pod", || {
        let cni = Cni::new();
        cni.configure("10-podnet.conflist", PODNET);
        let pod = Netns::new();
        let start = Instant::now();
        let result = cni.setup("pod", &pod, &["8080:80"]).unwrap();
        println!("set-up by Debian's plugins: {:?}", start.elapsed());
        assert_eq!(result.interfaces[0].addresses[0].to_string(), "10.77.0.2/24");
        assert_eq!(result.host_gateway.unwrap().to_string(), "10.77.0.1");
        assert_eq!(result.dns.nameservers[0].to_string(), "10.77.0.1");
        pod.serve_tcp("0.0.0.0:80");
        let seen = cni.machine.neighbour.inside(|| call_tcp(&format!("{HOST}:8080"))).unwrap();
        assert_eq!(seen.to_string(), NEIGHBOUR);
        // Not with ports: portmap 1.1 looks for IPv6 rules of an IPv4 pod then.
        let plain = Netns::new();
        cni.setup("plain", &plain, &[]).unwrap();
        cni.network.check_pod("plain").unwrap();
        plain.run("ip addr flush dev eth0");
        let text = cni.network.check_pod("plain").unwrap_err().to_string();
        assert!(text.contains("podnet: plugin bridge refuses CHECK"), "{text}");
        cni.network.teardown("plain").unwrap();

        cni.network.teardown("pod").unwrap();
        cni.network.teardown("pod").unwrap();
        cni.nothing_is_left();
        assert_eq!(run("ls /var/lib/cni/networks/podnet | grep -c ^10 || true").trim(), "0");

        drop(result);
        // The pod is gone, its namespace and whoever made it too: DEL has to do
        // without the namespace.
        let lost = Netns::new();
        cni.setup("lost", &lost, &["8080:80"]).unwrap();
        drop(lost);
        let collected = cni.network.collect(&|_| false).unwrap();
        assert_eq!((collected.removed.len(), collected.failed.len()), (1, 0), "{collected:?}");
        cni.nothing_is_left();
        assert_eq!(run("ls /var/lib/cni/networks/podnet | grep -c ^10 || true").trim(), "0");
        // The plugin that masquerades finds its rules by the pod's addresses.
        let rules = run("iptables-save -t nat | grep lost || true");
        assert_eq!(rules.trim(), "");
    });
}

#[test]
fn a_hanging_plugin_is_killed() {
    isolated("a_hanging_plugin_is_killed", || {
        let cni = Cni::new();
        let conf = r#"{"cniVersion": "1.0.0", "name": "n",
            "plugins": [{"type": "fine"}, {"type": "hangs"}]}"#;
        cni.configure("a.conflist", conf);
        cni.plugin("fine", r#"echo '{"cniVersion": "1.0.0"}'"#);
        cni.plugin("hangs", r#"[ $CNI_COMMAND = ADD ] && { sleep 1000 & sleep 1000; }; exit 0"#);
        let pod = Netns::new();
        let start = Instant::now();
        let text = cni.setup("pod", &pod, &[]).unwrap_err().to_string();
        assert!(start.elapsed() < Duration::from_secs(15));
        assert!(text.contains("hangs, ADD") && text.contains("within 3 s"), "{text}");
        let calls = cni.calls();
        let order: Vec<_> = calls.iter().map(|call| call.split(" {").next().unwrap()).collect();
        assert_eq!(order, ["fine ADD", "hangs ADD", "hangs DEL", "fine DEL"]);
        cni.nothing_is_left();
    });
}

#[test]
fn a_lying_plugin_is_not_believed() {
    isolated("a_lying_plugin_is_not_believed", || {
        let cni = Cni::new();
        let conf = r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "liar"}]}"#;
        cni.configure("a.conflist", conf);
        for (script, expected) in [
            ("exit 0", "no CNI result"),
            ("echo '{}'", "no CNI result"),
            ("echo '{\"cniVersion\": \"5.0.0\"}'", "not spoken here"),
            ("echo '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"1\"}]}'", "no address"),
            ("echo '{\"cniVersion\": \"1.0.0\"}'", "the pod has no eth0"),
            ("head -c 3000000 /dev/zero", "printed more than"),
            (
                "echo '{\"code\": 11, \"msg\": \"try later\", \"details\": \"d\"}'; exit 1",
                "try later (d), code 11",
            ),
            ("printf 'bad\\033[2J' >&2; exit 7", "bad [2J"),
            ("exit 7", "exit status: 7"),
            ("kill -9 $$", "signal: 9"),
        ] {
            cni.plugin("liar", &format!("[ $CNI_COMMAND = DEL ] && exit 0\n{script}"));
            let pod = Netns::new();
            let text = cni.setup("pod", &pod, &[]).unwrap_err().to_string();
            assert!(text.contains(expected) && text.contains("plugin"), "{script}: {text}");
            cni.nothing_is_left();
        }
        let text = cni.setup("pod", &Netns::new(), &["80"]).unwrap_err().to_string();
        assert!(text.contains("capability portMappings"), "{text}");
    });
}

#[test]
fn new_verbs_and_runtime_configuration() {
    isolated("new_verbs_and_runtime_configuration", || {
        let cni = Cni::new();
        let conf = r#"{"cniVersions": ["1.0.0", "1.1.0"], "name": "n", "plugins": [
            {"type": "a", "capabilities": {"portMappings": true, "dns": true}}, {"type": "b"}]}"#;
        cni.configure("a.conflist", conf);
        let make = "[ $CNI_COMMAND = ADD ] && \
             nsenter --net=$CNI_NETNS ip link add eth0 type veth peer name x";
        cni.plugin("a", &format!("{make}; echo '{{\"cniVersion\": \"1.1.0\", \"ips\": []}}'"));
        cni.plugin("b", "echo '{\"cniVersion\": \"1.1.0\"}'");
        let (one, two) = (Netns::new(), Netns::new());
        cni.setup("one", &one, &["8080:80/udp"]).unwrap();
        cni.setup("two", &two, &[]).unwrap();
        let add: Vec<_> = cni.calls().into_iter().filter(|call| call.contains(" ADD ")).collect();
        assert!(add[0].contains(r#""hostPort":8080"#) && add[0].contains(r#""protocol":"udp""#));
        assert!(!add[0].contains("prevResult") && add[1].contains("prevResult"), "{add:?}");
        assert!(!add[1].contains("runtimeConfig") && add[1].contains(r#""cniVersion":"1.1.0""#));
        cni.network.cni_status("").unwrap();
        let collected = cni.network.collect(&|pod| pod == "two").unwrap();
        assert_eq!((collected.removed.len(), collected.failed.len()), (1, 0), "{collected:?}");
        let calls = cni.calls();
        let last = &calls[calls.len() - 1];
        assert!(last.starts_with("b GC") && last.contains("valid-attachments"), "{last}");
        assert!(last.contains(r#""containerID":"two""#) && !last.contains("one"), "{last}");
        assert!(calls.iter().any(|call| call.starts_with("a STATUS")));
        cni.plugin("b", "exit 50");
        assert!(cni.network.cni_status("n").is_err());
    });
}

#[test]
fn what_plugins_could_not_tell_apart_is_refused_before_anything_is_made() {
    isolated("what_plugins_could_not_tell_apart_is_refused_before_anything_is_made", || {
        let cni = Cni::new();
        cni.configure("10-podnet.conflist", PODNET);
        let pod = Netns::new();
        for value in ["a=b", "a;b", "a\0b"] {
            let request = NetRequest {
                mode: NetworkMode::Cni(String::new()),
                cni_args: vec![("K8S_POD_UID".to_owned(), value.to_owned())],
                ..NetRequest::default()
            };
            let error = cni.network.setup("pod", pod.0.as_fd(), &pod.path(), &request);
            let text = error.unwrap_err().to_string();
            assert!(text.contains("K8S_POD_UID"), "{text}");
            cni.nothing_is_left();
        }
    });
}

#[test]
fn a_removal_that_was_cut_short_can_be_repeated() {
    isolated("a_removal_that_was_cut_short_can_be_repeated", || {
        let cni = Cni::new();
        cni.configure("10-podnet.conflist", PODNET);
        let lost = Netns::new();
        cni.setup("lost", &lost, &[]).unwrap();
        drop(lost);
        // As bridge leaves it when it has done its part, and nobody takes note.
        run("nft flush chain ip nat POSTROUTING; nft -a list table ip nat | \
             sed -n 's/.*chain \\(CNI-[0-9a-f]*\\) .*/\\1/p' | grep -v -e HOSTPORT | while read chain; do \
             nft flush chain ip nat $chain; nft delete chain ip nat $chain; done");
        cni.network.teardown("lost").unwrap();
        cni.nothing_is_left();
        assert_eq!(run("ls /var/lib/cni/networks/podnet | grep -c ^10 || true").trim(), "0");
    });
}

/// Connects a pod until it is killed.
const VICTIM: &str = "CAISSON_NET_TEST_VICTIM";

#[test]
fn what_a_killed_caller_had_half_made_goes() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        let dir = std::path::PathBuf::from(dir);
        let mut settings = caisson_net::NetSettings::new(dir.join("net"), false);
        settings.cni_conf_dirs = vec![dir.join("conf")];
        settings.cni_bin_dirs = vec![dir.join("bin"), "/usr/lib/cni".into()];
        let (network, pod) = (Network::open(settings).unwrap(), Netns::new());
        let mode = NetworkMode::Cni(String::new());
        let request = NetRequest { mode, ..NetRequest::default() };
        network.setup("half", pod.0.as_fd(), &pod.path(), &request).unwrap();
        return;
    }
    isolated("what_a_killed_caller_had_half_made_goes", || {
        let cni = Cni::new();
        let dir = cni.machine.dir.path();
        let hangs =
            PODNET.replace(r#"{"type": "portmap""#, r#"{"type": "hangs"}, {"type": "portmap""#);
        cni.configure("10-podnet.conflist", &hangs);
        let before = run("nft list ruleset");
        let ready = dir.join("ready");
        let script = format!(
            "[ $CNI_COMMAND = ADD ] || exit 0; echo $$ > {0}.new; mv {0}.new {0}; sleep 1000",
            ready.display()
        );
        cni.plugin("hangs", &script);
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_a_killed_caller_had_half_made_goes"])
            .env(VICTIM, dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while !ready.exists() {
            assert!(Instant::now() < end, "the plugin is not called");
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let collected = cni.network.collect(&|_| false).unwrap();
        assert_eq!((collected.removed.len(), collected.failed.len()), (1, 0), "{collected:?}");
        cni.nothing_is_left();
        assert_eq!(run("ls /var/lib/cni/networks/podnet | grep -c ^10 || true").trim(), "0");
        let chains = |rules: &str| rules.matches("CNI-").count();
        assert_eq!(chains(&run("nft list ruleset")), chains(&before));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&format!("{}/net/cni/", dir.display())), "{mounts}");
        let plugin = std::fs::read_to_string(&ready).unwrap();
        // Nobody may have taken note of its end yet.
        let state = format!("cut -d' ' -f3 /proc/{}/stat 2>&1 || echo Z", plugin.trim());
        assert!(run(&state).contains('Z'));
    });
}
