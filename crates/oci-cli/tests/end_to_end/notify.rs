//! `$NOTIFY_SOCKET`.

use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::program::{Program, eventually, read};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("notify::a_container_reports_to_systemd", a_container_reports_to_systemd),
    ("notify::an_end_before_ready_is_an_end", an_end_before_ready_is_an_end),
];

fn systemd(program: &Program) -> (UnixDatagram, std::path::PathBuf) {
    let path = program.path("systemd.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (socket, path)
}

fn message(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 256];
    let length = socket.recv(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

fn a_container_reports_to_systemd() {
    let program = Program::new("sleep 60");
    let (systemd, path) = systemd(&program);
    let inside = program.root.join("@notify/c1/notify.sock");
    let create = program.command(&["create", "c1"]).env("NOTIFY_SOCKET", &path).status();
    assert!(create.unwrap().success());
    let spec = read(&program.root.join("c1/spec.json"));
    assert!(spec.contains("NOTIFY_SOCKET=/run/notify/notify.sock"), "{spec}");
    assert!(spec.contains("\"destination\":\"/run/notify\""), "{spec}");
    let mut start = program.command(&["start", "c1"]).env("NOTIFY_SOCKET", &path).spawn().unwrap();
    eventually("the socket is there", || inside.exists());
    // What the container's process would send.
    let service = UnixDatagram::unbound().unwrap();
    eventually("a message gets through", || service.send_to(b"STATUS=busy", &inside).is_ok());
    service.send_to(b"STATUS=fine\nREADY=1\n", &inside).unwrap();
    assert_eq!(message(&systemd), "READY=1\n");
    let pid = &program.state("c1")["pid"];
    assert_eq!(message(&systemd), format!("MAINPID={pid}\n"));
    assert!(start.try_wait().unwrap().is_none(), "it has to wait for the confirmation");
    drop(super::terminal::receive(systemd.as_fd()));
    assert!(start.wait().unwrap().success());
    assert!(!inside.exists());
}

fn an_end_before_ready_is_an_end() {
    let program = Program::new("sleep 0.1");
    let (_systemd, path) = systemd(&program);
    let run = program.command(&["run", "-d", "c1"]).env("NOTIFY_SOCKET", &path).status();
    assert!(run.unwrap().success());
    // In the foreground the container's end is the command's.
    let run = program.command(&["run", "c2"]).env("NOTIFY_SOCKET", &path).status();
    assert!(run.unwrap().success());
    assert!(!program.exists("c2") && !program.root.join("@notify/c2").exists());
}
