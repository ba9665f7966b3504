//! The flags before the command: ours, and those of gVisor's runsc, as engines call us in its
//! place with the flags that their configuration has for it.
//!
//! What only tells of runsc, or tunes it, is taken and has no effect. What asks for
//! something that is not here, or for a weaker sandbox, is refused by name.

use caisson_isolator::SandboxError;
use caisson_oci_cli::{EngineFlag, RuntimeOptions};
use caisson_sentry::oci::{NAME, NetworkMode, Settings};
use caisson_sentry::vfs::setup::Overlay;

const OVERLAY: EngineFlag = EngineFlag::text(
    "overlay2",
    "where what is written goes: none: to the host (default); root:memory: what is written to \
     the root stays in the sandbox's memory and ends with it; root:self: the same, but its \
     content lies on the root's disk, in files without a name; root:dir=/FOLDER: on the disk of \
     that folder; all:…: what is written to bind mounts, too; …,size=BYTES: no more than that",
);
const NETWORK: EngineFlag = EngineFlag::text(
    "network",
    "TCP and UDP of containers: sandbox: a TCP/IP of the sandbox's own (default); host-sockets \
     (or host): the host's kernel's, faster and a weaker wall; none: a loopback interface alone",
);
const FILE_ACCESS: EngineFlag = EngineFlag::text(
    "file-access",
    "who changes the root file system while the container runs: exclusive: nobody else, or \
     rarely (default; seen within a second); shared: the host does, too (seen at once)",
);
const OVERLAY_ALL: EngineFlag = EngineFlag::switch("overlay", "").hidden();

const fn text(name: &'static str) -> EngineFlag {
    EngineFlag::text(name, "").hidden()
}

const fn switch(name: &'static str) -> EngineFlag {
    EngineFlag::switch(name, "").hidden()
}

/// All of them.
pub(crate) const FLAGS: &[EngineFlag] = &[
    OVERLAY,
    NETWORK,
    FILE_ACCESS,
    OVERLAY_ALL,
    // Taken, and without effect.
    text("control-rpc-stop-timeout"),
    text("coverage-report"),
    text("dcache"),
    text("debug-command"),
    text("debug-log"),
    text("debug-log-format"),
    text("fdlimit"),
    text("final-metrics-log"),
    text("host-settings"),
    text("metric-server"),
    text("network-processors-per-channel"),
    text("num-network-channels"),
    text("panic-log"),
    text("panic-signal"),
    text("pcap-log"),
    text("platform_device_path"),
    text("profile-block"),
    text("profile-cpu"),
    text("profile-gc-interval"),
    text("profile-heap"),
    text("profile-mutex"),
    text("profiling-metrics"),
    text("profiling-metrics-log"),
    text("profiling-metrics-rate-us"),
    text("qdisc"),
    text("qdisc-tbf-burst"),
    text("qdisc-tbf-rate"),
    text("ref-leak-mode"),
    text("restore-spec-validation"),
    text("strace-log-size"),
    text("strace-syscalls"),
    text("trace"),
    text("traceback"),
    text("watchdog-action"),
    switch("allow-connected-on-save"),
    switch("alsologtostderr"),
    switch("app-huge-pages"),
    switch("cpu-num-from-quota"),
    switch("debug-to-user-log"),
    switch("directfs"),
    switch("gso"),
    switch("gvisor-gro"),
    switch("kvm-use-cpu-nums"),
    switch("log-packets"),
    switch("net-disconnect-ok"),
    switch("oci-seccomp"),
    switch("profile"),
    switch("rx-checksum-offload"),
    switch("software-gso"),
    switch("strace"),
    switch("strace-event"),
    switch("systrap-disable-syscall-patching"),
    switch("tx-checksum-offload"),
    // With values that can be had; see `refused`.
    text("file-access-mounts"),
    text("host-fifo"),
    text("host-uds"),
    text("platform"),
    text("pod-init-config"),
    switch("allow-flag-override"),
    switch("allow-packet-socket-write"),
    switch("allow-rootfs-tar-annotation"),
    switch("allow-suid"),
    switch("enable-core-tags"),
    switch("gvisor-marker-file"),
    switch("ignore-cgroups"),
    switch("iouring"),
    switch("net-raw"),
    switch("nvproxy"),
    switch("nvproxy-docker"),
    switch("pause-external-networking"),
    switch("reproduce-nat"),
    switch("reproduce-nftables"),
    switch("tpuproxy"),
];

