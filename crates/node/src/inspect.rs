//! Everything that is known about a container, in docker's shape.

use serde_json::{Map, Value, json};

use crate::clock::rfc3339;
use crate::engine::Engine;
use crate::lifecycle::{ContainerError, ContainerView, Status};
use crate::metadata::{ContainerRecord, NetworkRecord};
use crate::request::{ContainerRequest, NamespaceMode, RestartPolicy, SeccompChoice};
use crate::signals;

/// A moment that never was, as docker writes it.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Engine {
    /// The container of that name as JSON.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn inspect(&self, name: &str) -> Result<Value, ContainerError> {
        let view = self.container(name)?;
        let record = &view.record;
        let dir = self.paths.container(&record.id);
        let file = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let program = &record.document.program;
        let isolator = self
            .handlers()
            .get(Some(&record.document.handler))
            .ok()
            .and_then(|handler| handler.isolator().ok())
            .map(crate::handlers::IsolatorKind::as_str);
        Ok(json!({
            "Id": record.id,
            "Name": record.name,
            "Created": rfc3339(record.created),
            "Path": program.args.first(),
            "Args": program.args.get(1..).unwrap_or_default(),
            "State": state(&view),
            "Image": record.document.image.to_string(),
            "ImageName": record.document.request.image,
            "Platform": "linux",
            "RestartCount": restarts(&view),
            "LogPath": self.paths.log(&record.id).to_string_lossy(),
            "HostsPath": file("hosts"),
            "HostnamePath": file("hostname"),
            "ResolvConfPath": file("resolv.conf"),
            "Mounts": mounts(record),
            "Config": config(record),
            "HostConfig": host_config(record),
            "NetworkSettings": network(&view),
            "Isolation": { "Handler": record.document.handler, "Isolator": isolator },
        }))
    }
}

fn moment(nanos: Option<u64>) -> String {
    nanos.map_or_else(|| NEVER.to_owned(), rfc3339)
}

fn restarts(view: &ContainerView) -> u32 {
    view.live.as_ref().map_or(view.record.outcome.restarts, |live| live.restarts)
}

fn state(view: &ContainerView) -> Value {
    let outcome = &view.record.outcome;
    let live = view.live.as_ref();
    let up = matches!(view.status, Status::Running | Status::Paused | Status::Restarting);
    json!({
        "Status": view.status.as_str(),
        "Running": matches!(view.status, Status::Running | Status::Paused),
        "Paused": view.status == Status::Paused,
        "Restarting": view.status == Status::Restarting,
        "OOMKilled": live.map_or(outcome.oom_killed, |live| live.oom),
        "Dead": false,
        "Pid": live.and_then(|live| live.pid).unwrap_or(0),
        "ShimPid": live.map_or(0, |live| live.shim_pid),
        "ExitCode": if up { 0 } else { outcome.exit_code },
        "Error": outcome.error.clone().unwrap_or_default(),
        "StartedAt": moment(live.and_then(|live| live.started_at).or(outcome.started)),
        "FinishedAt": moment(outcome.finished),
    })
}

fn mounts(record: &ContainerRecord) -> Vec<Value> {
    let of = |mount: &crate::metadata::MountRecord| {
        json!({
            "Type": mount.kind,
            "Name": mount.volume,
            "Source": mount.source,
            "Destination": mount.destination,
            "Mode": mount.options.join(","),
            "RW": mount.writable,
            "Propagation": propagation(&mount.options),
        })
    };
    record.document.mounts.iter().map(of).collect()
}

fn propagation(options: &[String]) -> &str {
    let known = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
    options.iter().map(String::as_str).find(|option| known.contains(option)).unwrap_or("rprivate")
}

