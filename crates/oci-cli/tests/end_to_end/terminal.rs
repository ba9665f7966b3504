//! Terminals: the proxy in the foreground, the socket when detached.

use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::program::{AS_RUNTIME, Program};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("terminal::the_foreground_terminal_is_proxied", the_foreground_terminal_is_proxied),
    ("terminal::sizes_are_forwarded", sizes_are_forwarded),
    ("terminal::the_end_of_output_is_not_lost", the_end_of_output_is_not_lost),
    ("terminal::exec_has_a_terminal_too", exec_has_a_terminal_too),
    ("terminal::lines_into_a_pipe_have_no_carriage_returns", lines_into_a_pipe),
    ("terminal::a_detached_terminal_goes_to_the_socket", a_detached_terminal),
    ("terminal::without_a_terminal_the_refusal_is_clear", without_a_terminal),
];

/// A pseudo-terminal: master and slave.
pub(crate) fn pair() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = open(name.as_c_str(), flags, Mode::empty()).unwrap();
    (master, slave)
}

/// Takes one descriptor from a socket.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> OwnedFd {
    let mut payload = [0; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [std::io::IoSliceMut::new(&mut payload)];
    let got = rustix::net::recvmsg(socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC);
    assert!(got.unwrap().bytes > 0, "a descriptor needs a byte to travel with");
    let mut messages = control.drain();
    match messages.next() {
        Some(RecvAncillaryMessage::ScmRights(mut descriptors)) => descriptors.next().unwrap(),
        _ => panic!("no descriptor"),
    }
}

/// Somebody at a terminal who runs the command line.
struct Seat {
    master: File,
    slave: OwnedFd,
    child: Child,
    seen: String,
}

impl Seat {
    fn new(program: &Program, args: &[&str]) -> Self {
        let (master, slave) = pair();
        let size = Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let inner = program.command(args);
        let mut command = Command::new("setsid");
        command.arg("-c").arg(inner.get_program()).args(inner.get_args());
        command.env(AS_RUNTIME, "1").current_dir(&program.bundle);
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        Self { master: master.into(), slave, child, seen: String::new() }
    }

    /// Reads until `text` has been printed.
    fn expect(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let fds = &mut [rustix::event::PollFd::new(&self.master, rustix::event::PollFlags::IN)];
            let timeout = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
            let ready = rustix::event::poll(fds, Some(&timeout)).unwrap();
            assert!(ready > 0, "waiting for {text:?}, saw {:?}", self.seen);
            let count = self.master.read(&mut buffer).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    fn local_modes(&self) -> LocalModes {
        tcgetattr(&self.slave).unwrap().local_modes
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn the_foreground_terminal_is_proxied() {
    let script =
        "test -t 0 && test -t 1 && tty && stty size && read line && echo got-$line; exit 6";
    let program = Program::with(script, true);
    let mut seat = Seat::new(&program, &["run", "c1"]);
    let before = seat.local_modes();
    assert!(before.contains(LocalModes::ECHO));
    seat.expect("33 101\r\n");
    assert!(!seat.local_modes().intersects(LocalModes::ECHO | LocalModes::ICANON));
    seat.type_in("word\r");
    seat.expect("got-word\r\n");
    assert_eq!(seat.exit_code(), Some(6));
    assert!(seat.seen.contains("/dev/pts/") && !seat.seen.contains("\r\r"), "{:?}", seat.seen);
    assert_eq!(seat.local_modes(), before);
    assert!(!program.exists("c1"));
}

fn lines_into_a_pipe() {
    let program = Program::with("test -t 1 && echo one && echo two", true);
    let (_master, slave) = pair();
    let mut command = program.command(&["run", "c1"]);
    let stdio = || Stdio::from(slave.try_clone().unwrap());
    let output = command.stdin(stdio()).stderr(stdio()).stdout(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "one\ntwo\n");
}

fn sizes_are_forwarded() {
    let script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done";
    let program = Program::with(script, true);
    let mut seat = Seat::new(&program, &["run", "c1"]);
    seat.expect("ready");
    let size = Winsize { ws_row: 44, ws_col: 55, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&seat.master, size).unwrap();
    seat.expect("44 55");
    // Ctrl-C is a character for the container's terminal, not for this one.
    seat.type_in("\u{3}");
    assert_eq!(seat.exit_code(), Some(130));
    assert!(seat.local_modes().contains(LocalModes::ECHO));
}

fn the_end_of_output_is_not_lost() {
    for _ in 0..10 {
        let program = Program::with("seq 1 3000; echo the-end", true);
        let mut seat = Seat::new(&program, &["run", "c1"]);
        seat.expect("the-end\r\n");
        assert_eq!(seat.exit_code(), Some(0));
        assert!(seat.seen.contains("\r\n2999\r\n3000\r\n"));
    }
}

fn exec_has_a_terminal_too() {
    let program = Program::new("sleep 60");
    program.quiet_ok(&["run", "-d", "c1"]);
    let mut seat = Seat::new(&program, &["exec", "-t", "c1", "sh", "-c", "tty; stty size; exit 4"]);
    seat.expect("33 101");
    assert_eq!(seat.exit_code(), Some(4));
    assert!(seat.seen.contains("/dev/pts/"), "{:?}", seat.seen);
}

fn a_detached_terminal() {
    let program =
        Program::with("stty -echo; echo ready; read line; echo got-$line; sleep 60", true);
    let path = program.path("console.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    program.quiet_ok(&["create", "--console-socket", path.to_str().unwrap(), "c1"]);
    let (stream, _) = listener.accept().unwrap();
    let mut master = File::from(receive(stream.as_fd()));
    program.ok(&["start", "c1"]);
    let mut seen = String::new();
    let mut expect = |master: &mut File, text: &str| {
        let mut buffer = [0; 256];
        while !seen.contains(text) {
            let count = master.read(&mut buffer).unwrap();
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    expect(&mut master, "ready");
    master.write_all(b"word\n").unwrap();
    expect(&mut master, "got-word");
}

fn without_a_terminal() {
    let program = Program::with("true", true);
    let inner = program.command(&["run", "c1"]);
    let mut command = Command::new("setsid");
    command.arg("-w").arg(inner.get_program()).args(inner.get_args());
    command.env(AS_RUNTIME, "1").current_dir(&program.bundle).stdin(Stdio::null());
    let output = command.output().unwrap();
    let complaint = super::program::stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("open /dev/tty"), "{complaint}");
    assert!(!program.exists("c1"));
}
