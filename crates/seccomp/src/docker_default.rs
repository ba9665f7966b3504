//! Docker's default profile, made to fit the capabilities of a container.

use caisson_runtime_spec::{
    Capability, CapabilitySet, Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompOperator,
    Syscall,
};

/// Namespaces that `clone` may not make: all `CLONE_NEW…` of the original set.
const CLONE_NEW: u64 = 0x7E02_0000;
/// `ENOSYS`, which makes the C library fall back from `clone3` to `clone`.
const ENOSYS: u32 = 38;
/// Domains of `socket` that stay out: AF_ALG and AF_VSOCK.
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;
/// Execution domains that `personality` may set, and the query.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Calls that every container may make, whatever its capabilities.
const ALWAYS: &str = include_str!("../profiles/docker-always.txt");

/// Calls that come with a capability.
const WITH: [(Capability, &[&str]); 13] = [
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (
        Capability::SysAdmin,
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    (Capability::SysBoot, &["reboot"]),
    (Capability::SysChroot, &["chroot"]),
    (Capability::SysModule, &["delete_module", "finit_module", "init_module"]),
    (Capability::SysPacct, &["acct"]),
    (
        Capability::SysPtrace,
        &[
            "kcmp",
            "pidfd_getfd",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
        ],
    ),
    (Capability::SysRawio, &["ioperm", "iopl"]),
    (Capability::SysTime, &["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    (Capability::SysTtyConfig, &["vhangup"]),
    (Capability::SysNice, &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    (Capability::Syslog, &["syslog"]),
    (Capability::Bpf, &["bpf"]),
];

/// Calls of [`Capability::Perfmon`], which docker lists beside the others.
const WITH_PERFMON: [&str; 1] = ["perf_event_open"];

/// The profile for a container whose bounding set is `capabilities`, on the
/// architecture that this program was built for. What is not listed fails with
/// `EPERM`.
#[must_use]
pub fn docker_default(capabilities: &CapabilitySet) -> Seccomp {
    let mut names: Vec<String> = ALWAYS.split_ascii_whitespace().map(str::to_owned).collect();
    let with = WITH.iter().filter(|(capability, _)| capabilities.contains(*capability));
    for (_, calls) in with {
        names.extend(calls.iter().map(|call| (*call).to_owned()));
    }
    if capabilities.contains(Capability::Perfmon) {
        names.extend(WITH_PERFMON.map(str::to_owned));
    }
    names.extend(architecture_calls().iter().map(|call| (*call).to_owned()));
    names.sort_unstable();
    names.dedup();
    let mut syscalls = vec![allow(names, Vec::new())];
    if !capabilities.contains(Capability::SysAdmin) {
        // s390 passes the flags second; no other machine does.
        let index = u32::from(cfg!(target_arch = "s390x"));
        let no_namespaces =
            SeccompArg { index, value: CLONE_NEW, value_two: 0, op: SeccompOperator::MaskedEqual };
        syscalls.push(one("clone", no_namespaces));
        syscalls.push(Syscall {
            names: vec!["clone3".to_owned()],
            action: SeccompAction::Errno,
            errno_ret: Some(ENOSYS),
            args: Vec::new(),
        });
    }
    for value in PERSONALITIES {
        syscalls.push(one("personality", compare(value, SeccompOperator::EqualTo)));
    }
    for (value, op) in [
        (AF_ALG, SeccompOperator::LessThan),
        (AF_ALG + 1, SeccompOperator::EqualTo),
        (AF_VSOCK, SeccompOperator::GreaterThan),
    ] {
        syscalls.push(one("socket", compare(value, op)));
    }
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: Some(1),
        architectures: architectures(),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

fn compare(value: u64, op: SeccompOperator) -> SeccompArg {
    SeccompArg { index: 0, value, value_two: 0, op }
}

fn one(name: &str, arg: SeccompArg) -> Syscall {
    allow(vec![name.to_owned()], vec![arg])
}

fn allow(names: Vec<String>, args: Vec<SeccompArg>) -> Syscall {
    Syscall { names, action: SeccompAction::Allow, errno_ret: None, args }
}

fn architectures() -> Vec<SeccompArch> {
    if cfg!(target_arch = "x86_64") {
        vec![SeccompArch::X86_64, SeccompArch::X86, SeccompArch::X32]
    } else if cfg!(target_arch = "aarch64") {
        vec![SeccompArch::Aarch64, SeccompArch::Arm]
    } else {
        // The compiler of filters always covers the native one.
        Vec::new()
    }
}

fn architecture_calls() -> &'static [&'static str] {
    if cfg!(target_arch = "x86_64") {
        &["arch_prctl", "modify_ldt"]
    } else if cfg!(target_arch = "aarch64") {
        &[
            "arm_fadvise64_64",
            "arm_sync_file_range",
            "breakpoint",
            "cacheflush",
            "set_tls",
            "sync_file_range2",
        ]
    } else if cfg!(target_arch = "riscv64") {
        &["riscv_flush_icache"]
    } else {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(profile: &Seccomp, call: &str) -> bool {
        profile.syscalls.iter().any(|rule| {
            rule.action == SeccompAction::Allow
                && rule.args.is_empty()
                && rule.names.iter().any(|name| name == call)
        })
    }

    #[test]
    fn calls_come_with_their_capabilities() {
        let none = docker_default(&CapabilitySet::default());
        for (capability, calls) in WITH {
            let with = docker_default(&[capability].into_iter().collect());
            for call in calls {
                assert!(allowed(&with, call), "{call} with {capability}");
                // Plain tracing has been harmless since Linux 4.8.
                let harmless = ["ptrace", "process_vm_readv", "process_vm_writev"];
                assert_eq!(allowed(&none, call), harmless.contains(call), "{call} without");
            }
        }
        for call in [
            "keyctl",
            "add_key",
            "request_key",
            "kexec_load",
            "io_uring_setup",
            "userfaultfd",
            "nfsservctl",
            "swapon",
            "uselib",
            "ustat",
            "sysfs",
            "_sysctl",
            "pivot_root",
            "vm86",
        ] {
            let every = docker_default(&Capability::ALL.iter().copied().collect());
            assert!(!allowed(&every, call), "{call}");
        }
    }

    #[test]
    fn namespaces_need_sys_admin() {
        let rule = |profile: &Seccomp, call: &str| {
            profile.syscalls.iter().filter(|rule| rule.names == [call]).count()
        };
        let none = docker_default(&CapabilitySet::default());
        assert_eq!((rule(&none, "clone"), rule(&none, "clone3")), (1, 1));
        let admin = docker_default(&[Capability::SysAdmin].into_iter().collect());
        assert_eq!((rule(&admin, "clone"), rule(&admin, "clone3")), (0, 0));
        assert!(allowed(&admin, "clone") && allowed(&admin, "clone3"));
    }

    /// The profile that the other tests use is this one, for docker's default
    /// capabilities.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_resolved_profile_is_the_same() {
        let resolved: Seccomp =
            serde_json::from_str(include_str!("../profiles/docker-default.json")).unwrap();
        let ours = docker_default(&[Capability::SysChroot].into_iter().collect());
        let plain = |profile: &Seccomp| {
            let mut names: Vec<String> = profile
                .syscalls
                .iter()
                .filter(|r| r.args.is_empty() && r.errno_ret.is_none())
                .flat_map(|r| r.names.clone())
                .collect();
            names.sort();
            names
        };
        assert_eq!(plain(&ours), plain(&resolved));
        assert_eq!(ours.syscalls.len(), resolved.syscalls.len());
        for rule in resolved.syscalls.iter().filter(|r| !r.args.is_empty() || r.errno_ret.is_some())
        {
            assert!(ours.syscalls.contains(rule), "{rule:?}");
        }
        assert_eq!(ours.architectures, resolved.architectures);
    }
}