fn config(record: &ContainerRecord) -> Value {
    let request = &record.document.request;
    let program = &record.document.program;
    let (entrypoint, command) =
        program.args.split_at_checked(program.entrypoint_len).unwrap_or((&[], &[]));
    let ports: Map<String, Value> =
        program.exposed_ports.iter().map(|port| (port.clone(), json!({}))).collect();
    json!({
        "Hostname": request.hostname.clone()
            .unwrap_or_else(|| crate::identity::short(&record.id).to_owned()),
        "Domainname": request.domainname.clone().unwrap_or_default(),
        "User": program.user,
        "AttachStdin": request.attached && request.open_stdin,
        "AttachStdout": request.attached,
        "AttachStderr": request.attached,
        "Tty": request.tty,
        "OpenStdin": request.open_stdin,
        "ExposedPorts": ports,
        "Env": program.env,
        "Cmd": command,
        "Entrypoint": entrypoint,
        "Image": request.image,
        "WorkingDir": program.working_dir,
        "Labels": program.labels,
        "Annotations": request.annotations,
        "StopSignal": signals::name(program.stop_signal),
        "StopTimeout": request.stop_timeout.unwrap_or(10),
    })
}

fn host_config(record: &ContainerRecord) -> Value {
    let request = &record.document.request;
    let limits = &request.resources;
    let security = &request.security;
    let retries = match request.restart {
        RestartPolicy::OnFailure { retries } => retries,
        _ => 0,
    };
    let policy = request.restart.to_string();
    let binds: Vec<String> = record
        .document
        .mounts
        .iter()
        .filter(|mount| mount.kind != "tmpfs")
        .map(|mount| {
            let source = mount.volume.as_ref().unwrap_or(&mount.source);
            let access = if mount.writable { "rw" } else { "ro" };
            format!("{source}:{}:{access}", mount.destination)
        })
        .collect();
    let tmpfs: Map<String, Value> = record
        .document
        .mounts
        .iter()
        .filter(|mount| mount.kind == "tmpfs")
        .map(|mount| (mount.destination.clone(), json!(mount.options.join(","))))
        .collect();
    let rlimits: Vec<Value> = request
        .ulimits
        .iter()
        .map(|limit| {
            let name = limit.kind.as_str().trim_start_matches("RLIMIT_").to_ascii_lowercase();
            json!({ "Name": name, "Soft": limit.soft, "Hard": limit.hard })
        })
        .collect();
    json!({
        "Binds": binds,
        "Tmpfs": tmpfs,
        "NetworkMode": request.network.mode.clone().unwrap_or_else(|| "bridge".to_owned()),
        "PublishAllPorts": request.network.publish_all,
        "RestartPolicy": {
            "Name": policy.split(':').next().unwrap_or_default(),
            "MaximumRetryCount": retries,
        },
        "AutoRemove": request.auto_remove,
        "Init": request.init,
        "Runtime": record.document.handler,
        "LogConfig": { "Type": request.log.driver.clone().unwrap_or_else(|| "json-file".to_owned()) },
        "Privileged": security.privileged,
        "CapAdd": security.cap_add,
        "CapDrop": security.cap_drop,
        "SecurityOpt": security_options(request),
        "ReadonlyRootfs": request.read_only,
        "GroupAdd": request.group_add,
        "Dns": request.network.dns,
        "DnsSearch": request.network.dns_search,
        "DnsOptions": request.network.dns_options,
        "ExtraHosts": request.network.extra_hosts,
        "ShmSize": request.shm_size.unwrap_or(64 << 20),
        "PidMode": mode(&request.namespaces.pid),
        "IpcMode": mode(&request.namespaces.ipc),
        "UTSMode": mode(&request.namespaces.uts),
        "CgroupnsMode": mode(&request.namespaces.cgroup),
        "CgroupParent": request.cgroup_parent.clone().unwrap_or_default(),
        "Devices": request.devices.iter().map(|device| json!({
            "PathOnHost": device.host,
            "PathInContainer": device.container,
            "CgroupPermissions": device.access,
        })).collect::<Vec<_>>(),
        "DeviceCgroupRules": request.device_cgroup_rules,
        "Ulimits": rlimits,
        "Sysctls": request.sysctls,
        "Memory": limits.memory.unwrap_or(0),
        "MemorySwap": limits.memory_swap.unwrap_or(0),
        "MemoryReservation": limits.memory_reservation.unwrap_or(0),
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "CpuQuota": limits.cpu_quota.unwrap_or(0),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.clone().unwrap_or_default(),
        "PidsLimit": limits.pids_limit.unwrap_or(0),
        "OomScoreAdj": limits.oom_score_adj.unwrap_or(0),
        "OomKillDisable": limits.oom_kill_disable,
    })
}

