//! What can be known to be wrong with a request before anything is made.

use std::net::IpAddr;

use caisson_net::{PortMapping, Protocol};

use super::PodError;
use super::namespaces::Wanted;
use super::request::{IdMapping, NamespaceChoice, PodContainerRequest, PodRequest, PortProtocol};

/// Longest host name (sethostname(2)).
const HOST_NAME: usize = 64;

/// Checks a pod's request.
pub(super) fn pod(request: &PodRequest) -> Result<(), PodError> {
    if request.name.is_empty() {
        return Err(PodError::invalid("metadata.name", "is missing"));
    }
    let wanted = Wanted::of(request);
    let options = &request.security.namespaces;
    if request.hostname.len() > HOST_NAME || request.hostname.contains(['\0', '\n', '/']) {
        return Err(PodError::invalid("hostname", format!("{:?} is none", request.hostname)));
    }
    for (field, choice) in [("network", options.network), ("ipc", options.ipc)] {
        if !matches!(choice, NamespaceChoice::Pod | NamespaceChoice::Node) {
            let reason = "is POD or NODE";
            return Err(PodError::invalid(format!("namespace_options.{field}"), reason));
        }
    }
    if options.pid == NamespaceChoice::Target {
        return Err(PodError::invalid("namespace_options.pid", "only a container has a target"));
    }
    if let Some(user) = &options.user {
        match user.mode {
            NamespaceChoice::Pod => {
                one_range("namespace_options.userns_options.uids", &user.uids)?;
                one_range("namespace_options.userns_options.gids", &user.gids)?;
            }
            NamespaceChoice::Node if user.uids.is_empty() && user.gids.is_empty() => {}
            NamespaceChoice::Node => {
                let reason = "the host's user namespace has no mappings";
                return Err(PodError::invalid("namespace_options.userns_options", reason));
            }
            _ => {
                let reason = "is POD or NODE";
                return Err(PodError::invalid("namespace_options.userns_options.mode", reason));
            }
        }
    }
    sysctls(request)?;
    if wanted.net {
        ports(request)?;
    }
    Ok(())
}

fn one_range(field: &str, map: &[IdMapping]) -> Result<(), PodError> {
    let [range] = map else {
        return Err(PodError::invalid(field, format!("one range is needed, not {}", map.len())));
    };
    if range.container != 0 {
        return Err(PodError::invalid(field, "id 0 of the pod is not mapped"));
    }
    let fits = |first: u32| first.checked_add(range.length).is_some();
    if range.length == 0 || !fits(range.host) || !fits(range.container) {
        return Err(PodError::invalid(field, "the range is empty or beyond all ids"));
    }
    if range.container != 0 {
        return Err(PodError::invalid(field, "id 0 of the containers is not mapped"));
    }
    Ok(())
}

/// The pod's sysctls, by their paths below `/proc/sys`.
pub(super) fn sysctls(request: &PodRequest) -> Result<Vec<(String, String)>, PodError> {
    let wanted = Wanted::of(request);
    let mut list = Vec::with_capacity(request.sysctls.len());
    for (name, value) in &request.sysctls {
        // Either form (sysctl(8)): the first separator decides.
        let path = match (name.find('.'), name.find('/')) {
            (Some(dot), slash) if slash.is_none_or(|slash| dot < slash) => name
                .chars()
                .map(|c| match c {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                })
                .collect(),
            _ => name.clone(),
        };
        let clean = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let ipc = ["kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem"];
        let is_ipc = ipc.contains(&path.as_str())
            || path.starts_with("kernel/shm")
            || path.starts_with("fs/mqueue/");
        let refuse = |reason: &str| Err(PodError::invalid("sysctls", format!("{name}: {reason}")));
        if !clean || value.contains('\0') {
            return refuse("is no name of a sysctl");
        } else if path.starts_with("net/") && !wanted.net {
            return refuse("the pod has the host's network");
        } else if is_ipc && !wanted.ipc {
            return refuse("the pod has the host's IPC namespace");
        } else if path == "kernel/domainname" && !wanted.uts {
            return refuse("the pod has the host's UTS namespace");
        } else if !path.starts_with("net/") && !is_ipc && path != "kernel/domainname" {
            return refuse("is not in a namespace of the pod: it would be set for the whole host");
        }
        list.push((path, value.clone()));
    }
    Ok(list)
}

