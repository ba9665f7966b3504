//! `linux.seccomp` of `config.json`, seen from the program that is filtered
//! and from the agent that is asked.

#![cfg(test)]

mod bundle;

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;

use bundle::{Bundle, proc_field};
use caisson_sys::seccomp::{Answer, answer_notification, receive_notification};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

/// Runs a shell text under this profile.
fn under(profile: Value, text: &str) -> Vec<String> {
    let mut bundle = Bundle::script(text);
    bundle.config["linux"]["seccomp"] = profile;
    bundle.run().lines()
}

#[test]
fn errno_and_default_actions_apply() {
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"}]});
    let lines =
        under(profile, "mkdir /tmp/x 2>&1; chmod 700 /tmp 2>&1; grep Seccomp: /proc/self/status");
    assert!(lines[0].contains("No space left"), "{lines:?}");
    assert!(lines[1].contains("Operation not permitted"), "{lines:?}");
    assert_eq!(proc_field(&lines[2], "Seccomp"), "2");
}

#[test]
fn a_default_errno_is_what_unnamed_calls_get() {
    // Allowed is what a static busybox needs; mkdir is not.
    let names = [
        "execve",
        "exit",
        "exit_group",
        "arch_prctl",
        "brk",
        "mmap",
        "munmap",
        "mprotect",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "getrandom",
        "readlink",
        "readlinkat",
        "read",
        "write",
        "writev",
        "newfstatat",
        "fstat",
        "stat",
        "getuid",
        "geteuid",
        "getpid",
        "prctl",
        "rt_sigaction",
        "rt_sigprocmask",
        "umask",
        "ioctl",
        "fcntl",
        "close",
        "uname",
        "futex",
        "capset",
        "capget",
        "getppid",
        "dup2",
    ];
    let mut bundle = Bundle::new();
    bundle.config["process"]["args"] = json!(["mkdir", "/tmp/x"]);
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 122,
        "syscalls": [{"names": names[..], "action": "SCMP_ACT_ALLOW"}]});
    let ended = bundle.run();
    assert_ne!(ended.code(), 0);
    assert!(ended.stderr().contains("quota exceeded"), "{}", ended.stderr());
}

#[test]
fn killing_actions_kill() {
    for action in
        ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"]
    {
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": action}]});
        let lines = under(profile, "mkdir /tmp/x 2>/dev/null; echo $?; ls /tmp");
        assert_eq!(lines, ["159"], "{action}: SIGSYS");
    }
}

#[test]
fn logging_and_allowing_actions_let_pass() {
    for action in ["SCMP_ACT_LOG", "SCMP_ACT_ALLOW"] {
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": action}]});
        assert_eq!(under(profile, "mkdir /tmp/x && ls /tmp"), ["x"], "{action}");
    }
}

#[test]
fn arguments_are_compared() {
    // mkdir(path, mode), mode by umask: 0777.
    for (op, value, two, hit) in [
        ("SCMP_CMP_EQ", 0o777_u64, 0_u64, true),
        ("SCMP_CMP_EQ", 0o700, 0, false),
        ("SCMP_CMP_NE", 0o777, 0, false),
        ("SCMP_CMP_NE", 0o700, 0, true),
        ("SCMP_CMP_LT", 0o1000, 0, true),
        ("SCMP_CMP_LE", 0o777, 0, true),
        ("SCMP_CMP_GT", 0o777, 0, false),
        ("SCMP_CMP_GE", 0o777, 0, true),
        ("SCMP_CMP_MASKED_EQ", 0o7, 0o7, true),
        ("SCMP_CMP_MASKED_EQ", 0o7, 0o5, false),
    ] {
        let rule = |name: &str, index: u32| {
            json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
            "args": [{"index": index, "value": value, "valueTwo": two, "op": op}]})
        };
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [rule("mkdir", 1), rule("mkdirat", 2)]});
        let lines = under(profile, "mkdir /tmp/x 2>&1; ls /tmp");
        let failed = lines[0].contains("I/O error") || lines[0].contains("Input/output error");
        assert_eq!(failed, hit, "{op} {value:o} {two:o}: {lines:?}");
    }
}

#[test]
fn architectures_and_flags_are_taken() {
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]});
    let text = "mkdir /tmp/x 2>&1; grep -E 'Seccomp:|Speculation_Store' /proc/self/status";
    let lines = under(profile, text);
    assert!(lines[0].contains("not permitted"), "{lines:?}");
    assert!(!lines[2].contains("seccomp-forced"), "SPEC_ALLOW: {lines:?}");
}

#[test]
fn the_filter_also_holds_for_exec() {
    let mut bundle = Bundle::sleeper();
    bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]});
    bundle.started();
    let said = bundle.exec(&["mkdir", "/tmp/x"]).fails(1);
    assert!(said.contains("not permitted"), "{said}");
}

/// What the runtime sent: the document, and the listener.
fn accept(listener: &UnixListener) -> (Value, OwnedFd) {
    let (socket, _) = listener.accept().unwrap();
    let mut text = Vec::new();
    let mut found = None;
    loop {
        let mut buffer = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let received =
            recvmsg(&socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                found = fds.into_iter().next().or(found);
            }
        }
        if received.bytes == 0 {
            break;
        }
        text.extend(&buffer[..received.bytes]);
    }
    (serde_json::from_slice(&text).unwrap(), found.expect("a listener came along"))
}

#[test]
fn the_agent_gets_the_listener_and_its_answers_count() {
    let mut bundle = Bundle::script("mkdir /tmp/one 2>&1; mkdir /tmp/two 2>&1; ls /tmp");
    let path = bundle.path().join("agent.sock");
    let agent = UnixListener::bind(&path).unwrap();
    bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path, "listenerMetadata": "opaque words",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]});
    let id = bundle.id.clone();
    let served = std::thread::spawn(move || {
        let (state, listener) = accept(&agent);
        let first = receive_notification(listener.as_fd()).unwrap();
        answer_notification(listener.as_fd(), first.id, Answer::Fail(rustix::io::Errno::DQUOT))
            .unwrap();
        let second = receive_notification(listener.as_fd()).unwrap();
        answer_notification(listener.as_fd(), second.id, Answer::Continue).unwrap();
        state
    });
    let lines = bundle.run().lines();
    let state = served.join().unwrap();
    assert!(lines[0].contains("uota exceeded"), "{lines:?}");
    assert_eq!(lines[1..], ["two"]);
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "opaque words");
    assert_eq!(state["state"]["id"], json!(id));
    assert!(state["pid"].as_i64().unwrap() > 1);
}

#[test]
fn a_missing_agent_is_named() {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/no/such/agent.sock",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]});
    bundle.run().refused(&["/no/such/agent.sock"]);
}