fn mode(mode: &NamespaceMode) -> String {
    match mode {
        NamespaceMode::Default => "private".to_owned(),
        other => other.to_string(),
    }
}

fn security_options(request: &ContainerRequest) -> Vec<String> {
    let security = &request.security;
    let mut options = Vec::new();
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    match &security.seccomp {
        SeccompChoice::Default => {}
        SeccompChoice::Unconfined => options.push("seccomp=unconfined".to_owned()),
        SeccompChoice::Profile(profile) => options.push(format!("seccomp={profile}")),
    }
    options.extend(security.apparmor.iter().map(|profile| format!("apparmor={profile}")));
    options.extend(security.labels.iter().map(|label| format!("label={label}")));
    if security.unmask {
        options.push("systempaths=unconfined".to_owned());
    }
    options
}

fn network(view: &ContainerView) -> Value {
    let empty = NetworkRecord::default();
    let up = matches!(view.status, Status::Running | Status::Paused | Status::Restarting);
    let network = view.record.outcome.network.as_ref().filter(|_| up).unwrap_or(&empty);
    let mut ports: Map<String, Value> = Map::new();
    for port in &view.record.document.program.exposed_ports {
        let name = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
        ports.insert(name, Value::Null);
    }
    for port in &network.ports {
        let entry = ports.entry(format!("{}/{}", port.container_port, port.protocol));
        let bound = json!({
            "HostIp": port.host_ip.map_or_else(|| "0.0.0.0".to_owned(), |ip| ip.to_string()),
            "HostPort": port.host_port.to_string(),
        });
        match entry.or_insert_with(|| json!([])) {
            Value::Array(list) => list.push(bound),
            slot => *slot = json!([bound]),
        }
    }
    let of = |interface: &caisson_net::Interface| {
        let v4 = interface.addresses.iter().find(|address| address.address.is_ipv4());
        let v6 = interface.addresses.iter().find(|address| address.address.is_ipv6());
        let gateway = |six: bool| {
            let found = interface.gateways.iter().find(|gateway| gateway.is_ipv6() == six);
            found.map(ToString::to_string).unwrap_or_default()
        };
        json!({
            "Interface": interface.name,
            "MacAddress": interface.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            "IPAddress": v4.map(|a| a.address.to_string()).unwrap_or_default(),
            "IPPrefixLen": v4.map_or(0, |a| a.prefix),
            "Gateway": gateway(false),
            "GlobalIPv6Address": v6.map(|a| a.address.to_string()).unwrap_or_default(),
            "GlobalIPv6PrefixLen": v6.map_or(0, |a| a.prefix),
            "IPv6Gateway": gateway(true),
        })
    };
    let first = network.interfaces.first().map_or_else(|| json!({}), of);
    let mut networks: Map<String, Value> = Map::new();
    if let Some(interface) = network.interfaces.first() {
        networks.insert(network.mode.clone(), of(interface));
    }
    let member = |name: &str| first.get(name).cloned().unwrap_or_else(|| json!(""));
    json!({
        "Ports": ports,
        "Networks": networks,
        "Interfaces": network.interfaces.iter().map(of).collect::<Vec<_>>(),
        "IPAddress": member("IPAddress"),
        "Gateway": member("Gateway"),
        "MacAddress": member("MacAddress"),
        "GlobalIPv6Address": member("GlobalIPv6Address"),
    })
}
