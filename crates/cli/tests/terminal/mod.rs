//! A program on a pseudo-terminal.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Runs `command` with standard error on a terminal of 100 columns, standard
/// output in a pipe. Exit code, standard output, and what the terminal got.
pub(crate) fn run(mut command: Command) -> (i32, String, String) {
    let (master, slave) = pair(40, 100);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::from(slave)).spawn().unwrap();
    // The command holds the other side too.
    drop(command);
    let reader = std::thread::spawn(move || {
        let (mut master, mut seen, mut buffer) = (File::from(master), Vec::new(), [0; 4096]);
        // The last one to close the other side makes reading fail.
        while let Ok(count @ 1..) = master.read(&mut buffer) {
            seen.extend_from_slice(&buffer[..count]);
        }
        seen
    });
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let code = child.wait().unwrap().code().unwrap_or(-1);
    let seen = String::from_utf8(reader.join().unwrap()).unwrap();
    (code, stdout, seen)
}

/// Both sides of a new pseudo-terminal, ours first.
fn pair(rows: u16, columns: u16) -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    (master, rustix::fs::open(name, flags, Mode::empty()).unwrap())
}

/// A shell somewhere behind `command`, whose controlling terminal this is.
pub(crate) struct Session {
    child: Child,
    terminal: File,
    seen: String,
}

impl Session {
    /// Starts `command`, which runs a shell in the end.
    pub(crate) fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let (master, slave) = pair(rows, columns);
        let mut leader = Command::new("setsid");
        leader.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            leader.env(name, value.unwrap_or_default());
        }
        let side = || Stdio::from(slave.try_clone().unwrap());
        let child = leader.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        Self { child, terminal: File::from(master), seen: String::new() }
    }

    /// As if its user pulled at the window.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).unwrap();
    }

    /// Types `text`.
    pub(crate) fn write(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `text` has come; what came before it.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.seen.contains(text) {
            assert!(Instant::now() < end, "no {text:?} in {:?}", self.seen);
            let mut fds = [PollFd::new(&self.terminal, PollFlags::IN)];
            if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 })).unwrap() == 0 {
                continue;
            }
            let mut buffer = [0; 4096];
            let count = self.terminal.read(&mut buffer).unwrap_or_default();
            assert!(count > 0, "the end instead of {text:?}, after {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        let at = self.seen.find(text).unwrap();
        let before = self.seen[..at].to_owned();
        self.seen.drain(..at + text.len());
        before
    }

    /// What the shell says its window's size is.
    pub(crate) fn size(&mut self) -> String {
        // What is typed is echoed, but does not match.
        self.write("echo be''gin; stty size; echo e''nd\n");
        self.expect("begin\r\n");
        self.expect("\r\nend\r\n").trim().to_owned()
    }

    /// Waits for the end of what runs on it.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it goes on; seen: {:?}", self.seen);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
