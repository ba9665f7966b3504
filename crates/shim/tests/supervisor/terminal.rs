//! Containers and programs with a terminal.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use caisson_shim::client::{ExecStdio, Piece, set_terminal_size};
use serde_json::json;

use super::exec::process;
use crate::needs_root;
use crate::pod::{PATIENCE, Pod, follow};

#[test]
fn a_container_has_a_terminal_with_a_size() {
    needs_root!();
    let mut pod = Pod::script(
        "trap 'stty size' WINCH; tty; stty size; read line; echo got $line; read line; exit 5",
    )
    .with_terminal();
    pod.spec["process"]["consoleSize"] = json!({"height": 20, "width": 70});
    let shim = pod.created();
    let mut client = shim.attach(follow(true)).unwrap();
    assert!(client.terminal);
    let watch = shim.watch_exit().unwrap();
    shim.start().unwrap();
    let mut said = String::new();
    let mut until = |text: &str| {
        while !said.contains(text) {
            match client.output.read().unwrap() {
                Some(Piece::Stdout(data)) => said += &String::from_utf8(data).unwrap(),
                other => panic!("{other:?} instead of {text:?} after {said:?}"),
            }
        }
    };
    until("/dev/pts/0\r\n");
    until("20 70\r\n");
    client.input.write(b"hello\n").unwrap();
    until("got hello\r\n");
    shim.resize(33, 99).unwrap();
    client.input.write(b"\n").unwrap();
    until("33 99\r\n");
    assert_eq!(watch.wait(Some(PATIENCE)).unwrap().code, 5);
    assert!(pod.logged("stdout").contains("got hello\r\n"));
    let plain = Pod::sleeper();
    assert!(plain.started().resize(1, 1).is_err());
}

#[test]
fn a_program_gets_a_terminal_whose_master_is_the_clients() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.started();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let started = shim
        .exec(
            process(&["sh", "-c", "tty; read x; stty size; echo got $x; exit 9"]),
            ExecStdio::Terminal(theirs.as_fd()),
        )
        .unwrap();
    drop(theirs);
    let mut master = receive(&ours);
    set_terminal_size(master.as_fd(), 33, 99).unwrap();
    master.write_all(b"line\n").unwrap();
    let mut said = Vec::new();
    // It ends with EIO when the last of the other side is closed.
    let _ = master.read_to_end(&mut said);
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("/dev/pts/0") && said.contains("33 99\r\ngot line"), "{said}");
    assert_eq!(shim.wait_exec(started.exec, Some(PATIENCE)).unwrap().code, 9);
}

fn receive(socket: &UnixStream) -> std::fs::File {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 64];
    let mut parts = [std::io::IoSliceMut::new(&mut text)];
    recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        })
        .unwrap()
        .into()
}
