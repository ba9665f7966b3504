//! From run to removal.

use std::ops::ControlFlow;
use std::time::Duration;

use caisson_node::metadata::{Event, EventFilter, EventKind};
use caisson_node::pods::ErrorKind;
use caisson_node::pods::request::NamespaceChoice;
use caisson_node::pods::view::{
    ContainerFilter, ContainerState, PodEventKind, PodFilter, PodState,
};

use crate::node::{Node, pod, root, shell};

#[test]
fn a_pod_from_run_to_removal() {
    if !root() {
        return;
    }
    let node = Node::new();
    let pods = node.pods();
    let events = pods.events();
    let logs = node.path("logs");
    let mut request = pod("first");
    request.log_directory = logs.to_str().unwrap().to_owned();
    request.labels.insert("app".to_owned(), "web".to_owned());
    let id = pods.run_pod(request.clone()).unwrap();
    // A retry is the same pod; other words under the same name are refused.
    assert_eq!(pods.run_pod(request.clone()).unwrap(), id);
    request.hostname = "other".to_owned();
    assert_eq!(pods.run_pod(request).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let status = pods.pod_status(&id, true).unwrap();
    assert_eq!((status.summary.state, status.handler.as_str()), (PodState::Ready, "native"));

    let main = pods.create_container(&id, shell("main", "echo up; exec sleep 600")).unwrap();
    let again = pods.create_container(&id, shell("main", "echo up; exec sleep 600")).unwrap();
    assert_eq!(main, again);
    let state = |id: &str| pods.container_status(id, false).unwrap().summary.state;
    assert_eq!(state(&main), ContainerState::Created);
    pods.start_container(&main).unwrap();
    assert_eq!(state(&main), ContainerState::Running);
    assert_eq!(pods.start_container(&main).unwrap_err().kind(), ErrorKind::FailedPrecondition);
    assert_eq!(node.output(&main, &["cat", "/data/seed"]), "seeded\n");

    let short = node.run(&id, "short", "exit 3");
    let ended = node.wait_until(&short, ContainerState::Exited);
    assert_eq!((ended.exit_code, ended.reason.as_str()), (3, "Error"));
    assert!(ended.started_at > 0 && ended.finished_at >= ended.started_at);

    let log = std::fs::read_to_string(logs.join("main.log")).unwrap();
    assert!(log.ends_with(" stdout F up\n"), "{log}");
    std::fs::rename(logs.join("main.log"), logs.join("main.log.1")).unwrap();
    pods.reopen_log(&main).unwrap();
    assert!(logs.join("main.log").exists());

    let web =
        PodFilter { labels: [("app".to_owned(), "web".to_owned())].into(), ..PodFilter::default() };
    assert_eq!(pods.pods(&web).unwrap().len(), 1);
    let running = ContainerFilter {
        state: Some(ContainerState::Running),
        pod: Some(id.clone()),
        ..ContainerFilter::default()
    };
    assert_eq!(pods.containers(&running).unwrap().len(), 1);

    pods.stop_container(&main, Duration::ZERO).unwrap();
    let ended = pods.container_status(&main, false).unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "Error"));
    pods.stop_container(&main, Duration::ZERO).unwrap();
    pods.remove_container(&short).unwrap();
    pods.remove_container(&short).unwrap();
    assert_eq!(pods.container_status(&short, false).unwrap_err().kind(), ErrorKind::NotFound);

    pods.stop_pod(&id).unwrap();
    pods.stop_pod(&id).unwrap();
    assert_eq!(pods.pod_status(&id, false).unwrap().summary.state, PodState::NotReady);
    assert_eq!(
        pods.create_container(&id, shell("late", "true")).unwrap_err().kind(),
        ErrorKind::FailedPrecondition
    );
    pods.remove_pod(&id).unwrap();
    pods.remove_pod(&id).unwrap();
    node.assert_nothing_left();

    let of = |id: &str| -> Vec<PodEventKind> {
        let mut kinds = Vec::new();
        kinds.extend(SEEN.with_borrow_mut(|seen| {
            seen.extend(events.try_iter().map(|event| (event.id, event.kind)));
            seen.iter().filter(|(of, _)| of == id).map(|(_, kind)| *kind).collect::<Vec<_>>()
        }));
        kinds
    };
    use PodEventKind::{Created, Deleted, Started, Stopped};
    assert_eq!(of(&main), [Created, Started, Stopped, Deleted]);
    assert_eq!(of(&short), [Created, Started, Stopped, Deleted]);
    assert_eq!(of(&id), [Created, Started, Stopped, Deleted]);

    let mut written = Vec::new();
    let all = EventFilter { since: Some(0), ..EventFilter::default() };
    let sink = &mut |event: Event| {
        written.push(event);
        ControlFlow::Continue(())
    };
    pods.engine().events(&all, false, sink).unwrap();
    let of = |id: &str| -> Vec<(EventKind, &str)> {
        let of = written.iter().filter(|event| event.subject == id);
        of.map(|event| (event.kind, event.action.as_str())).collect()
    };
    let life = ["create", "start", "die", "destroy"].map(|action| (EventKind::Container, action));
    assert_eq!((of(&main), of(&short)), (life.to_vec(), life.to_vec()));
    assert_eq!(of(&id), ["start", "stop", "destroy"].map(|action| (EventKind::Pod, action)));
    let died = written.iter().find(|event| event.action == "die").unwrap();
    assert_eq!(died.attributes["exitCode"], "3");
    assert_eq!((died.attributes["name"].as_str(), &died.attributes["pod"]), ("short", &id));
}

