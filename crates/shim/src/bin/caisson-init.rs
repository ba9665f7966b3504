//! `caisson-init`: process 1 of a container that does not bring its own.
//!
//! Runs a program, passes signals on to it, reaps what is orphaned, and ends
//! as the program does. With `--pause` it runs none: it holds a PID namespace
//! that several containers share, reaps, and ends when it is told to.
#![no_main]

use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use caisson_sys::clone::{Side, exit_now, fork};
use caisson_sys::exec::{StringArray, execve};
use caisson_sys::signal_fd::{SignalFd, SignalMask, restore_default_action};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, setpgid, wait};
use rustix::stdio::stdin;
use rustix::termios::{isatty, tcsetpgrp};

const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
const FAILED: u8 = 125;

fn say(message: &dyn std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "caisson-init: {message}");
}

fn run(args: Vec<OsString>) -> u8 {
    let mut args = args.into_iter().skip(1).peekable();
    if args.peek().is_some_and(|arg| arg == "--pause") {
        return match hold() {
            Ok(()) => 0,
            Err(error) => {
                say(&error);
                FAILED
            }
        };
    }
    if args.peek().is_some_and(|arg| arg == "--") {
        args.next();
    }
    let command: Vec<OsString> = args.collect();
    if command.is_empty() {
        say(&"usage: caisson-init [--] PROGRAM [ARGUMENT]..., or --pause");
        return FAILED;
    }
    match supervise(command) {
        Ok(code) => code,
        Err(error) => {
            say(&error);
            FAILED
        }
    }
}

/// Reaps until SIGTERM or SIGINT comes.
fn hold() -> std::io::Result<()> {
    let mask = SignalMask::sendable();
    mask.block()?;
    restore_default_action(Signal::CHILD.as_raw())?;
    let signals = SignalFd::new(&mask)?;
    loop {
        let mut wanted = [PollFd::new(&signals, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut wanted, None))?;
        while let Some(signal) = signals.take()? {
            if signal == Signal::TERM.as_raw() || signal == Signal::INT.as_raw() {
                return Ok(());
            }
            if signal == Signal::CHILD.as_raw() {
                while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
            }
        }
    }
}

fn supervise(command: Vec<OsString>) -> std::io::Result<u8> {
    let mask = SignalMask::sendable();
    mask.block()?;
    restore_default_action(Signal::CHILD.as_raw())?;
    let signals = SignalFd::new(&mask)?;
    let (pid, pidfd) = match fork()? {
        Side::Parent { pid, pidfd } => (pid, pidfd),
        Side::Child => exit_now(become_program(command)),
    };
    loop {
        let mut wanted = [PollFd::new(&signals, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut wanted, None))?;
        while let Some(signal) = signals.take()? {
            if signal == Signal::CHILD.as_raw() {
                if let Some(code) = reap(pid) {
                    return Ok(code);
                }
            } else if signal != Signal::TTIN.as_raw() && signal != Signal::TTOU.as_raw() {
                // It may have ended meanwhile.
                let _ = caisson_sys::signal_fd::send(std::os::fd::AsFd::as_fd(&pidfd), signal);
            }
        }
    }
}

/// Reaps all that have ended; the exit code if the program is among them.
fn reap(program: Pid) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == program {
            code = exit_code(status);
        }
    }
    code
}

fn exit_code(status: WaitStatus) -> Option<u8> {
    let byte = |number: i32| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
    let signal = || status.terminating_signal().map(|signal| byte(signal).saturating_add(128));
    status.exit_status().map(byte).or_else(signal)
}

/// In the child: a process group of its own, in the foreground of the terminal
/// if there is one; then the program.
fn become_program(command: Vec<OsString>) -> u8 {
    let own = getpid();
    if setpgid(None, None).is_ok() && isatty(stdin()) {
        // SIGTTOU, which this raises in a background group, is blocked.
        let _ = tcsetpgrp(stdin(), own);
    }
    let _ = caisson_sys::signals::unblock_all();
    let strings = |list: Vec<OsString>| -> Option<Vec<CString>> {
        list.into_iter().map(|text| CString::new(text.into_vec()).ok()).collect()
    };
    let name = command.first().cloned().unwrap_or_default();
    let environment = std::env::vars_os().map(|(mut key, value)| {
        key.push("=");
        key.push(value);
        key
    });
    let (Some(args), Some(env)) = (strings(command), strings(environment.collect())) else {
        return FAILED;
    };
    let (args, env) = (StringArray::new(args), StringArray::new(env));
    let mut worst = std::io::Error::from(std::io::ErrorKind::NotFound);
    for path in candidates(&name) {
        let error = execve(&path, &args, &env);
        if error.kind() != std::io::ErrorKind::NotFound {
            worst = error;
        }
    }
    say(&format!("execute {}: {worst}", name.display()));
    match worst.kind() {
        std::io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    }
}

/// Where a program of this name may be, as execvp(3) looks for it.
fn candidates(name: &OsString) -> Vec<CString> {
    let path = std::env::var_os("PATH")
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    let found: Vec<OsString> = if name.as_bytes().contains(&b'/') {
        vec![name.clone()]
    } else {
        std::env::split_paths(&path).map(|dir| dir.join(name).into_os_string()).collect()
    };
    found.into_iter().filter_map(|path| CString::new(path.into_vec()).ok()).collect()
}

caisson_sys::entry!(run);
