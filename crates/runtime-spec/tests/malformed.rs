//! Documents that are no configuration: each is refused with its JSON path
//! and its reason.

#![cfg(test)]

mod edit;
mod refusal;

use caisson_runtime_spec::Spec;
use refusal::check;

#[test]
fn wrong_types_and_ranges() {
    check(&[
        (&[("/ociVersion", "1")], "ociVersion", "expected a string"),
        (&[("/process", "[]")], "process", "invalid type: sequence"),
        (&[("/process/terminal", "\"yes\"")], "process.terminal", "expected a boolean"),
        (&[("/process/args", "\"sh\"")], "process.args", "expected a sequence"),
        (&[("/process/args/1", "5")], "process.args[1]", "expected a string"),
        (&[("/process/user/uid", "-1")], "process.user.uid", "expected u32"),
        (&[("/process/user/uid", "4294967296")], "process.user.uid", "expected u32"),
        (&[("/process/user/gid", "1.5")], "process.user.gid", "expected u32"),
        (&[("/process/user/additionalGids/0", "\"x\"")], "process.user.additionalGids[0]", "u32"),
        (&[("/process/consoleSize/height", "65536")], "process.consoleSize.height", "u16"),
        (&[("/process/consoleSize/width", "")], "process.consoleSize", "missing field `width`"),
        (&[("/process/oomScoreAdj", "\"low\"")], "process.oomScoreAdj", "expected i32"),
        (
            &[("/process/rlimits/0/type", "\"RLIMIT_FOO\"")],
            "process.rlimits[0].type",
            "unknown variant `RLIMIT_FOO`",
        ),
        (&[("/process/rlimits/0/soft", "-1")], "process.rlimits[0].soft", "expected u64"),
        (&[("/process/rlimits/0/hard", "")], "process.rlimits[0]", "missing field `hard`"),
        (&[("/process/capabilities/bounding", "7")], "process.capabilities.bounding", "capability"),
        (&[("/process/scheduler/policy", "\"SCHED_X\"")], "process.scheduler.policy", "SCHED_X"),
        (&[("/process/scheduler/policy", "")], "process.scheduler", "missing field `policy`"),
        (&[("/process/scheduler/flags/0", "\"X\"")], "process.scheduler.flags[0]", "unknown"),
        (&[("/process/ioPriority/class", "\"X\"")], "process.ioPriority.class", "unknown"),
        (&[("/root", "\"rootfs\"")], "root", "expected struct Root"),
        (&[("/hostname", "{}")], "hostname", "expected a string"),
        (&[("/mounts/0", "\"/proc\"")], "mounts[0]", "expected struct Mount"),
        (&[("/mounts/0/options", "\"ro\"")], "mounts[0].options", "expected a sequence"),
        (
            &[("/mounts/1/uidMappings/0/size", "4294967296")],
            "mounts[1].uidMappings[0].size",
            "expected u32",
        ),
        (&[("/hooks/poststop/0/timeout", "\"1s\"")], "hooks.poststop[0].timeout", "expected i64"),
        (&[("/annotations/x", "1")], "annotations.x", "expected a string"),
        (&[("/linux/namespaces/0/type", "\"net\"")], "linux.namespaces[0].type", "`network`"),
        (&[("/linux/namespaces/0/type", "")], "linux.namespaces[0]", "missing field `type`"),
        (&[("/linux/uidMappings/0/hostID", "")], "linux.uidMappings[0]", "missing field `hostID`"),
        (&[("/linux/devices/0/type", "\"x\"")], "linux.devices[0].type", "unknown variant `x`"),
        (&[("/linux/devices/0/fileMode", "-1")], "linux.devices[0].fileMode", "expected u32"),
        (&[("/linux/rootfsPropagation", "\"none\"")], "linux.rootfsPropagation", "unknown variant"),
        (&[("/linux/personality/domain", "\"BSD\"")], "linux.personality.domain", "`LINUX32`"),
        (&[("/linux/memoryPolicy/mode", "\"X\"")], "linux.memoryPolicy.mode", "unknown variant"),
        (&[("/linux/timeOffsets/realtime", "{}")], "linux.timeOffsets.realtime", "unknown field"),
        (
            &[("/linux/timeOffsets/boottime/secs", "9223372036854775808")],
            "linux.timeOffsets.boottime.secs",
            "expected i64",
        ),
        (
            &[("/linux/resources/pids/limit", "\"x\"")],
            "linux.resources.pids.limit",
            "invalid type: string \"x\", expected i64",
        ),
        (
            &[("/linux/resources/blockIO/weight", "70000")],
            "linux.resources.blockIO.weight",
            "expected u16",
        ),
        (
            &[("/linux/resources/devices/0/type", "\"p\"")],
            "linux.resources.devices[0].type",
            "unknown variant `p`",
        ),
        (
            &[("/linux/resources/rdma/mlx5_1/hcaHandles", "-1")],
            "linux.resources.rdma.mlx5_1.hcaHandles",
            "expected u32",
        ),
        (&[("/linux/seccomp/defaultAction", "")], "linux.seccomp", "missing field `defaultAction`"),
        (
            &[("/linux/seccomp/architectures/0", "\"SCMP_ARCH_VAX\"")],
            "linux.seccomp.architectures[0]",
            "unknown variant",
        ),
        (&[("/linux/seccomp/flags/0", "\"X\"")], "linux.seccomp.flags[0]", "unknown variant"),
        (
            &[("/linux/seccomp/syscalls/2/args/0/op", "\"EQ\"")],
            "linux.seccomp.syscalls[2].args[0].op",
            "unknown variant",
        ),
        (
            &[("/linux/seccomp/syscalls/2/args/0/value", "-1")],
            "linux.seccomp.syscalls[2].args[0].value",
            "expected u64",
        ),
    ]);
}

#[test]
fn documents_that_are_no_configuration() {
    for (text, fragment) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("null", "invalid type: null"),
        ("[]", "invalid"),
        ("{}x", "trailing characters"),
        ("{\"ociVersion\":\"1.0.0\",}", "trailing comma"),
        ("{\"hostname\":\"a\",\"hostname\":\"b\"}", "duplicate field"),
        ("{\"hostname\":\"\u{1}\"}", "control character"),
        ("{1}", "config.json: key must be a string"),
        ("{\"linux\":{1}}", "config.json: linux: key must be a string"),
    ] {
        let error = Spec::from_slice(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("config.json: ") && error.contains(fragment), "{text}: {error}");
    }
    let error = Spec::from_slice(b"{\"hostname\":\"\xff\"}").unwrap_err().to_string();
    assert!(error.contains("invalid unicode"), "{error}");
    // Unknown values are skipped without recursion.
    let deep = "[".repeat(200_000);
    let error = Spec::from_slice(format!("{{\"x\":{deep}").as_bytes()).unwrap_err().to_string();
    assert!(error.contains("EOF"), "{error}");
}

#[test]
fn files_that_cannot_be_read_or_are_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let error = Spec::load(&path).unwrap_err().to_string();
    assert!(error.contains("config.json: No such file"), "{error}");
    std::fs::File::create(&path).unwrap().set_len(caisson_runtime_spec::SIZE_LIMIT + 1).unwrap();
    let error = Spec::load(&path).unwrap_err().to_string();
    assert!(error.contains("larger than the limit"), "{error}");
}
