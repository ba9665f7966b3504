//! A machine for tests: a network and a mount namespace of its own, with a
//! neighbour on the other end of a cable. Nothing here touches the namespaces
//! that the tests are started in.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use caisson_net::{NetSettings, Network};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const INSIDE: &str = "CAISSON_NET_TEST_INSIDE";
pub(crate) const HOST: &str = "192.0.2.1";
pub(crate) const NEIGHBOUR: &str = "192.0.2.254";
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `body` in this test again, as root of a machine of its own.
pub(crate) fn isolated(test: &str, body: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    if !rustix::process::geteuid().is_root() {
        return eprintln!("{test} is left out: it needs root");
    }
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test}: {status}");
}

pub(crate) fn run(command: &str) -> String {
    let done = Command::new("sh").args(["-ec", command]).stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "{command}: {}", done.status);
    String::from_utf8(done.stdout).unwrap()
}

/// A network namespace.
pub(crate) struct Netns(pub(crate) OwnedFd);

impl Netns {
    pub(crate) fn new() -> Self {
        Self(caisson_net::netns::create().unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    /// Does something inside.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }

    pub(crate) fn run(&self, command: &str) -> String {
        self.inside(|| run(command))
    }

    /// Serves TCP: answers each line with the caller's address and the line.
    pub(crate) fn serve_tcp(&self, address: &str) {
        let listener = self.inside(|| TcpListener::bind(address).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap_or_default();
                let peer = stream.peer_addr().unwrap().ip().to_canonical();
                let _ = write!(stream, "{peer} {line}");
            }
        });
    }

    /// The same over UDP.
    pub(crate) fn serve_udp(&self, address: &str) {
        let socket = self.inside(|| UdpSocket::bind(address).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let _ = socket.send_to(format!("{} {text}", from.ip()).as_bytes(), from);
            }
        });
    }
}

/// Who the server says is calling, or why there is no answer.
pub(crate) fn call_tcp(address: &str) -> Result<IpAddr, String> {
    let to: SocketAddr = address.parse().unwrap();
    let mut stream =
        TcpStream::connect_timeout(&to, Duration::from_secs(2)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"hello\n").map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    let peer = answer.strip_suffix(" hello\n").ok_or_else(|| format!("answer {answer:?}"))?;
    peer.parse().map_err(|_| answer.clone())
}

/// The same over UDP.
pub(crate) fn call_udp(address: &str) -> Result<IpAddr, String> {
    let to: SocketAddr = address.parse().unwrap();
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
    socket.connect(to).map_err(|e| e.to_string())?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.send(b"hello").map_err(|e| e.to_string())?;
    let mut buffer = [0; 1024];
    let length = socket.recv(&mut buffer).map_err(|e| e.to_string())?;
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    answer.strip_suffix(" hello").and_then(|ip| ip.parse().ok()).ok_or(answer)
}

/// This machine, with a cable to a neighbour, and state of its own.
pub(crate) struct Machine {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) neighbour: Netns,
}

impl Machine {
    /// With IPv6 too: the machine is 2001:db8::1, the neighbour 2001:db8::254.
    pub(crate) fn new() -> Self {
        let neighbour = Netns::new();
        run(&format!(
            "mount -t sysfs sysfs /sys; ip link set lo up
             ip link add cable type veth peer name cable netns {}
             ip addr add {HOST}/24 dev cable; ip link set cable up
             ip addr add 2001:db8::1/64 dev cable nodad
             ip route add default via {NEIGHBOUR}; ip -6 route add default via 2001:db8::254",
            netns_argument(&neighbour)
        ));
        neighbour.run(&format!(
            "ip link set lo up; ip addr add {NEIGHBOUR}/24 dev cable; ip link set cable up
             ip addr add 2001:db8::254/64 dev cable nodad"
        ));
        Self { dir: tempfile::tempdir().unwrap(), neighbour }
    }

    pub(crate) fn settings(&self) -> NetSettings {
        NetSettings::new(self.dir.path().join("net"), false)
    }

    pub(crate) fn network(&self) -> Network {
        Network::open(self.settings()).unwrap()
    }

    /// Names of links that pods have on the host.
    pub(crate) fn pod_links(&self) -> Vec<String> {
        let text = run("ip -o link show type veth");
        let name = |line: &str| line.split(": ").nth(1).unwrap().to_owned();
        text.lines().map(name).filter(|name| !name.starts_with("cable")).collect()
    }

    pub(crate) fn records(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("net/pods")).unwrap().count()
    }

    pub(crate) fn leases(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("net/leases.json")).unwrap()
    }
}

/// `ip` takes the number of a process or a name: a process that sleeps there.
fn netns_argument(netns: &Netns) -> String {
    let path = netns.path();
    run("mkdir -p /run/netns; mount -t tmpfs tmpfs /run; mkdir -p /run/netns");
    run(&format!("touch /run/netns/other; mount --bind {} /run/netns/other", path.display()));
    "other".to_owned()
}
