//! Programs in containers, attaching, ports.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use caisson_node::pods::ErrorKind;
use caisson_node::pods::request::{NamespaceChoice, PodPort};
use caisson_node::pods::session::{Abandon, AttachRequest, ExecRequest};
use caisson_node::supervisor::Piece;

use crate::node::{Node, pod, root, shell};

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn exec_and_attach() {
    if !root() {
        return;
    }
    let node = Node::new();
    let pods = node.pods();
    let id = pods.run_pod(pod("sessions")).unwrap();
    let mut request = shell("c", "while read line; do echo got $line; done; echo over; sleep 600");
    request.stdin = true;
    let made = node.run_with(&id, request);
    let run = |command: &[&str]| {
        pods.exec_sync(&made, &strings(command), None, &Abandon::default()).unwrap()
    };
    let done = run(&["sh", "-c", "echo out; echo err >&2; exit 9"]);
    assert_eq!((&*done.stdout, &*done.stderr, done.exit_code), (&b"out\n"[..], &b"err\n"[..], 9));
    assert_eq!(run(&["head", "-c", "17000000", "/dev/zero"]).stdout.len(), 16 << 20);
    // A child that keeps the streams open holds nobody up.
    let began = Instant::now();
    run(&["sh", "-c", "sleep 30 & true"]);
    assert!(began.elapsed() < Duration::from_secs(10));
    // What does not end in time is killed with all that it started.
    // Of these one is a child, and one the container's init's.
    let slow = strings(&["sh", "-c", "sleep 4321 & (sleep 4321 & exec true); sleep 4321"]);
    let none = Abandon::default();
    let error = pods.exec_sync(&made, &slow, Some(Duration::from_millis(500)), &none).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(!node.output(&made, &["ps"]).contains("4321"));
    // So it is when nobody waits any more, even if the streams have ended.
    let silent = strings(&["sh", "-c", "(sleep 4321 & exec true); exec sleep 4321 >&- 2>&-"]);
    let gone = Abandon::default();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pods.exec_sync(&made, &silent, None, &gone).unwrap_err());
        let sleep = |line: &&str| line.ends_with(" sleep 4321");
        let limit = Instant::now() + Duration::from_secs(30);
        while node.output(&made, &["ps"]).lines().filter(sleep).count() < 2 {
            assert!(Instant::now() < limit, "they do not run");
        }
        gone.set();
        assert_eq!(waiting.join().unwrap().kind(), ErrorKind::Cancelled);
    });
    assert!(!node.output(&made, &["ps"]).contains("4321"));
    // Longer than the clock goes.
    let (ever, yes) = (Some(Duration::from_secs(i64::MAX.unsigned_abs())), strings(&["true"]));
    assert_eq!(pods.exec_sync(&made, &yes, ever, &none).unwrap().exit_code, 0);
    assert!(pods.exec_sync(&made, &strings(&["/no/such"]), None, &none).is_err());

    let session = pods
        .exec(
            &made,
            &ExecRequest {
                command: strings(&["cat"]),
                stdin: true,
                stdout: true,
                ..ExecRequest::default()
            },
        )
        .unwrap();
    let mut input = std::fs::File::from(session.stdin.unwrap());
    input.write_all(b"through\n").unwrap();
    drop(input);
    let mut text = String::new();
    std::fs::File::from(session.stdout.unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), session.control.wait(None).unwrap()), ("through\n", 0));

    let terminal = ExecRequest {
        command: strings(&["sh", "-c", "sleep 0.3; stty size"]),
        stdout: true,
        tty: true,
        ..ExecRequest::default()
    };
    let session = pods.exec(&made, &terminal).unwrap();
    session.control.resize(33, 77).unwrap();
    let mut text = Vec::new();
    // The end of a terminal is an error.
    let _ = std::fs::File::from(session.terminal.unwrap()).read_to_end(&mut text);
    assert_eq!(String::from_utf8(text).unwrap(), "33 77\r\n");

    let wanted = AttachRequest { stdin: true, stdout: true, stderr: true };
    let mut session = pods.attach(&made, wanted).unwrap();
    session.attachment.input.write(b"hello\n").unwrap();
    assert_eq!(
        session.attachment.output.read().unwrap(),
        Some(Piece::Stdout(b"got hello\n".to_vec()))
    );
    drop(session);
    pods.stop_container(&made, Duration::ZERO).unwrap();
    assert_eq!(pods.attach(&made, wanted).unwrap_err().kind(), ErrorKind::FailedPrecondition);
    pods.remove_pod(&id).unwrap();
    node.assert_nothing_left();
}

#[test]
fn a_network_of_its_own() {
    if !root() {
        return;
    }
    let node = Node::new();
    let test = || {
        caisson_sys::unshare::unshare(caisson_sys::unshare::Unshare::Network).unwrap();
        let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.unwrap().success());
        let pods = node.pods();
        let mut request = pod("net");
        request.security.namespaces.network = NamespaceChoice::Pod;
        request.hostname = "inside".to_owned();
        request.sysctls.insert("net.ipv4.ip_forward".to_owned(), "1".to_owned());
        request.ports = vec![PodPort { container_port: 80, host_port: 8080, ..PodPort::default() }];
        let id = pods.run_pod(request).unwrap();
        let ip = pods.pod_status(&id, false).unwrap().ips[0].clone();
        let made = node.run(&id, "c", "while true; do echo hi | nc -l -p 80; done");
        assert_eq!(node.output(&made, &["hostname"]), "inside\n");
        assert!(node.output(&made, &["cat", "/etc/hosts"]).contains(&format!("{ip}\tinside")));
        assert_eq!(node.output(&made, &["cat", "/proc/sys/net/ipv4/ip_forward"]), "1\n");
        let mut text = String::new();
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match pods.port_forward(&id, 80) {
                Ok(mut stream) => {
                    stream.read_to_string(&mut text).unwrap();
                    break;
                }
                Err(error) => assert!(Instant::now() < end, "{error}"),
            };
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(text, "hi\n");
        assert!(pods.port_forward(&id, 81).is_err());
        let stats = &pods.pod_stats(&Default::default()).unwrap()[0];
        assert_eq!(
            stats.network.as_ref().unwrap().default_interface.as_ref().unwrap().name,
            "eth0"
        );
        pods.remove_pod(&id).unwrap();
        pods.engine().prune_network().unwrap();
    };
    std::thread::scope(|scope| scope.spawn(test).join().unwrap());
    node.assert_nothing_left();
}
