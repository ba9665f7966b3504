//! slirp4netns(1).

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Connected, POD_LINK, ProcessError, Task, describe};
use crate::dns::DnsConfig;
use crate::ports::mapping::PortMapping;
use crate::program;

const NAME: &str = "slirp4netns";
/// At this address it answers for the host's name server.
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// Longest answer and longest message that is looked at.
const MAX_TEXT: u64 = 4096;
/// It gets the namespace as standard input, and one end of a pair of sockets as
/// standard output: there it says that it is ready (3), and there it sees (4)
/// that nobody holds the other end any more. What it prints goes to a file.
const SCRIPT: &str = "exec \"$@\" 3>&1 4<&1 1>&2";

fn io(what: &'static str) -> impl FnOnce(io::Error) -> ProcessError {
    move |cause| ProcessError::Io { what, program: NAME, cause }
}

fn refused(message: impl Into<String>) -> ProcessError {
    ProcessError::Refused { program: NAME, message: message.into() }
}

/// Starts slirp4netns and publishes the ports through its socket.
pub(super) fn connect(program: &Path, task: &Task<'_>) -> Result<Connected, ProcessError> {
    if let Some(port) = task.ports.iter().find(|port| port.host_ip.is_some_and(|ip| ip.is_ipv6())) {
        return Err(ProcessError::NoIpv6 { program: NAME, port: port.clone() });
    }
    let (socket, log) = (task.file("sock"), task.file("log"));
    let _ = fs::remove_file(&socket);
    let (ours, theirs) = UnixStream::pair().map_err(io("make a pair of sockets for"))?;
    let log_file = File::create(&log).map_err(io("make the log of"))?;
    let netns = task.netns.try_clone_to_owned().map_err(io("pass the namespace to"))?;
    let mut arguments = vec!["-c".into(), SCRIPT.into(), "sh".into(), program.into()];
    let options = [
        "--configure",
        "--mtu=65520",
        "--disable-host-loopback",
        "--enable-sandbox",
        "--enable-seccomp",
        "-r",
        "3",
        "-e",
        "4",
        "--netns-type=path",
        "--api-socket",
    ];
    arguments.extend(options.map(Into::into));
    arguments.extend([(&socket).into(), "/proc/self/fd/0".into(), POD_LINK.into()]);
    let shell = program::find("sh")?;
    let child = program::start(&shell, &arguments, [netns, theirs.into(), log_file.into()])?;

    ours.set_read_timeout(Some(task.deadline)).map_err(io("wait for"))?;
    let mut ready = [0];
    let length = (&ours).read(&mut ready).map_err(io("wait for"))?;
    if length == 0 {
        let mut text = String::new();
        if let Ok(log) = File::open(&log) {
            let _ = log.take(MAX_TEXT).read_to_string(&mut text);
        }
        return Err(refused(text.lines().collect::<Vec<_>>().join("; ")));
    }
    let process = describe(NAME, child.id()).ok_or_else(|| refused("it ended at once"))?;
    for port in task.ports {
        publish(&socket, port, task.deadline)?;
    }
    let ours = ours.as_fd().try_clone_to_owned().map_err(io("keep the socket to"))?;
    let nameservers = vec![NAME_SERVER.into()];
    let dns = DnsConfig { nameservers, ..DnsConfig::default() };
    Ok(Connected { process, lifeline: Some(ours), dns })
}

fn publish(socket: &Path, port: &PortMapping, deadline: Duration) -> Result<(), ProcessError> {
    let host = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let request = serde_json::json!({
        "execute": "add_hostfwd",
        "arguments": {
            "proto": port.protocol,
            "host_addr": host,
            "host_port": port.host_port,
            "guest_port": port.container_port,
        },
    });
    let mut stream = UnixStream::connect(socket).map_err(io("talk to"))?;
    stream.set_read_timeout(Some(deadline)).map_err(io("talk to"))?;
    stream.write_all(request.to_string().as_bytes()).map_err(io("talk to"))?;
    stream.shutdown(std::net::Shutdown::Write).map_err(io("talk to"))?;
    let mut answer = String::new();
    stream.take(MAX_TEXT).read_to_string(&mut answer).map_err(io("talk to"))?;
    let parsed: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    if parsed.get("return").is_some() {
        return Ok(());
    }
    Err(refused(format!("publishing {port}: {}", answer.trim())))
}