/// Flags of which only these values can be had, and what to do instead.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("file-access-mounts", &["shared", "exclusive"], "shared or exclusive"),
    ("host-fifo", &["none"], "FIFOs of the host can't be opened"),
    ("host-uds", &["none"], "UNIX sockets of the host can't be reached"),
    (
        "platform",
        &["systrap", "ptrace", "kvm"],
        "there is one platform, which stands for each of these: systrap, ptrace, kvm",
    ),
    ("pod-init-config", &[""], "there is none"),
    ("allow-flag-override", &["false"], "annotations change no flags"),
    ("allow-packet-socket-write", &["false"], "there are no packet sockets"),
    ("allow-rootfs-tar-annotation", &["false"], "a root file system is a folder"),
    ("allow-suid", &["true"], "set noNewPrivileges in the configuration"),
    ("enable-core-tags", &["false"], "cores are not tagged"),
    ("gvisor-marker-file", &["false"], "the kernel is another one"),
    ("ignore-cgroups", &["false"], "leave resources out of the configuration"),
    ("iouring", &["false"], "there is no io_uring"),
    ("net-raw", &["true"], "leave CAP_NET_RAW out of the configuration"),
    ("nvproxy", &["false"], "there are no devices"),
    ("nvproxy-docker", &["false"], "there are no devices"),
    ("pause-external-networking", &["false"], "use --network none"),
    ("reproduce-nat", &["false"], "the host's rules are not taken over"),
    ("reproduce-nftables", &["false"], "the host's rules are not taken over"),
    ("tpuproxy", &["false"], "there are no devices"),
];

fn cannot(flag: &str, value: &str, instead: &str) -> SandboxError {
    SandboxError::Unsupported { isolator: NAME, operation: format!("--{flag} {value}: {instead}") }
}

/// How containers are to be made.
///
/// # Errors
/// [`SandboxError::Unsupported`], which names the flag.
pub(crate) fn settings(options: &RuntimeOptions) -> Result<Settings, SandboxError> {
    for (flag, values, instead) in REFUSED {
        match options.engine_flag(flag) {
            Some(value) if !values.contains(&value) => return Err(cannot(flag, value, instead)),
            _ => {}
        }
    }
    let overlay = match options.engine_flag(OVERLAY.name) {
        Some(value) => Some(
            Overlay::parse(value)
                .map_err(|error| cannot(OVERLAY.name, value, &error.to_string()))?,
        ),
        None if options.engine_flag(OVERLAY_ALL.name) == Some("true") => {
            Some(Overlay::ALL_IN_MEMORY)
        }
        None => None,
    };
    let network = match options.engine_flag(NETWORK.name) {
        None | Some("sandbox") => NetworkMode::Sandbox,
        Some("host-sockets" | "host") => NetworkMode::HostSockets,
        Some("none") => NetworkMode::None,
        Some(other) => {
            return Err(cannot(NETWORK.name, other, "sandbox, host-sockets (or host) or none"));
        }
    };
    let shared_root = match options.engine_flag(FILE_ACCESS.name) {
        None | Some("exclusive") => false,
        Some("shared") => true,
        Some(other) => return Err(cannot(FILE_ACCESS.name, other, "exclusive or shared")),
    };
    Ok(Settings {
        root: options.root.clone(),
        systemd_cgroup: options.systemd_cgroup,
        overlay,
        network,
        shared_root,
    })
}
