//! Values that contradict the specification, the kernel or each other: each
//! is refused with its JSON path and its reason.

#![cfg(test)]

mod edit;
mod refusal;

use caisson_runtime_spec::{Spec, validate_rootless};
use edit::edited;
use refusal::check;

#[test]
fn wrong_top_level() {
    check(&[
        (&[("/ociVersion", "")], "ociVersion", "missing"),
        (&[("/ociVersion", "\"2.0.0\"")], "ociVersion", "not supported"),
        (&[("/ociVersion", "\"latest\"")], "ociVersion", "not a version"),
        (&[("/root", "")], "root", "missing"),
        (&[("/root/path", "")], "root.path", "missing"),
        (&[("/root/path", r#""a\u0000b""#)], "root.path", "NUL"),
        (&[("/linux/namespaces/4", "")], "hostname", "uts namespace"),
        (&[("/linux/namespaces/4", ""), ("/hostname", "")], "domainname", "uts namespace"),
        (
            &[(
                "/hostname",
                "\"0123456789012345678901234567890123456789012345678901234567890123x\"",
            )],
            "hostname",
            "65 bytes",
        ),
        (&[("/annotations/", "\"x\"")], "annotations", "empty key"),
        (&[("/hooks/prestart/0/path", "\"bin/a\"")], "hooks.prestart[0].path", "absolute"),
        (&[("/hooks/poststart/0/path", "")], "hooks.poststart[0].path", "missing"),
        (&[("/hooks/createRuntime/0/timeout", "0")], "hooks.createRuntime[0].timeout", "above 0"),
        (&[("/hooks/createContainer/0/env/0", "\"A\"")], "hooks.createContainer[0].env[0]", "'='"),
        (
            &[("/hooks/startContainer/0/args/0", r#""\u0000""#)],
            "hooks.startContainer[0].args[0]",
            "NUL",
        ),
    ]);
}

#[test]
fn wrong_process() {
    check(&[
        (&[("/process/cwd", "")], "process.cwd", "missing"),
        (&[("/process/cwd", "\"home\"")], "process.cwd", "not an absolute path"),
        (&[("/process/args", "")], "process.args", "missing or empty"),
        (&[("/process/args", "[]")], "process.args", "missing or empty"),
        (&[("/process/args/0", "\"\"")], "process.args[0]", "empty"),
        (&[("/process/args/2", r#""a\u0000""#)], "process.args[2]", "NUL"),
        (&[("/process/env/1", "\"PATH\"")], "process.env[1]", "has no '='"),
        (&[("/process/env/0", "\"=x\"")], "process.env[0]", "no name"),
        (&[("/process/env/0", r#""A=\u0000""#)], "process.env[0]", "NUL"),
        (&[("/process/oomScoreAdj", "1001")], "process.oomScoreAdj", "-1000..=1000"),
        (&[("/process/user/uid", "4294967295")], "process.user.uid", "no id"),
        (&[("/process/user/gid", "4294967295")], "process.user.gid", "no id"),
        (
            &[("/process/user/additionalGids", "[4294967295]")],
            "process.user.additionalGids[0]",
            "no id",
        ),
        (&[("/linux/devices/0/uid", "4294967295")], "linux.devices[0].uid", "no id"),
        (&[("/linux/devices/0/gid", "4294967295")], "linux.devices[0].gid", "no id"),
        (&[("/process/rlimits/0/soft", "2048")], "process.rlimits[0].soft", "above the hard limit"),
        (&[("/process/rlimits/1/type", "\"RLIMIT_NOFILE\"")], "process.rlimits[1].type", "twice"),
        (
            &[("/process/capabilities/permitted", "")],
            "process.capabilities.effective",
            "CAP_KILL is not in the permitted set",
        ),
        (&[("/process/user/uid", "70000")], "process.user.uid", "not mapped"),
        (&[("/process/user/gid", "70000")], "process.user.gid", "not mapped"),
        (
            &[("/process/user/additionalGids/1", "65536")],
            "process.user.additionalGids[1]",
            "mapped",
        ),
        (&[("/process/ioPriority/priority", "8")], "process.ioPriority.priority", "0..=7"),
        (
            &[("/process/execCPUAffinity/final", "\"3-1\"")],
            "process.execCPUAffinity.final",
            "before",
        ),
        (
            &[("/process/execCPUAffinity/initial", "\"x\"")],
            "process.execCPUAffinity.initial",
            "range",
        ),
        (&[("/process/scheduler/policy", "\"SCHED_ISO\"")], "process.scheduler.policy", "kernel"),
        (&[("/process/scheduler/policy", "\"SCHED_RR\"")], "process.scheduler.priority", "1..=99"),
        (
            &[("/process/scheduler", r#"{"policy":"SCHED_BATCH","nice":-21}"#)],
            "process.scheduler.nice",
            "-20..=19",
        ),
        (
            &[("/process/scheduler", r#"{"policy":"SCHED_OTHER","priority":1}"#)],
            "process.scheduler.priority",
            "no meaning",
        ),
        (
            &[("/process/scheduler", r#"{"policy":"SCHED_FIFO","priority":1,"period":9}"#)],
            "process.scheduler.period",
            "no meaning",
        ),
        (&[("/process/scheduler/runtime", "1023")], "process.scheduler.runtime", "below 1024"),
        (&[("/process/scheduler/deadline", "9999")], "process.scheduler.deadline", "the runtime"),
        (&[("/process/scheduler/period", "19999")], "process.scheduler.period", "the deadline"),
    ]);
}

#[test]
fn wrong_mounts() {
    check(&[
        (&[("/mounts/0/destination", "")], "mounts[0].destination", "missing"),
        (&[("/mounts/0/destination", r#""/a\u0000""#)], "mounts[0].destination", "NUL"),
        (&[("/mounts/0/options", r#"["a\u0000"]"#)], "mounts[0].options[0]", "NUL"),
        (&[("/mounts/0/type", "")], "mounts[0].type", "missing"),
        (&[("/mounts/1/source", "")], "mounts[1].source", "bind mount"),
        (&[("/mounts/1/options/3", "\"size=1\"")], "mounts[1].options", "\"size=1\""),
        (&[("/mounts/1/gidMappings", "")], "mounts[1].gidMappings", "both"),
        (&[("/mounts/1/uidMappings/0/size", "0")], "mounts[1].uidMappings[0].size", "0"),
        (&[("/mounts/0/options", r#"["idmap"]"#)], "mounts[0].options", "only bind mounts"),
        (
            &[
                ("/mounts/1/uidMappings", ""),
                ("/mounts/1/gidMappings", ""),
                ("/linux", "{}"),
                ("/hostname", ""),
                ("/domainname", ""),
            ],
            "mounts[1].uidMappings",
            "no user namespace",
        ),
    ]);
}

#[test]
fn wrong_namespaces_and_mappings() {
    check(&[
        (&[("/linux/namespaces/3/type", "\"pid\"")], "linux.namespaces[3].type", "twice"),
        (&[("/linux/namespaces/1/path", "\"netns\"")], "linux.namespaces[1].path", "absolute"),
        (&[("/linux/namespaces/5", "")], "linux.uidMappings", "without a user namespace"),
        (&[("/linux/uidMappings", "")], "linux.uidMappings", "a new user namespace needs it"),
        (
            &[("/linux/gidMappings", ""), ("/process", "")],
            "linux.gidMappings",
            "a new user namespace needs it",
        ),
        (
            &[("/linux/uidMappings/0/containerID", "1")],
            "linux.uidMappings",
            "does not map the container's id 0",
        ),
        (&[("/linux/uidMappings/0/size", "0"), ("/process", "")], "linux.uidMappings[0].size", "0"),
        (
            &[("/linux/uidMappings/0/hostID", "4294967290")],
            "linux.uidMappings[0].hostID",
            "beyond the highest id",
        ),
        (
            &[("/linux/uidMappings/1", r#"{"containerID":65535,"hostID":1,"size":1}"#)],
            "linux.uidMappings[1].containerID",
            "overlaps with uidMappings[0]",
        ),
        (
            &[("/linux/gidMappings/1", r#"{"containerID":65536,"hostID":99999,"size":2}"#)],
            "linux.gidMappings[1].hostID",
            "overlaps with gidMappings[0]",
        ),
        (&[("/linux/namespaces/7", "")], "linux.timeOffsets", "without a time namespace"),
        (&[("/linux/namespaces/7/path", "\"/t\"")], "linux.timeOffsets", "joined by path"),
        (
            &[("/linux/timeOffsets/monotonic/nanosecs", "1000000000")],
            "linux.timeOffsets.monotonic.nanosecs",
            "a second or more",
        ),
        (&[("/linux/sysctl/kernel.panic", "\"1\"")], "linux.sysctl[\"kernel.panic\"]", "the host"),
        (
            &[("/linux/sysctl/kernel.hostname", "\"a\"")],
            "linux.sysctl[\"kernel.hostname\"]",
            "field",
        ),
        (&[("/linux/namespaces/3", "")], "linux.sysctl[\"kernel.shmmax\"]", "ipc namespace"),
        (&[("/linux/sysctl/net.~1..a", "\"1\"")], "linux.sysctl[\"net./..a\"]", "not the name"),
        (
            &[("/linux/namespaces/1", ""), ("/linux/netDevices", "")],
            "linux.sysctl[\"net.ipv4.ip_forward\"]",
            "network namespace",
        ),
        (
            &[("/linux/namespaces/1", ""), ("/linux/sysctl", "")],
            "linux.netDevices",
            "network namespace",
        ),
        (&[("/linux/netDevices/a:b", "{}")], "linux.netDevices[\"a:b\"]", "cannot be"),
        (&[("/linux/netDevices/eth0/name", "\"..\"")], "linux.netDevices[\"eth0\"]", "\"..\""),
        (
            &[("/linux/netDevices/eth0/name", "\"0123456789abcdef\"")],
            "linux.netDevices[\"eth0\"]",
            "cannot be",
        ),
        (&[("/linux/netDevices/eth1/name", "\"inside\"")], "linux.netDevices[\"eth1\"]", "second"),
        (&[("/linux/namespaces/2", "")], "linux.maskedPaths", "mount namespace"),
    ]);
}

#[test]
fn wrong_linux_values() {
    check(&[
        (&[("/linux/devices/0/path", "\"dev/x\"")], "linux.devices[0].path", "absolute"),
        (&[("/linux/devices/0/major", "4096")], "linux.devices[0].major", "0..=4095"),
        (&[("/linux/devices/0/minor", "-1")], "linux.devices[0].minor", "0..=1048575"),
        (&[("/linux/maskedPaths/0", "\"proc\"")], "linux.maskedPaths[0]", "absolute"),
        (&[("/linux/readonlyPaths/0", "\"\"")], "linux.readonlyPaths[0]", "missing"),
        (&[("/linux/cgroupsPath", r#""/a\nb""#)], "linux.cgroupsPath", "cannot be a path"),
        (&[("/linux/mountLabel", r#""a\u0000""#)], "linux.mountLabel", "NUL"),
        (&[("/linux/intelRdt/closID", "\"..\"")], "linux.intelRdt.closID", "name of a directory"),
        (&[("/linux/intelRdt/closID", "\"a/b\"")], "linux.intelRdt.closID", "name of a directory"),
        (&[("/linux/intelRdt/schemata/0", r#""a\nb""#)], "linux.intelRdt.schemata[0]", "newline"),
        (&[("/linux/intelRdt/memBwSchema", "\"L3:0=1\"")], "linux.intelRdt.memBwSchema", "MB:"),
        (
            &[("/linux/intelRdt/memBwSchema", r#""MB:0=1\n""#)],
            "linux.intelRdt.memBwSchema",
            "newline",
        ),
        (&[("/linux/memoryPolicy/nodes", "\"0-\"")], "linux.memoryPolicy.nodes", "range"),
        (&[("/linux/memoryPolicy/nodes", "\"1024\"")], "linux.memoryPolicy.nodes", "limit of 1023"),
        (&[("/linux/memoryPolicy/nodes", "")], "linux.memoryPolicy.nodes", "needs it"),
        (&[("/linux/memoryPolicy/mode", "\"MPOL_LOCAL\"")], "linux.memoryPolicy.nodes", "no nodes"),
        (
            &[("/linux/memoryPolicy/flags/1", "\"MPOL_F_RELATIVE_NODES\"")],
            "linux.memoryPolicy.flags",
            "exclude each other",
        ),
        (
            &[("/linux/memoryPolicy/flags/0", "\"MPOL_F_NUMA_BALANCING\"")],
            "linux.memoryPolicy.flags",
            "no meaning",
        ),
    ]);
}

#[test]
fn wrong_resources() {
    check(&[
        (
            &[("/linux/resources/devices/0/access", "")],
            "linux.resources.devices[0].access",
            "missing",
        ),
        (
            &[("/linux/resources/devices/0/access", "\"rwx\"")],
            "linux.resources.devices[0].access",
            "letters other than",
        ),
        (
            &[("/linux/resources/devices/1/major", "-2")],
            "linux.resources.devices[1].major",
            "device number",
        ),
        (&[("/linux/resources/memory/limit", "-2")], "linux.resources.memory.limit", "nor -1"),
        (
            &[("/linux/resources/memory/swap", "1")],
            "linux.resources.memory.swap",
            "below the memory limit",
        ),
        (
            &[("/linux/resources/memory/swappiness", "101")],
            "linux.resources.memory.swappiness",
            "0..=100",
        ),
        (&[("/linux/resources/cpu/period", "999")], "linux.resources.cpu.period", "1000..=1000000"),
        (&[("/linux/resources/cpu/quota", "999")], "linux.resources.cpu.quota", "below 1000"),
        (
            &[("/linux/resources/cpu/burst", "100001")],
            "linux.resources.cpu.burst",
            "above the quota",
        ),
        (&[("/linux/resources/cpu/idle", "2")], "linux.resources.cpu.idle", "neither 0 nor 1"),
        (&[("/linux/resources/cpu/cpus", "\"0;1\"")], "linux.resources.cpu.cpus", "not a list"),
        (
            &[("/linux/resources/blockIO/weight", "1001")],
            "linux.resources.blockIO.weight",
            "above 1000",
        ),
        (
            &[("/linux/resources/blockIO/throttleReadIOPSDevice/0/major", "-1")],
            "linux.resources.blockIO.throttleReadIOPSDevice[0].major",
            "device number",
        ),
        (
            &[("/linux/resources/hugepageLimits/0/pageSize", "\"2M\"")],
            "linux.resources.hugepageLimits[0].pageSize",
            "2MB",
        ),
        (
            &[("/linux/resources/hugepageLimits/0/pageSize", "\"../../2MB\"")],
            "linux.resources.hugepageLimits[0].pageSize",
            "not a size",
        ),
        (
            &[("/linux/resources/unified/..~1cgroup.procs", "\"1\"")],
            "linux.resources.unified[\"../cgroup.procs\"]",
            "not the name of a file",
        ),
        (&[("/linux/resources/rdma/a b", "{}")], "linux.resources.rdma[\"a b\"]", "device"),
        (
            &[("/linux/resources/network/priorities/0/name", "\"\"")],
            "linux.resources.network.priorities[0].name",
            "interface",
        ),
    ]);
}

#[test]
fn wrong_seccomp() {
    check(&[
        (
            &[("/linux/seccomp/defaultAction", "\"SCMP_ACT_NOTIFY\"")],
            "linux.seccomp.defaultAction",
            "SCMP_ACT_NOTIFY",
        ),
        (
            &[("/linux/seccomp/defaultAction", "\"SCMP_ACT_KILL\"")],
            "linux.seccomp.defaultErrnoRet",
            "returns no errno",
        ),
        (
            &[("/linux/seccomp/defaultErrnoRet", "4096")],
            "linux.seccomp.defaultErrnoRet",
            "above 4095",
        ),
        (&[("/linux/seccomp/listenerPath", "")], "linux.seccomp.listenerMetadata", "listenerPath"),
        (
            &[("/linux/seccomp/listenerPath", ""), ("/linux/seccomp/listenerMetadata", "")],
            "linux.seccomp.syscalls[1].action",
            "needs linux.seccomp.listenerPath",
        ),
        (
            &[("/linux/seccomp/syscalls/1/names/0", "\"write\"")],
            "linux.seccomp.syscalls[1].names",
            "cannot be used for write",
        ),
        (&[("/linux/seccomp/syscalls/0/names", "[]")], "linux.seccomp.syscalls[0].names", "empty"),
        (
            &[("/linux/seccomp/syscalls/0/action", "\"SCMP_ACT_ALLOW\"")],
            "linux.seccomp.syscalls[0].errnoRet",
            "SCMP_ACT_ALLOW returns no errno",
        ),
        (
            &[("/linux/seccomp/syscalls/2/args/1/index", "6")],
            "linux.seccomp.syscalls[2].args[1].index",
            "above 5",
        ),
    ]);
}

#[test]
fn wrong_for_rootless() {
    let userless = [("/linux/namespaces/5", "")];
    for (edits, path) in [
        (&userless[..], "linux.namespaces"),
        (&[("/linux/netDevices/eth0", "{}")], "linux.netDevices"),
        (&[("/linux/netDevices", "")], "mounts[1].options"),
        (
            &[("/linux/netDevices", ""), ("/mounts/0/options", r#"["gid=65536"]"#)],
            "mounts[0].options",
        ),
    ] {
        let spec = Spec::from_slice(edited(edits).as_bytes()).unwrap();
        let error = validate_rootless(&spec).unwrap_err();
        assert_eq!(error.path(), Some(path), "{error}");
    }
}
