//! `process.terminal` and `process.consoleSize` of `config.json`.

#![cfg(test)]

mod bundle;

use std::fs::File;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use bundle::{Bundle, eventually};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;

/// Where the runtime sends a terminal's master end.
struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    fn new(bundle: &Bundle) -> Self {
        let path = bundle.path().join("console.sock");
        let _ = std::fs::remove_file(&path);
        Self { listener: UnixListener::bind(&path).unwrap(), path }
    }

    fn flag(&self) -> String {
        format!("--console-socket={}", self.path.display())
    }

    fn master(&self) -> File {
        let (socket, _) = self.listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        recvmsg(&socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
        let fd = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        File::from(fd.expect("the master end came"))
    }
}

/// All that is said until the other end closes.
fn read_all(master: &mut File) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    // EIO: the last slave was closed.
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        text.extend(&buffer[..count]);
    }
    String::from_utf8(text).unwrap().replace('\r', "")
}

fn terminal(text: &str) -> Bundle {
    let mut bundle = Bundle::script(text);
    bundle.config["process"]["terminal"] = json!(true);
    bundle
}

#[test]
fn the_terminal_goes_to_the_console_socket() {
    let mut bundle = terminal(
        "tty; stty size; for f in 0 1 2; do [ -t $f ] && echo $f; done; \
         stat -c '%t %u' /dev/console; cut -d' ' -f7 /proc/self/stat; read x; echo got $x",
    );
    bundle.config["process"]["consoleSize"] = json!({"height": 33, "width": 99});
    let socket = ConsoleSocket::new(&bundle);
    bundle.create_with(&[&socket.flag()]).ok();
    let mut master = socket.master();
    bundle.start().ok();
    master.write_all(b"typed\n").unwrap();
    let text = read_all(&mut master);
    let lines: Vec<&str> = text.lines().filter(|line| *line != "typed").collect();
    assert_eq!(lines[..5], ["/dev/pts/0", "33 99", "0", "1", "2"], "{text}");
    assert_eq!(lines[5], "88 0", "/dev/console is a pseudo-terminal");
    assert_ne!(lines[6], "0", "it has a controlling terminal");
    assert_eq!(lines[7], "got typed");
}

#[test]
fn the_terminal_belongs_to_the_user() {
    let mut bundle = terminal("stat -c %u $(tty); echo x > /dev/console");
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    let socket = ConsoleSocket::new(&bundle);
    bundle.create_with(&[&socket.flag()]).ok();
    let mut master = socket.master();
    bundle.start().ok();
    assert_eq!(read_all(&mut master), "1000\nx\n");
}

#[test]
fn a_terminal_works_in_a_user_namespace() {
    let mut bundle = terminal("tty; stat -c %u $(tty)");
    bundle.user_namespace(200_000);
    let socket = ConsoleSocket::new(&bundle);
    bundle.create_with(&[&socket.flag()]).ok();
    let mut master = socket.master();
    bundle.start().ok();
    assert_eq!(read_all(&mut master), "/dev/pts/0\n0\n");
}

#[test]
fn typed_signals_reach_the_program() {
    let bundle =
        terminal("trap 'echo interrupted; exit 0' INT; echo ready; while :; do usleep 20000; done");
    let socket = ConsoleSocket::new(&bundle);
    bundle.create_with(&[&socket.flag()]).ok();
    let mut master = socket.master();
    bundle.start().ok();
    let mut start = [0; 7];
    master.read_exact(&mut start).unwrap();
    master.write_all(&[3]).unwrap();
    assert!(read_all(&mut master).contains("interrupted"));
    bundle.await_status("stopped");
}

#[test]
fn exec_gets_a_terminal_of_its_own() {
    let bundle = Bundle::sleeper();
    bundle.started();
    let socket = ConsoleSocket::new(&bundle);
    let flag = socket.flag();
    let flags = ["--tty", "--detach", &flag];
    bundle.exec_with(&flags, &["sh", "-c", "tty; [ -t 0 ] && echo terminal"]).ok();
    assert_eq!(read_all(&mut socket.master()), "/dev/pts/0\nterminal\n");
}

#[test]
fn in_the_foreground_output_goes_to_the_callers_terminal() {
    let bundle = terminal("tty; stty size; exit 6");
    bundle.write_config();
    let path = bundle.path().to_str().unwrap();
    let inner = bundle.command(&["run", "-b", path, &bundle.id]);
    let mut words = vec![inner.get_program().to_str().unwrap().to_owned()];
    words.extend(inner.get_args().map(|arg| arg.to_str().unwrap().to_owned()));
    let mut command = std::process::Command::new("script");
    let line = format!("stty rows 41 cols 77; {}", words.join(" "));
    command.args(["-qec", &line, "/dev/null"]).stdin(std::process::Stdio::null());
    let ended = bundle.finish(command);
    assert_eq!(ended.code(), 6, "{}", ended.stdout());
    let text = ended.stdout().replace('\r', "");
    assert!(text.contains("/dev/pts/0\n") && text.contains("41 77\n"), "{text}");
}

#[test]
fn a_terminal_without_a_way_out_is_refused() {
    let bundle = terminal("true");
    bundle.create().refused(&["console socket"]);
    bundle.create_with(&["--console-socket=/no/such/socket"]).refused(&["/no/such/socket"]);
    let plain = Bundle::new();
    plain.create_with(&["--console-socket=/no/such/socket"]).refused(&["console socket"]);
    eventually("nothing", || !plain.state_dir().exists());
}
