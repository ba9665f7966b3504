//! The keys of the settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use caisson_containerd::options::Options;
use serde::Deserialize;

/// Everything that an administrator can set; what is absent has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Handlers.
    pub runtime: RuntimeEntry,
    /// Where state is kept, and how much.
    pub storage: StorageEntry,
    /// Networks.
    pub network: NetworkEntry,
    /// Containers' logs.
    pub log: LogEntry,
    /// The daemon.
    pub serve: ServeEntry,
    /// The daemon's traces.
    pub tracing: TracingEntry,
}

/// `[runtime]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeEntry {
    /// The handler of a request that names none; `native` if absent.
    pub default_handler: Option<String>,
    /// Handlers by name, beside the built-in ones.
    pub handlers: BTreeMap<String, HandlerEntry>,
    /// Who makes the cgroups of pods.
    pub cgroup_driver: Option<CgroupDriver>,
}

/// `cgroup_driver` of `[runtime]`; if absent it is systemd where that runs the
/// machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// The engine, in the file system.
    Cgroupfs,
    /// systemd.
    Systemd,
}

/// `[runtime.handlers.NAME]`: `isolator`, or `kind` and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HandlerEntry {
    /// One of our own isolators.
    pub isolator: Option<String>,
    /// `oci` or `shim`, for what others made.
    pub kind: Option<String>,
    /// The program of an `oci` handler, absolute; of a `shim` handler, if it is
    /// not to be looked for by its type.
    pub runtime_path: Option<PathBuf>,
    /// Where that program keeps its state (`--root`), absolute; a folder of our
    /// own if absent.
    pub runtime_root: Option<PathBuf>,
    /// Arguments of that program that come before all others.
    pub runtime_args: Option<Vec<String>>,
    /// The type of a `shim` handler, such as `io.containerd.runsc.v1`.
    pub runtime_type: Option<String>,
    /// Options of its runtime, as containerd names them.
    pub options: Option<Options>,
    /// Whether a pod of it begins with a container that runs nothing.
    pub sandbox_container: Option<bool>,
    /// TCP and UDP of the isolator `sentry`: `sandbox` or `host-sockets`.
    pub network: Option<String>,
}

/// `[storage]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageEntry {
    /// Instead of `/var/lib/caisson`.
    pub root: Option<PathBuf>,
    /// Instead of `/run/caisson`.
    pub run_root: Option<PathBuf>,
    /// Bytes that images may take before unused ones are removed.
    pub quota: Option<u64>,
    /// Folders of per-registry settings (`certs.d`).
    pub certs_dirs: Option<Vec<PathBuf>>,
    /// The signature policy (`policy.json`).
    pub signature_policy: Option<PathBuf>,
}

/// `[network]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkEntry {
    /// Folders of CNI configurations.
    pub cni_conf_dirs: Option<Vec<PathBuf>>,
    /// Folders of CNI plugins.
    pub cni_bin_dirs: Option<Vec<PathBuf>>,
    /// Seconds that one call of a CNI plugin may take, at least one.
    pub cni_plugin_timeout: Option<u64>,
}

/// `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogEntry {
    /// `json-file`, `k8s-file` or `none`.
    pub driver: Option<String>,
    /// Bytes after which a log is rotated.
    pub max_size: Option<u64>,
    /// How many rotated files are kept.
    pub max_files: Option<u32>,
}

/// `[serve]`: the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeEntry {
    /// Where it listens, instead of `caisson.sock` in the run directory.
    pub socket: Option<PathBuf>,
    /// Port of the streaming server on 127.0.0.1; 0, the default, for any.
    pub streaming_port: Option<u16>,
    /// Loopback address and port of Prometheus metrics; none if absent.
    pub metrics_address: Option<SocketAddr>,
    /// `error`, `warn`, `info` or `debug`.
    pub log_level: Option<String>,
    /// `text` or `json`.
    pub log_format: Option<String>,
    /// Seconds after which a pull that makes no progress is given up.
    pub pull_stall_timeout: Option<u64>,
    /// Images that the kubelet's garbage collection must leave alone; `*` at
    /// the end stands for any ending.
    pub pinned_images: Option<Vec<String>>,
    /// A CNI configuration list with `{{.PodCIDR}}` in it, to be written once
    /// the cluster has told the node's range.
    pub cni_template: Option<PathBuf>,
}

/// `[tracing]`: spans of the daemon's calls, by OpenTelemetry's protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracingEntry {
    /// A collector, such as `http://127.0.0.1:4318`; no traces if absent.
    pub endpoint: Option<String>,
    /// How many of a million calls are traced that belong to no trace of their
    /// client's; all if absent.
    pub sampling_per_million: Option<u32>,
}

/// Takes what `over` sets.
fn over<T>(slot: &mut Option<T>, over: Option<T>) {
    if over.is_some() {
        *slot = over;
    }
}

impl Settings {
    /// Lets the keys that `later` sets win over ours.
    pub(super) fn overlay(&mut self, later: Self) {
        over(&mut self.runtime.default_handler, later.runtime.default_handler);
        self.runtime.handlers.extend(later.runtime.handlers);
        over(&mut self.runtime.cgroup_driver, later.runtime.cgroup_driver);
        over(&mut self.storage.root, later.storage.root);
        over(&mut self.storage.run_root, later.storage.run_root);
        over(&mut self.storage.quota, later.storage.quota);
        over(&mut self.storage.certs_dirs, later.storage.certs_dirs);
        over(&mut self.storage.signature_policy, later.storage.signature_policy);
        over(&mut self.network.cni_conf_dirs, later.network.cni_conf_dirs);
        over(&mut self.network.cni_bin_dirs, later.network.cni_bin_dirs);
        over(&mut self.network.cni_plugin_timeout, later.network.cni_plugin_timeout);
        over(&mut self.log.driver, later.log.driver);
        over(&mut self.log.max_size, later.log.max_size);
        over(&mut self.log.max_files, later.log.max_files);
        self.serve.overlay(later.serve);
        over(&mut self.tracing.endpoint, later.tracing.endpoint);
        over(&mut self.tracing.sampling_per_million, later.tracing.sampling_per_million);
    }
}

impl ServeEntry {
    fn overlay(&mut self, later: Self) {
        over(&mut self.socket, later.socket);
        over(&mut self.streaming_port, later.streaming_port);
        over(&mut self.metrics_address, later.metrics_address);
        over(&mut self.log_level, later.log_level);
        over(&mut self.log_format, later.log_format);
        over(&mut self.pull_stall_timeout, later.pull_stall_timeout);
        over(&mut self.pinned_images, later.pinned_images);
        over(&mut self.cni_template, later.cni_template);
    }
}