std::thread_local! {
    static SEEN: std::cell::RefCell<Vec<(String, PodEventKind)>> =
        const { std::cell::RefCell::new(Vec::new()) };
}

#[test]
fn mistakes_are_told_and_leave_nothing() {
    if !root() {
        return;
    }
    let node = Node::new();
    let pods = node.pods();
    let mut request = pod("x");
    request.handler = "nope".to_owned();
    let error = pods.run_pod(request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("nope") && error.to_string().contains("native"), "{error}");
    let mut request = pod("x");
    request.handler = "kata".to_owned();
    assert_eq!(pods.run_pod(request).unwrap_err().kind(), ErrorKind::Unimplemented);

    let id = pods.run_pod(pod("x")).unwrap();
    let fails = |change: &dyn Fn(&mut caisson_node::pods::request::PodContainerRequest)| {
        let mut request = shell("c", "true");
        change(&mut request);
        pods.create_container(&id, request).unwrap_err()
    };
    let missing = fails(&|r| r.image.image = "nothere".to_owned());
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(fails(&|r| r.security.privileged = true).kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        fails(&|r| r.security.run_as.username = "nobody-such".to_owned()).kind(),
        ErrorKind::InvalidArgument
    );
    let none = fails(&|r| r.command = vec!["/no/such".to_owned()]);
    assert!(none.to_string().contains("/no/such"), "{none}");
    assert!(pods.containers(&ContainerFilter::default()).unwrap().is_empty());
    assert_eq!(
        pods.create_container("none", shell("c", "true")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    pods.remove_pod(&id).unwrap();
    node.assert_nothing_left();
}

#[test]
fn one_call_after_the_other_or_all_at_once() {
    if !root() {
        return;
    }
    let node = Node::new();
    let ids: Vec<String> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..6).map(|_| scope.spawn(|| node.pods().run_pod(pod("same")).unwrap())).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(ids.windows(2).all(|two| two[0] == two[1]), "{ids:?}");
    let id = &ids[0];
    let made: Vec<String> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| node.pods().create_container(id, shell("c", "sleep 600")).unwrap())
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(made.windows(2).all(|two| two[0] == two[1]), "{made:?}");
    assert!(node.pods().operations().is_empty());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| node.pods().remove_pod(id).unwrap());
        }
    });
    node.assert_nothing_left();
}

#[test]
fn namespaces_are_shared_as_asked() {
    if !root() {
        return;
    }
    let node = Node::new();
    let pods = node.pods();
    let id = pods.run_pod(pod("spaces")).unwrap();
    let look =
        |id: &str, kind: &str| node.output(id, &["readlink", &format!("/proc/self/ns/{kind}")]);
    let with = |name: &str, pid: NamespaceChoice, target: &str| {
        let mut request = shell(name, "exec sleep 600");
        request.security.namespaces.pid = pid;
        request.security.namespaces.target = target.to_owned();
        node.run_with(&id, request)
    };
    let own = with("own", NamespaceChoice::Container, "");
    let shared_a = with("shared-a", NamespaceChoice::Pod, "");
    let shared_b = with("shared-b", NamespaceChoice::Pod, "");
    let target = with("target", NamespaceChoice::Target, &own);
    let host = with("host", NamespaceChoice::Node, "");
    assert_eq!(look(&shared_a, "pid"), look(&shared_b, "pid"));
    assert_ne!(look(&own, "pid"), look(&shared_a, "pid"));
    assert_eq!(look(&own, "pid"), look(&target, "pid"));
    assert!(![look(&own, "pid"), look(&shared_a, "pid")].contains(&look(&host, "pid")));
    assert_eq!(look(&own, "ipc"), look(&shared_a, "ipc"));
    assert!(node.output(&shared_a, &["cat", "/proc/1/cmdline"]).contains("caisson-init"));
    // /dev/shm is the pod's.
    node.output(&own, &["sh", "-c", "echo x > /dev/shm/file"]);
    assert_eq!(node.output(&shared_b, &["cat", "/dev/shm/file"]), "x\n");
    pods.remove_pod(&id).unwrap();
    node.assert_nothing_left();
}
