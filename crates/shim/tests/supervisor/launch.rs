//! The handshake between launcher and supervisor.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use caisson_shim::client::{LaunchFds, connect, is_alive};
use caisson_shim::{NamespaceKind, Status};
use serde_json::json;

use crate::needs_root;
use crate::pod::{PATIENCE, Pod, eventually};

#[test]
fn an_uncommitted_launch_goes_away_with_its_launcher() {
    needs_root!();
    let pod = Pod::sleeper();
    let launched = pod.launched();
    assert_eq!(launched.container().state().unwrap().status, Status::Created);
    drop(launched);
    pod.await_clean();
    // The same, running already.
    let launched = pod.launched();
    launched.container().start().unwrap();
    drop(launched);
    pod.await_clean();
    assert!(pod.exit_file().unwrap().stopped);
}

#[test]
fn a_short_run_can_be_committed_after_its_end() {
    needs_root!();
    let pod = Pod::script("exit 6");
    let launched = pod.launched();
    let watch = launched.container().watch_exit().unwrap();
    launched.container().start().unwrap();
    eventually("the end is written down", || pod.exit_file().is_some());
    assert!(is_alive(&pod.pod_dir()).unwrap(), "it waits for its launcher");
    launched.commit();
    assert_eq!(watch.wait(Some(PATIENCE)).unwrap().code, 6);
    pod.await_clean();
}

#[test]
fn a_pod_has_one_supervisor() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.started();
    let error = pod.launch_with(&LaunchFds::default()).unwrap_err();
    assert!(error.to_string().contains("has a supervisor already"), "{error}");
    assert_eq!(shim.state().unwrap().status, Status::Running);
}

#[test]
fn a_failed_launch_says_why_and_leaves_nothing() {
    needs_root!();
    type Spoil = fn(&mut Pod);
    let cases: [(&str, Spoil); 5] = [
        ("isolator", |pod| pod.config["isolator"] = json!("unikernel")),
        ("/no/such/layer", |pod| {
            pod.container["rootfs"]["overlay"]["lowers"] = json!(["/no/such/layer", "/"]);
        }),
        ("unknown field `colour`", |pod| pod.config["colour"] = json!("blue")),
        ("/no/such/dir/log", |pod| pod.container["log"]["path"] = json!("/no/such/dir/log")),
        ("cwd", |pod| pod.spec["process"]["cwd"] = json!("relative")),
    ];
    for (wanted, spoil) in cases {
        let mut pod = Pod::sleeper();
        spoil(&mut pod);
        let error = pod.launch_with(&LaunchFds::default()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{wanted}: {error}");
        pod.await_clean();
    }
}

#[test]
fn the_network_namespace_comes_by_descriptor_and_others_are_held() {
    needs_root!();
    let mut pod = Pod::script("readlink /proc/self/ns/net; cat");
    pod.spec["linux"]["namespaces"] = json!([
        {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
        {"type": "network", "path": NamespaceKind::Net.path()}
    ]);
    pod.container["stdin"] = json!("open");
    // Any network namespace will do: that of a process which has its own.
    let mut other = std::process::Command::new("unshare")
        .args(["-n", "cat"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let path = format!("/proc/{}/ns/net", other.id());
    eventually("unshare has one", || fs::read_link(&path).is_ok_and(|link| link != own));
    let netns = fs::File::open(&path).unwrap();
    let name = fs::read_link(&path).unwrap();
    drop(other.stdin.take());
    other.wait().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap();
    let fds = LaunchFds {
        namespaces: vec![(NamespaceKind::Net, netns.as_fd())],
        held: vec![listener.as_fd(); 40],
        ..LaunchFds::default()
    };
    let launched = pod.launch_with(&fds).unwrap();
    drop((netns, listener));
    let shim_pid = launched.shim_pid();
    let shim = launched.commit().unwrap().container(&pod.id);
    shim.start().unwrap();
    pod.await_log(name.to_str().unwrap());
    assert!(std::net::TcpListener::bind(port).is_err(), "the port is not held");
    let held = fs::read_link(format!("/proc/{shim_pid}/fd/10")).unwrap();
    assert_eq!(held, name);
    shim.pod().shutdown(true).unwrap();
    pod.await_gone();
    eventually("the port is free again", || std::net::TcpListener::bind(port).is_ok());
}

#[test]
fn the_launchers_own_streams_can_be_the_containers() {
    needs_root!();
    let mut pod = Pod::script("cat; echo bye >&2");
    pod.container["log"] = json!({"driver": "none"});
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let (mut errors, to_errors) = std::io::pipe().unwrap();
    let fds = LaunchFds {
        stdio: Some([theirs.as_fd(), theirs.as_fd(), to_errors.as_fd()]),
        ..LaunchFds::default()
    };
    let shim = pod.launch_with(&fds).unwrap().commit().unwrap().container(&pod.id);
    drop((theirs, to_errors));
    let watch = shim.watch_exit().unwrap();
    shim.start().unwrap();
    (&ours).write_all(b"through").unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    let (mut said, mut complained) = (String::new(), String::new());
    errors.read_to_string(&mut complained).unwrap();
    watch.wait(Some(PATIENCE)).unwrap();
    (&ours).read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), complained.as_str()), ("through", "bye\n"));
}

#[test]
fn the_supervisor_keeps_to_itself() {
    needs_root!();
    let pod = Pod::sleeper();
    let launched = pod.launched();
    let pid = launched.shim_pid();
    let shim = launched.commit();
    shim.start().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(fields[3], pid.to_string(), "it leads a session: {stat}");
    assert_eq!(fields[4], "0", "it has no terminal: {stat}");
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(link("cwd").to_str(), Some("/"));
    assert_ne!(link("ns/mnt"), fs::read_link("/proc/self/ns/mnt").unwrap());
    // No way from the container to the program's file.
    let writable = fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/exe"));
    assert!(writable.is_err());
    // Not in the container's cgroup.
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(!cgroup.contains(&pod.id), "{cgroup}");
    use std::os::unix::fs::PermissionsExt as _;
    let socket = fs::metadata(pod.pod_dir().join("shim.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert!(connect(&pod.path("nowhere")).is_err());
}

#[test]
fn the_container_holds_no_descriptor_of_ours() {
    needs_root!();
    let mut pod = Pod::script("ls -l /proc/self/fd; cat");
    pod.container["stdin"] = json!("open");
    let shim = pod.started();
    pod.await_log("2 ->");
    let count = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let state = shim.state().unwrap();
    assert_eq!(count(state.pid.unwrap()), 3, "{}", pod.log());
    let process = serde_json::from_value(json!({
        "args": ["sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}
    }))
    .unwrap();
    let started = shim.exec(process, caisson_shim::client::ExecStdio::Null).unwrap();
    // Runtimes of others return before the program is executed.
    eventually("the program has three descriptors", || count(started.pid) == 3);
}
