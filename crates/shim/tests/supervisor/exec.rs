//! Programs beside the container's own.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use caisson_runtime_spec::Process;
use caisson_shim::FaultKind;
use caisson_shim::client::ExecStdio;
use serde_json::json;

use crate::needs_root;
use crate::pod::{PATIENCE, Pod};

pub(crate) fn process(args: &[&str]) -> Process {
    serde_json::from_value(json!({
        "args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}
    }))
    .unwrap()
}

#[test]
fn its_streams_are_the_clients_own() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.started();
    let (from, mut to) = std::io::pipe().unwrap();
    let (mut out, to_out) = std::io::pipe().unwrap();
    let (mut err, to_err) = std::io::pipe().unwrap();
    let stdio = ExecStdio::Streams([from.as_fd(), to_out.as_fd(), to_err.as_fd()]);
    let started = shim.exec(process(&["sh", "-c", "cat; hostname >&2; exit 42"]), stdio).unwrap();
    drop((from, to_out, to_err));
    std::io::Write::write_all(&mut to, b"input").unwrap();
    drop(to);
    let (mut said, mut complained) = (String::new(), String::new());
    out.read_to_string(&mut said).unwrap();
    err.read_to_string(&mut complained).unwrap();
    assert_eq!((said.as_str(), complained.as_str()), ("input", "pod\n"));
    let exit = shim.wait_exec(started.exec, Some(PATIENCE)).unwrap();
    assert_eq!((exit.code, exit.signal), (42, None));
    // Again, afterwards.
    assert_eq!(shim.wait_exec(started.exec, Some(PATIENCE)).unwrap(), exit);
    assert_eq!(shim.state().unwrap().execs, 0);
}

#[test]
fn detached_ones_run_on_and_can_be_signalled() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.started();
    let started = shim.exec(process(&["sleep", "1000"]), ExecStdio::Null).unwrap();
    assert!(shim.pids().unwrap().contains(&started.pid));
    assert_eq!(shim.state().unwrap().execs, 1);
    shim.signal_exec(started.exec, 15).unwrap();
    let exit = shim.wait_exec(started.exec, Some(PATIENCE)).unwrap();
    assert_eq!((exit.code, exit.signal), (143, Some(15)));
    let gone = shim.signal_exec(started.exec, 15).unwrap_err();
    assert_eq!(gone.fault().unwrap().kind, FaultKind::NotFound);
    // The container's end ends it.
    let started = shim.exec(process(&["sleep", "1000"]), ExecStdio::Null).unwrap();
    let waiting = {
        let shim = shim.clone();
        std::thread::spawn(move || shim.wait_exec(started.exec, Some(PATIENCE)))
    };
    std::thread::sleep(Duration::from_millis(50));
    shim.stop(Some(PATIENCE), None).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().signal, Some(9));
}

#[test]
fn failures_say_what_shells_say() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.created();
    let early = shim.exec(process(&["true"]), ExecStdio::Null).unwrap_err();
    assert_eq!(early.fault().unwrap().kind, FaultKind::WrongStatus);
    shim.start().unwrap();
    let code = |args: &[&str]| {
        let error = shim.exec(process(args), ExecStdio::Null).unwrap_err();
        error.fault().unwrap().exit_code()
    };
    assert_eq!(code(&["nonesuch"]), 127);
    assert_eq!(code(&["/bin/nonesuch"]), 127);
    assert_eq!(code(&["/from-layer"]), 126);
    assert_eq!(code(&[]), 125);
    let unknown = shim.wait_exec(777, Some(PATIENCE)).unwrap_err();
    assert_eq!(unknown.fault().unwrap().kind, FaultKind::NotFound);
}

#[test]
fn many_at_once_get_their_own_status() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.started();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let shim = shim.clone();
            scope.spawn(move || {
                for round in 0..6 {
                    let code = (number * 10 + round) % 100;
                    let script = format!("exit {code}");
                    let started =
                        shim.exec(process(&["sh", "-c", &script]), ExecStdio::Null).unwrap();
                    let exit = shim.wait_exec(started.exec, Some(PATIENCE)).unwrap();
                    assert_eq!(exit.code, code);
                }
            });
        }
    });
    let mut times: Vec<Duration> = (0..30)
        .map(|_| {
            let began = Instant::now();
            let started = shim.exec(process(&["true"]), ExecStdio::Null).unwrap();
            let took = began.elapsed();
            shim.wait_exec(started.exec, Some(PATIENCE)).unwrap();
            took
        })
        .collect();
    times.sort_unstable();
    eprintln!("exec until executed: median {:?}, fastest {:?}", times[15], times[0]);
}
