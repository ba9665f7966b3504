//! The engine dies at any time and finds everything again.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use caisson_node::pods::request::NamespaceChoice;
use caisson_node::pods::view::{ContainerFilter, ContainerState, PodFilter, PodState};

use crate::node::{Node, pod, root, shell};

#[test]
fn pods_are_found_again_with_what_ended_meanwhile() {
    if !root() {
        return;
    }
    let mut node = Node::new();
    let id = node.pods().run_pod(pod("stays")).unwrap();
    let runs = node.run(&id, "runs", "exec sleep 600");
    let ends = node.run(&id, "ends", "sleep 1; exit 4");
    let waits = node.pods().create_container(&id, shell("waits", "exit 5")).unwrap();
    node.stop();
    std::thread::sleep(Duration::from_millis(1500));
    node.start();
    let pods = node.pods();
    assert_eq!(pods.pod_status(&id, false).unwrap().summary.state, PodState::Ready);
    let ended = pods.container_status(&ends, false).unwrap();
    assert_eq!((ended.summary.state, ended.exit_code), (ContainerState::Exited, 4));
    let running = pods.container_status(&runs, false).unwrap();
    assert_eq!(running.summary.state, ContainerState::Running);
    // A retry is still the same.
    assert_eq!(pods.run_pod(pod("stays")).unwrap(), id);
    pods.start_container(&waits).unwrap();
    assert_eq!(node.wait_until(&waits, ContainerState::Exited).exit_code, 5);
    assert_eq!(node.output(&runs, &["echo", "x"]), "x\n");
    // What happens from here on is heard of, too.
    let late = node.run(&id, "late", "exit 6");
    assert_eq!(node.wait_until(&late, ContainerState::Exited).exit_code, 6);
    pods.remove_pod(&id).unwrap();
    node.assert_nothing_left();
}

#[test]
fn a_killed_supervisor_is_noticed_and_its_pod_can_be_removed() {
    if !root() {
        return;
    }
    let mut node = Node::new();
    for restarted in [false, true] {
        let id = node.pods().run_pod(pod(&format!("lost-{restarted}"))).unwrap();
        let runs = node.run(&id, "runs", "exec sleep 600");
        let info = node.pods().container_status(&runs, true).unwrap().info;
        let state: serde_json::Value = serde_json::from_str(&info["supervisor"]).unwrap();
        let shim = rustix::process::Pid::from_raw(
            i32::try_from(state["shim_pid"].as_i64().unwrap()).unwrap(),
        );
        if restarted {
            node.stop();
        }
        rustix::process::kill_process(shim.unwrap(), rustix::process::Signal::KILL).unwrap();
        if restarted {
            node.start();
        }
        let lost = node.wait_until(&runs, ContainerState::Exited);
        assert_eq!((lost.exit_code, lost.reason.as_str()), (137, "ContainerStatusUnknown"));
        // The pod is told to be lost once its supervisor's guard is through.
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while node.pods().pod_status(&id, false).unwrap().summary.state != PodState::NotReady {
            assert!(std::time::Instant::now() < end, "the pod is still told to be ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        node.pods().stop_pod(&id).unwrap();
        node.pods().remove_pod(&id).unwrap();
    }
    node.assert_nothing_left();
}

#[test]
fn what_was_half_made_is_cleared_away() {
    if !root() {
        return;
    }
    let mut node = Node::new();
    let id = node.pods().run_pod(pod("whole")).unwrap();
    let made = node.pods().create_container(&id, shell("c", "exec sleep 600")).unwrap();
    node.stop();
    // As if the engine had died right before it was done.
    let database = rusqlite::Connection::open(node.path("state/meta.db")).unwrap();
    database
        .execute("UPDATE node_pod_containers SET phase = 'creating' WHERE id = ?1", [&made])
        .unwrap();
    node.start();
    assert!(node.pods().containers(&ContainerFilter::default()).unwrap().is_empty());
    let again = node.pods().create_container(&id, shell("c", "exec sleep 600")).unwrap();
    assert_ne!(again, made);
    node.stop();
    database.execute("UPDATE node_pods SET phase = 'creating' WHERE id = ?1", [&id]).unwrap();
    node.start();
    assert!(node.pods().pods(&PodFilter::default()).unwrap().is_empty());
    node.assert_nothing_left();
}

#[test]
fn a_pod_whose_network_cannot_be_taken_back_is_not_ready() {
    if !root() {
        return;
    }
    let mut node = Node::new();
    let stuck = node.path("stuck");
    std::fs::create_dir(node.path("plugins")).unwrap();
    let script = format!(
        "#!/bin/sh\ncase $CNI_COMMAND in\n\
         ADD) nsenter --net=$CNI_NETNS ip link add eth0 type bridge; echo '{{\"cniVersion\": \"1.0.0\"}}' ;;\n\
         DEL) [ ! -e {} ] || {{ echo '{{\"code\": 7, \"msg\": \"not now\"}}'; exit 1; }} ;;\nesac\n",
        stuck.display()
    );
    let plugin = node.path("plugins/moody");
    std::fs::write(&plugin, script).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let list = r#"{"cniVersion": "1.0.0", "name": "moods", "plugins": [{"type": "moody"}]}"#;
    std::fs::write(node.path("cni/moods.conflist"), list).unwrap();
    let mut request = pod("stuck");
    request.security.namespaces.network = NamespaceChoice::Pod;
    let id = node.pods().run_pod(request).unwrap();
    let runs = node.run(&id, "runs", "exec sleep 600");
    std::fs::write(&stuck, "").unwrap();
    let error = node.pods().stop_pod(&id).unwrap_err().to_string();
    assert!(error.contains("moody") && error.contains("not now"), "{error}");
    for _ in 0..2 {
        let status = node.pods().pod_status(&id, false).unwrap();
        assert_eq!(status.summary.state, PodState::NotReady);
        assert_eq!(node.wait_until(&runs, ContainerState::Exited).exit_code, 137);
        node.restart();
    }
    std::fs::remove_file(&stuck).unwrap();
    node.pods().remove_pod(&id).unwrap();
    node.assert_nothing_left();
}
