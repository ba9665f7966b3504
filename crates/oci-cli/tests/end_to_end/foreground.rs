//! `run` in the foreground.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::program::{Program, code, eventually, read, stderr};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("foreground::the_exit_code_is_passed_on", the_exit_code_is_passed_on),
    ("foreground::the_streams_are_the_callers", the_streams_are_the_callers),
    ("foreground::signals_are_forwarded", signals_are_forwarded),
    ("foreground::orphans_are_not_mistaken", orphans_are_not_mistaken),
    ("foreground::an_ignored_sigchld_does_not_lose_the_end", an_ignored_sigchld),
];

fn the_exit_code_is_passed_on() {
    for (script, expected) in
        [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -6 $$", 134)]
    {
        let program = Program::new(script);
        let output = program.run(&["run", "c1"]);
        assert_eq!(code(&output), expected, "{script}: {}", stderr(&output));
        assert!(!program.exists("c1"));
    }
    let program = Program::new("exit 3");
    assert_eq!(code(&program.run(&["run", "--keep", "c1"])), 3);
    assert_eq!(program.state("c1")["status"], "stopped");
}

fn the_streams_are_the_callers() {
    let program = Program::new("cat; echo $COLOUR >&2");
    let mut child = program
        .command(&["run", "c1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"hello").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((&*output.stdout, &*output.stderr), (&b"hello"[..], &b"blue\n"[..]));
}

fn signals_are_forwarded() {
    let program = Program::new(
        "trap 'echo usr >> $LOG; n=1' USR1; trap 'exit 9' TERM; echo up >> $LOG; \
         while :; do sleep 0.01; done",
    );
    let log = program.path("log");
    let config = read(&program.bundle.join("config.json"))
        .replace("COLOUR=blue", &format!("LOG={}", log.display()));
    std::fs::write(program.bundle.join("config.json"), config).unwrap();
    let mut child = program.command(&["run", "c1"]).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    eventually("up", || read(&log).contains("up"));
    for ignored in [Signal::WINCH, Signal::URG, Signal::PIPE, Signal::CHILD] {
        kill_process(pid, ignored).unwrap();
    }
    kill_process(pid, Signal::USR1).unwrap();
    eventually("usr", || read(&log).contains("usr"));
    assert!(program.exists("c1"));
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert!(!program.exists("c1"));
}

fn orphans_are_not_mistaken() {
    let program = Program::new("(sleep 0.05 & ); (exit 4 & ); sleep 0.2; exit 5");
    assert_eq!(code(&program.run(&["run", "c1"])), 5);
}

fn an_ignored_sigchld() {
    let program = Program::new("exit 6");
    let mut command = std::process::Command::new("sh");
    let inner = program.command(&["run", "c1"]);
    command.args(["-c", "trap '' CHLD; exec \"$@\"", "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.env(super::program::AS_RUNTIME, "1").current_dir(&program.bundle);
    assert_eq!(command.status().unwrap().code(), Some(6));
}
