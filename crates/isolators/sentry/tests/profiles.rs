//! `linux.seccomp` of a configuration, seen from the programs that it is for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use container::Container;
use serde_json::{Value, json};

/// Runs a shell text under a profile; what it wrote.
fn under(profile: &Value, text: &str) -> Vec<String> {
    let container = Container::new(&["sh", "-c", &format!("exec 2>&1; {text}")], |config| {
        config["linux"]["seccomp"] = profile.clone();
    });
    let ended = container.call(&["run"], &[]);
    assert_eq!(ended.stderr, "", "{profile}");
    ended.stdout.lines().map(str::to_owned).collect()
}

fn all_but(names: &[&str], action: &str) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW",
           "syscalls": [{"names": names, "action": action}]})
}

#[test]
fn calls_get_what_the_profile_says() {
    if !sandbox::possible() {
        return;
    }
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["sethostname"], "action": "SCMP_ACT_TRACE"},
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122, "args": [
            {"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}]}]});
    let text = "mkdir /tmp/x; chmod 700 /tmp; hostname y; kill -USR1 $$; kill -0 $$ && echo alive; \
                sh -c 'mkdir /tmp/y'; grep Seccomp /proc/self/status";
    let lines = under(&profile, text);
    for (line, expected) in lines.iter().zip([
        "No space left on device",
        "Operation not permitted",
        "Function not implemented",
        "quota exceeded",
        "alive",
        "No space left on device",
        "Seccomp:\t2",
        "Seccomp_filters:\t1",
    ]) {
        assert!(line.contains(expected), "{line}: {lines:?}");
    }
    assert_eq!(lines.len(), 8, "{lines:?}");
}

#[test]
fn killing_actions_kill() {
    if !sandbox::possible() {
        return;
    }
    for action in
        ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"]
    {
        let profile = all_but(&["mkdir", "mkdirat"], action);
        let lines = under(&profile, "(mkdir /tmp/x) 2>/dev/null; echo $?; ls /tmp");
        assert_eq!(lines, ["Bad system call", "159"], "{action}");
    }
    assert_eq!(under(&all_but(&["mkdir"], "SCMP_ACT_LOG"), "mkdir /tmp/x; ls /tmp"), ["x"]);
}

/// The program itself is executed before the profile holds; nothing is after.
#[test]
fn calls_without_a_name_get_the_default() {
    if !sandbox::possible() {
        return;
    }
    let names =
        ["exit", "exit_group", "arch_prctl", "brk", "mmap", "mprotect", "set_tid_address", "write"];
    let more =
        ["set_robust_list", "rseq", "prlimit64", "getrandom", "readlink", "readlinkat", "uname"];
    let shell = ["rt_sigaction", "rt_sigprocmask", "getpid", "getppid", "getuid", "geteuid"];
    let shell = shell.iter().chain(&["getgid", "getegid", "stat", "newfstatat", "prctl", "fork"]);
    let rest = ["clone", "wait4", "fcntl", "close", "rt_sigreturn", "getcwd", "dup2", "futex"];
    let names: Vec<&&str> = names.iter().chain(&more).chain(shell).chain(&rest).collect();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 122,
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]});
    let lines = under(&profile, "echo runs; /bin/true");
    assert_eq!(lines.first().map(String::as_str), Some("runs"), "{lines:?}");
    assert!(lines[1].contains("quota exceeded"), "{lines:?}");
}

#[test]
fn what_is_executed_later_is_under_it_too() {
    if !sandbox::possible() {
        return;
    }
    let words = ["sh", "-c", "while :; do sleep 1; done"];
    let container = Container::new(&words, |config| {
        config["linux"]["seccomp"] = all_but(&["mkdir", "mkdirat"], "SCMP_ACT_ERRNO");
        config["process"]["capabilities"] = json!({});
    });
    container.create();
    container.does(&["start"], &[]);
    let ended = container.exec(&["sh", "-c", "mkdir /tmp/x; grep Seccomp: /proc/self/status"]);
    assert!(ended.stderr.contains("Operation not permitted"), "{ended:?}");
    assert_eq!(ended.stdout, "Seccomp:\t2\n");
}

#[test]
fn what_can_not_be_compiled_is_refused_by_name() {
    if !sandbox::possible() {
        return;
    }
    let mut listener = all_but(&["mkdir"], "SCMP_ACT_NOTIFY");
    listener["listenerPath"] = json!("/run/agent");
    let mut range = all_but(&["mkdir"], "SCMP_ACT_ERRNO");
    range["syscalls"][0]["errnoRet"] = json!(5000);
    for (profile, word) in [(listener, "listenerPath"), (range, "5000")] {
        let container = Container::new(&["true"], |config| {
            config["linux"]["seccomp"] = profile;
        });
        let said = container.call(&["create"], &[]).stderr;
        assert!(said.contains(word) && said.contains("seccomp"), "{said}");
    }
}
