//! Containers that are run again.

use std::time::Duration;

use caisson_shim::{RestartPolicy, Status};
use serde_json::json;

use crate::needs_root;
use crate::pod::{PATIENCE, Pod, await_state, follow, is_foreign_shim};

#[test]
fn a_failing_container_is_run_again_so_often() {
    needs_root!();
    let mut pod = Pod::script("echo x >> /count; echo run; exit 3");
    pod.container["restart"] = json!({"on-failure": 2});
    let record = pod.run();
    assert_eq!((record.code, record.restarts, record.stopped), (3, 2, false));
    assert_eq!(std::fs::read_to_string(pod.path("upper/count")).unwrap(), "x\nx\nx\n");
    assert_eq!(pod.logged("stdout"), "run\nrun\nrun\n");
    let mut pod = Pod::script("exit 0");
    pod.container["restart"] = json!({"on-failure": 0});
    assert_eq!(pod.run().restarts, 0);
}

#[test]
fn always_means_until_it_is_stopped() {
    needs_root!();
    let mut pod = Pod::script("echo run; exit 0");
    pod.container["restart"] = json!("always");
    let shim = pod.created();
    let mut client = shim.attach(follow(false)).unwrap();
    shim.start().unwrap();
    let first = super::attach::to_end(&mut client.output);
    let second = super::attach::to_end(&mut client.output);
    assert_eq!(first, second);
    let state = await_state(&shim, "three runs", |state| state.restarts >= 3);
    assert_eq!(state.exit.unwrap().code, 0);
    let record = shim.stop(Some(PATIENCE), None).unwrap();
    assert!(record.stopped && record.restarts >= 3, "{record:?}");
    pod.await_clean();
}

#[test]
fn a_killed_container_is_run_again_with_its_streams() {
    needs_root!();
    let mut pod = Pod::script("echo up; cat");
    pod.container["restart"] = json!("unless-stopped");
    pod.container["stdin"] = json!("open");
    let shim = pod.started();
    let client = shim.attach(follow(true)).unwrap();
    let first = shim.state().unwrap().pid;
    shim.signal(9, false).unwrap();
    let state = await_state(&shim, "it runs again", |state| {
        state.status == Status::Running && state.pid != first && state.pid.is_some()
    });
    let exit = state.exit.unwrap();
    assert_eq!(exit.code, 137);
    // A foreign shim does not tell a signal from a code.
    assert_eq!(exit.signal, (!is_foreign_shim()).then_some(9));
    client.input.write(b"to the second\n").unwrap();
    pod.await_log("to the second");
    // While it waits to be run again, it can be stopped, too.
    shim.set_restart(RestartPolicy::No).unwrap();
    shim.signal(9, false).unwrap();
    let record = shim.wait(Some(Duration::from_secs(20))).unwrap();
    assert_eq!((record.code, record.stopped), (137, false));
}

#[test]
fn stop_between_two_runs() {
    needs_root!();
    let mut pod = Pod::script("exit 1");
    pod.container["restart"] = json!("always");
    let shim = pod.started();
    await_state(&shim, "it waits long", |state| state.restarts >= 4);
    await_state(&shim, "it waits", |state| state.status == Status::Restarting);
    let record = shim.stop(Some(PATIENCE), None).unwrap();
    // The next run may just have begun, or its program not been executed yet.
    assert!(record.stopped && [1, 137, 143].contains(&record.code), "{record:?}");
    pod.await_clean();
}
