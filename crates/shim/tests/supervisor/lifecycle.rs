//! From launch to the end.

use std::fs;
use std::time::{Duration, Instant};

use caisson_shim::{FaultKind, Status};
use serde_json::json;

use crate::needs_root;
use crate::pod::{PATIENCE, Pod, await_state, eventually};

#[test]
fn a_container_runs_to_its_end() {
    needs_root!();
    let pod = Pod::script("cat /from-layer; echo oops >&2; echo new > /made; exit 3");
    let record = pod.run();
    assert_eq!((record.code, record.signal, record.oom, record.restarts), (3, None, false, 0));
    assert!(record.started_at.is_some_and(|at| at <= record.finished_at));
    assert_eq!(pod.exit_file(), Some(record));
    assert_eq!((pod.logged("stdout"), pod.logged("stderr")), ("hello".into(), "oops\n".into()));
    assert_eq!(fs::read_to_string(pod.path("upper/made")).unwrap(), "new\n");
    pod.await_clean();
}

#[test]
fn a_root_file_system_can_be_read_only() {
    needs_root!();
    // The second is no overlay: of one layer there is nothing to lay over.
    for layers in [2, 1] {
        let mut pod = Pod::script("touch /new 2>/dev/null; echo $?; cat /proc/self/mounts");
        let overlay = &mut pod.container["rootfs"]["overlay"];
        let base = overlay["lowers"][1].clone();
        overlay["upper"] = json!(null);
        if layers == 1 {
            overlay["lowers"] = json!([base]);
        }
        pod.run();
        let said = pod.logged("stdout");
        assert!(said.starts_with("1\n"), "{said}");
        assert_eq!(said.contains(" / overlay ro,"), layers == 2, "{said}");
    }
}

#[test]
fn the_states_follow_each_other() {
    needs_root!();
    let mut pod = Pod::sleeper();
    pod.config["linger"] = json!(true);
    let shim = pod.created();
    let state = shim.state().unwrap();
    assert_eq!((state.status, state.started_at), (Status::Created, None));
    assert!(pod.logged("stdout").is_empty());
    shim.start().unwrap();
    pod.await_log("up");
    let state = shim.state().unwrap();
    assert_eq!(state.status, Status::Running);
    let again = shim.start().unwrap_err();
    assert_eq!(again.fault().unwrap().kind, FaultKind::WrongStatus);
    assert!(again.to_string().contains("running"), "{again}");
    shim.pause().unwrap();
    assert_eq!(shim.state().unwrap().status, Status::Paused);
    shim.resume().unwrap();
    assert_eq!(shim.state().unwrap().status, Status::Running);
    assert!(shim.pids().unwrap().contains(&state.pid.unwrap()));
    assert!(shim.stats().unwrap().memory.usage.usage > 0);
    let record = shim.stop(Some(PATIENCE), None).unwrap();
    assert_eq!((record.code, record.stopped), (7, true));
    let state = shim.state().unwrap();
    assert_eq!(
        (state.status, state.pid, state.exit),
        (Status::Stopped, None, Some(record.clone()))
    );
    assert_eq!(shim.wait(Some(PATIENCE)).unwrap(), record);
    assert!(shim.stats().is_err());
    shim.pod().shutdown(false).unwrap();
    pod.await_clean();
    // The supervisor is gone; its word stays.
    assert_eq!(shim.wait(Some(PATIENCE)).unwrap(), record);
}

