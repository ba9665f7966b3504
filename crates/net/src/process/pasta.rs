//! pasta(1), of the package passt.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::{Connected, POD_LINK, ProcessError, Task, describe};
use crate::dns::{self, DnsConfig};
use crate::ports::mapping::{PortMapping, Protocol};
use crate::program::{Run, plain_environment};

const NAME: &str = "pasta";
/// At this address the pod finds the host's name server if that listens on
/// loopback only.
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Starts pasta; it goes to the background when the pod is connected.
pub(super) fn connect(program: &Path, task: &Task<'_>) -> Result<Connected, ProcessError> {
    let pid_file = task.file("pid");
    let local_dns = dns::host_servers_are_local();
    let arguments = arguments(task.ports, &pid_file, local_dns);
    let done = Run {
        program,
        arguments: &arguments,
        environment: &plain_environment(),
        input: &[],
        stdin: Some(task.netns),
        deadline: task.deadline,
        max_output: 64 * 1024,
        max_errors: 4096,
    }
    .finish()?;
    if !done.status.success() {
        // Without a system logger it complains about that in between.
        let told = |line: &&str| !line.contains("bytes to syslog");
        let message: Vec<_> = done.errors.lines().filter(told).collect();
        return Err(ProcessError::Refused { program: NAME, message: message.join("; ") });
    }
    let io = |cause| ProcessError::Io { what: "learn the number of", program: NAME, cause };
    let pid = fs::read_to_string(&pid_file).map_err(io)?;
    let process = pid.trim().parse().ok().and_then(|pid| describe(NAME, pid));
    let process = process.ok_or_else(|| ProcessError::Refused {
        program: NAME,
        message: "it ended at once".to_owned(),
    })?;
    let nameservers = if local_dns { vec![NAME_SERVER.into()] } else { Vec::new() };
    Ok(Connected {
        process,
        lifeline: None,
        dns: DnsConfig { nameservers, ..DnsConfig::default() },
    })
}

/// The namespace is its standard input, so that it needs no path that other
/// processes could follow or not follow.
fn arguments(ports: &[PortMapping], pid_file: &Path, local_dns: bool) -> Vec<OsString> {
    let mut all: Vec<OsString> =
        ["--config-net", "--netns-only", "--no-map-gw", "--quiet", "-T", "none", "-U", "none"]
            .map(Into::into)
            .to_vec();
    for (protocol, option) in [(Protocol::Tcp, "-t"), (Protocol::Udp, "-u")] {
        let before = all.len();
        for port in ports.iter().filter(|port| port.protocol == protocol) {
            let address = match port.host_ip {
                None => String::new(),
                Some(IpAddr::V4(ip)) => format!("{ip}/"),
                Some(IpAddr::V6(ip)) => format!("{ip}/"),
            };
            let spec = format!("{address}{}:{}", port.host_port, port.container_port);
            all.extend([option.into(), spec.into()]);
        }
        if all.len() == before {
            all.extend([option.into(), "none".into()]);
        }
    }
    if local_dns {
        all.extend(["--dns-forward".into(), NAME_SERVER.to_string().into()]);
    }
    all.extend(["-I".into(), POD_LINK.into(), "-P".into(), pid_file.into()]);
    all.extend(["--netns".into(), "/proc/self/fd/0".into()]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_become_options() {
        let ports = ["8080:80", "127.0.0.1:8081:81", "[::1]:8082:82"];
        let ports: Vec<_> = ports.iter().flat_map(|p| PortMapping::parse(p).unwrap()).collect();
        let all = arguments(&ports, Path::new("/p"), false);
        let text = all.join(" ".as_ref()).into_string().unwrap();
        assert!(text.contains("-t 8080:80 -t 127.0.0.1/8081:81 -t ::1/8082:82 -u none"), "{text}");
        assert!(text.ends_with("-I eth0 -P /p --netns /proc/self/fd/0"), "{text}");
        let all = arguments(&[], Path::new("/p"), true).join(" ".as_ref());
        let text = all.into_string().unwrap();
        assert!(text.contains("-t none -u none --dns-forward 169.254.1.1"), "{text}");
    }
}
