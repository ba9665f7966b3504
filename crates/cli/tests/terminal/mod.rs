//! A program on a pseudo-terminal.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Runs `command` with standard error on a terminal of 100 columns, standard
/// output in a pipe. Exit code, standard output, and what the terminal got.
pub(crate) fn run(mut command: Command) -> (i32, String, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::from(File::from(slave))).spawn().unwrap();
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