/// The ports that are published.
pub(super) fn ports(request: &PodRequest) -> Result<Vec<PortMapping>, PodError> {
    let mut list = Vec::new();
    for port in request.ports.iter().filter(|port| port.host_port != 0) {
        let number = |field: &str, value: i32| {
            u16::try_from(value).ok().filter(|port| *port != 0).ok_or_else(|| {
                PodError::invalid(format!("port_mappings.{field}"), format!("{value} is no port"))
            })
        };
        let host_ip = match port.host_ip.as_str() {
            "" | "0.0.0.0" | "::" => None,
            text => Some(text.parse::<IpAddr>().map_err(|_| {
                PodError::invalid("port_mappings.host_ip", format!("{text:?} is no address"))
            })?),
        };
        list.push(PortMapping {
            host_ip,
            host_port: number("host_port", port.host_port)?,
            container_port: number("container_port", port.container_port)?,
            protocol: match port.protocol {
                PortProtocol::Tcp => Protocol::Tcp,
                PortProtocol::Udp => Protocol::Udp,
                PortProtocol::Sctp => {
                    let what = "publishing SCTP ports: TCP and UDP can be published";
                    return Err(PodError::Unsupported(what.to_owned()));
                }
            },
        });
    }
    Ok(list)
}

/// Checks a container's request against its pod's.
pub(super) fn container(pod: &PodRequest, request: &PodContainerRequest) -> Result<(), PodError> {
    if request.name.is_empty() {
        return Err(PodError::invalid("metadata.name", "is missing"));
    }
    if request.image.image.is_empty() {
        return Err(PodError::invalid("image", "is missing"));
    }
    if request.security.privileged && !pod.security.privileged {
        return Err(PodError::invalid(
            "security_context.privileged",
            "the pod's sandbox is not privileged",
        ));
    }
    let pods_own = &pod.security.namespaces;
    let options = &request.security.namespaces;
    if options.user.as_ref().is_some_and(|user| user.mode == NamespaceChoice::Pod)
        && options.user != pods_own.user
    {
        let reason = "differs from the pod's";
        return Err(PodError::invalid("namespace_options.userns_options", reason));
    }
    for (name, value) in &request.envs {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(PodError::invalid("envs", format!("{name:?} is no variable")));
        }
    }
    let log = std::path::Path::new(&request.log_path);
    let climbs = log.components().any(|part| matches!(part, std::path::Component::ParentDir));
    if log.is_absolute() || climbs {
        return Err(PodError::invalid("log_path", "is not below the pod's log directory"));
    }
    if request.stdin_once && !request.stdin {
        return Err(PodError::invalid("stdin_once", "needs stdin"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> PodRequest {
        PodRequest { name: "p".to_owned(), ..PodRequest::default() }
    }

    #[test]
    fn sysctls_of_the_host_are_refused() {
        let with = |name: &str, node: bool| {
            let mut request = request();
            request.sysctls.insert(name.to_owned(), "1".to_owned());
            if node {
                request.security.namespaces.network = NamespaceChoice::Node;
                request.security.namespaces.ipc = NamespaceChoice::Node;
            }
            pod(&request)
        };
        for good in ["net.ipv4.ip_forward", "kernel.shm_rmid_forced", "fs.mqueue.msg_max"] {
            with(good, false).unwrap();
            assert!(with(good, true).is_err(), "{good}");
        }
        for bad in [
            "vm.swappiness",
            "kernel.panic",
            "net/../kernel/panic",
            "net..x",
            "",
            "kernel.hostname",
        ] {
            assert!(with(bad, false).is_err(), "{bad}");
        }
        let mut dotted = request();
        dotted.sysctls.insert("net/ipv4/conf/eth0.5/forwarding".to_owned(), "1".to_owned());
        assert_eq!(sysctls(&dotted).unwrap()[0].0, "net/ipv4/conf/eth0.5/forwarding");
    }

    #[test]
    fn namespaces_and_mappings_make_sense_or_are_refused() {
        pod(&request()).unwrap();
        let mut bad = request();
        bad.security.namespaces.network = NamespaceChoice::Container;
        assert!(pod(&bad).is_err());
        let mut user = request();
        let map = IdMapping { host: 1 << 31, container: 0, length: 1 << 16 };
        user.security.namespaces.user = Some(crate::pods::request::UserNamespace {
            mode: NamespaceChoice::Pod,
            uids: vec![map],
            gids: vec![map],
        });
        pod(&user).unwrap();
        for broken in [vec![], vec![map, map], vec![IdMapping { length: 0, ..map }]] {
            let mut bad = user.clone();
            if let Some(user) = &mut bad.security.namespaces.user {
                user.gids = broken;
            }
            assert!(pod(&bad).is_err());
        }
        let mut name = request();
        name.hostname = "x".repeat(65);
        assert!(pod(&name).is_err());
    }

    #[test]
    fn containers_stay_within_what_their_pod_is() {
        let mut wanted = PodContainerRequest { name: "c".to_owned(), ..Default::default() };
        wanted.image.image = "busybox".to_owned();
        container(&request(), &wanted).unwrap();
        let mut privileged = wanted.clone();
        privileged.security.privileged = true;
        assert!(container(&request(), &privileged).is_err());
        for path in ["/etc/passwd", "../x", "a/../../b"] {
            let bad = PodContainerRequest { log_path: path.to_owned(), ..wanted.clone() };
            assert!(container(&request(), &bad).is_err(), "{path}");
        }
    }
}