#[test]
fn who_ignores_the_stop_signal_is_killed() {
    needs_root!();
    let pod = Pod::script("trap '' TERM; echo up; while :; do sleep 1000 & wait $!; done");
    let shim = pod.started();
    pod.await_log("up");
    let began = Instant::now();
    let record = shim.stop(Some(Duration::from_millis(300)), None).unwrap();
    assert_eq!((record.code, record.signal), (137, Some(9)));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_supervisor_that_is_told_to_end_stops_its_container() {
    needs_root!();
    let mut pod = Pod::sleeper();
    pod.config["linger"] = json!(true);
    let shim = pod.started();
    pod.await_log("up");
    let pid = rustix::process::Pid::from_raw(shim.state().unwrap().shim_pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    pod.await_clean();
    let record = pod.exit_file().unwrap();
    assert_eq!((record.code, record.stopped), (7, true));
}

#[test]
fn a_paused_container_can_be_stopped() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.started();
    pod.await_log("up");
    shim.pause().unwrap();
    assert_eq!(shim.stop(Some(PATIENCE), None).unwrap().code, 7);
}

#[test]
fn signals_and_the_configured_stop_signal_arrive() {
    needs_root!();
    let mut pod = Pod::script(
        "trap 'echo usr1' USR1; trap 'exit 9' INT; echo up; while :; do sleep 1000 & wait $!; done",
    );
    pod.container["stop_signal"] = json!(2);
    let shim = pod.started();
    pod.await_log("up");
    shim.signal(10, false).unwrap();
    pod.await_log("usr1");
    assert_eq!(shim.stop(None, None).unwrap().code, 9);
}

#[test]
fn a_program_that_is_missing_is_reported_at_launch() {
    needs_root!();
    let mut pod = Pod::script("");
    pod.spec["process"]["args"] = json!(["/no/such/program"]);
    let error = pod.launch_with(&Default::default()).unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
    let caisson_shim::client::LaunchError::Failed(fault) = error else { panic!("{error}") };
    assert_eq!(fault.exit_code(), 127, "{fault}");
    pod.await_clean();
    assert_eq!(pod.exit_file(), None);
}

#[test]
fn an_out_of_memory_kill_is_told() {
    needs_root!();
    // The hog is a child, so that the first process lives to tell.
    let mut pod = Pod::script("tail /dev/zero; echo survived");
    pod.spec["linux"]["resources"] = json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}});
    let record = pod.run();
    assert!(record.oom, "{record:?} {}", pod.log());
    assert!(!Pod::script("exit 0").run().oom);
}

#[test]
fn limits_can_be_changed() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.started();
    let limits = serde_json::from_value(json!({"pids": {"limit": 33}})).unwrap();
    shim.update(limits).unwrap();
    assert_eq!(shim.stats().unwrap().pids.limit, 33);
}

#[test]
fn the_exit_command_runs_when_all_is_over() {
    needs_root!();
    let mut pod = Pod::script("exit 4");
    let out = pod.path("told");
    let script = format!(
        "grep -c . {pod}/lock; ls {pod}; cat {pod}/exit/{id}; grep -c {pod} /proc/self/mountinfo; ls -l /proc/self/fd",
        id = pod.id,
        pod = pod.pod_dir().display()
    );
    let script = format!("{{ {script}; }} > {0}.new 2>&1; mv {0}.new {0}", out.display());
    pod.config["exit_command"] = json!(["/bin/sh", "-c", script]);
    pod.run();
    eventually("the exit command ran", || out.exists());
    let told = fs::read_to_string(&out).unwrap();
    assert!(told.contains("\"code\":4"), "{told}");
    assert!(!told.contains("shim.sock"), "the supervisor was there still: {told}");
}

#[test]
fn init_passes_signals_on_and_reaps() {
    needs_root!();
    let mut pod = Pod::script(
        "trap 'exit 5' TERM; (sleep 0.01 &); echo pid $$; cat /proc/1/comm; while :; do sleep 1000 & wait $!; done",
    );
    pod.container["init"] = json!(true);
    let shim = pod.started();
    pod.await_log("caisson-init");
    let state = await_state(&shim, "orphans are reaped", |_| {
        !shim.pids().unwrap().iter().any(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains(") Z ")
        })
    });
    // Its file is seen read-only.
    let root = format!("/proc/{}/root/dev/.caisson-init", state.pid.unwrap());
    let flags = rustix::fs::statvfs(root).unwrap().f_flag;
    assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{flags:?}");
    assert_eq!(shim.stop(Some(PATIENCE), None).unwrap().code, 5);
    let mut missing = Pod::script("");
    missing.container["init"] = json!(true);
    missing.spec["process"]["args"] = json!(["nonesuch"]);
    assert_eq!(missing.run().code, 127);
    assert!(missing.logged("stderr").contains("nonesuch"));
}
