//! A part of these tests again, with runtimes that others made; and such a
//! runtime killed at its work.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use caisson_shim::client::LaunchFds;
use serde_json::json;

use crate::needs_root;
use crate::pod::{Pod, RUNTIME_VARIABLE, is_rootless};

const TESTS: [&str; 13] = [
    "attach::input_arrives_and_ends_once",
    "exec::failures_say_what_shells_say",
    "exec::its_streams_are_the_clients_own",
    "exec::many_at_once_get_their_own_status",
    "faults::a_killed_supervisor_takes_its_container_along",
    "launch::the_container_holds_no_descriptor_of_ours",
    "launch::the_network_namespace_comes_by_descriptor_and_others_are_held",
    "lifecycle::a_paused_container_can_be_stopped",
    "lifecycle::a_program_that_is_missing_is_reported_at_launch",
    "lifecycle::limits_can_be_changed",
    "lifecycle::the_states_follow_each_other",
    "restart::a_killed_container_is_run_again_with_its_streams",
    "terminal::",
];

/// crun refuses hybrid hosts, and makes plain directories where it finds no
/// v2 tree: it gets a place of its own for those.
const WITHOUT_V2: &str = "if mountpoint -q /sys/fs/cgroup/unified; then \
     umount /sys/fs/cgroup/unified && mount -t tmpfs none /sys/fs/cgroup/unified; fi; exec \"$@\"";

fn again_with(runtime: &str) {
    needs_root!();
    if is_rootless() || std::env::var_os(RUNTIME_VARIABLE).is_some() {
        return;
    }
    if !Path::new(runtime).exists() {
        eprintln!("left out: there is no {runtime}");
        return;
    }
    drop(Pod::sleeper());
    let ended = Command::new("unshare")
        .args(["--mount", "sh", "-c", WITHOUT_V2, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(TESTS)
        .env(RUNTIME_VARIABLE, runtime)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("14 passed"), "{said}");
}

#[test]
fn runc() {
    again_with("/usr/sbin/runc");
}

#[test]
fn crun() {
    again_with("/usr/bin/crun");
}

#[test]
fn containerds_shim() {
    again_with("/usr/bin/containerd-shim-runc-v2");
}

#[test]
fn a_runtime_that_is_killed_leaves_nothing() {
    needs_root!();
    if is_rootless() || !Path::new("/usr/sbin/runc").exists() {
        eprintln!("left out: needs runc");
        return;
    }
    for hundredths in 0..12 {
        let mut pod = Pod::sleeper();
        let runtime = pod.path("killed-runtime");
        let script = format!(
            "#!/bin/bash\ncase \" $* \" in *' create '*) ;; *) exec /usr/sbin/runc \"$@\" ;; esac\n\
             /usr/sbin/runc \"$@\" & sleep 0.{hundredths:02}\nkill -KILL $! $$\n"
        );
        fs::write(&runtime, script).unwrap();
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
        pod.config["isolator"] = json!("oci");
        pod.config["oci"] = json!({"program": runtime, "root": pod.path("runtime")});
        let error = pod.launch_with(&LaunchFds::default()).unwrap_err().to_string();
        assert!(error.contains("killed-runtime create"), "{error}");
        pod.await_gone();
        pod.await_clean();
    }
}

#[test]
fn a_worker_that_is_killed_while_it_removes_is_followed_by_another() {
    needs_root!();
    if is_rootless() || !Path::new("/usr/sbin/runc").exists() {
        eprintln!("left out: needs runc");
        return;
    }
    let mut pod = Pod::sleeper();
    let (runtime, once) = (pod.path("killing-runtime"), pod.path("once"));
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' delete '*) mkdir {} 2>/dev/null && kill -KILL $PPID && exit 1;; esac\n\
         exec /usr/sbin/runc \"$@\"\n",
        once.display()
    );
    fs::write(&runtime, script).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
    pod.config["isolator"] = json!("oci");
    pod.config["oci"] = json!({"program": runtime, "root": pod.path("runtime")});
    let container = pod.started();
    let exit = container.stop(Some(std::time::Duration::ZERO), Some(9)).unwrap();
    assert_eq!((exit.code, exit.error), (137, None));
    pod.await_gone();
    pod.await_clean();
    assert!(once.exists());
}

#[test]
fn a_missing_runtime_is_named() {
    needs_root!();
    let mut pod = Pod::sleeper();
    pod.config["isolator"] = json!("oci");
    pod.config["oci"] = json!({"program": "/no/such/runtime", "root": pod.path("runtime")});
    let error = pod.launch_with(&LaunchFds::default()).unwrap_err().to_string();
    assert!(error.contains("/no/such/runtime"), "{error}");
    pod.await_gone();
}
