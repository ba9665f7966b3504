//! What is said when the kernel itself has a bug, and how its process ends then.
//!
//! By default a thread that panics would ask the host for more than the wall lets pass, and
//! end by its filter, with nothing said. Here it says one thing, by calls that the wall has,
//! and ends the process with a status that is known.

use std::cell::Cell;
use std::fmt::{Display, Write as _};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use caisson_sys::clone::exit_now;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::stderr;

use crate::syscalls::call_name;
use crate::task::{Pid, Thread};

/// With what a process ends that has panicked: `EX_SOFTWARE` of sysexits(3).
pub const STATUS: u8 = 70;
/// Bytes of a report, which is written at once: what a pipe that can be written to takes.
const MOST: usize = 4096;
/// Characters of a message, which may quote what a guest said.
const MOST_OF_MESSAGE: usize = 1000;

/// On whose behalf a thread is at work.
#[derive(Clone, Copy)]
struct Client {
    pid: Pid,
    tid: Pid,
    /// The call that it makes.
    number: Option<u64>,
}

thread_local! {
    static CLIENT: Cell<Option<Client>> = const { Cell::new(None) };
}

/// The calling thread is at work for another one until this is dropped.
#[must_use]
pub(crate) struct Serving(Option<Client>);

impl Drop for Serving {
    fn drop(&mut self) {
        CLIENT.set(self.0);
    }
}

/// The calling thread serves `thread`, which makes the call `number`, or reports something else.
pub(crate) fn serving(thread: &Thread, number: Option<u64>) -> Serving {
    let client = Client { pid: thread.process.pid, tid: thread.tid, number };
    Serving(CLIENT.replace(Some(client)))
}

/// From now on a panic of any thread is reported on the standard error stream, as one of the
/// container `name`'s kernel, and ends the process with [`STATUS`].
pub fn install(name: Option<&str>) {
    let name = name.map(str::to_owned);
    provoked::arm();
    std::panic::set_hook(Box::new(move |info| {
        static PANICKED: AtomicBool = AtomicBool::new(false);
        while PANICKED.swap(true, Ordering::SeqCst) {
            // Another thread is about to end the process.
            std::thread::sleep(Duration::from_secs(1));
        }
        say(&report(name.as_deref(), info));
        exit_now(STATUS)
    }));
}

/// From now on a panic ends the process with [`STATUS`]. For one that has nobody to tell.
pub(crate) fn end_quietly() {
    std::panic::set_hook(Box::new(|_| exit_now(STATUS)));
}

fn report(name: Option<&str>, info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("no message");
    text(name, message, info.location().map(|place| place as &dyn Display), CLIENT.get())
}

fn text(
    name: Option<&str>,
    message: &str,
    place: Option<&dyn Display>,
    client: Option<Client>,
) -> String {
    let whose = match name {
        Some(name) => format!("container {name}"),
        None => "this sandbox".to_owned(),
    };
    let mut text = format!(
        "caisson-sentry: the kernel of {whose} has panicked, and ends with status {STATUS}. This \
         is a bug of Caisson's: please report it. The host and other sandboxes are not affected.\n\
         caisson-sentry:   what: "
    );
    // Neither lines nor sequences of a terminal's that a guest has chosen.
    let plain = message.chars().map(|c| if c.is_control() { '?' } else { c });
    text.extend(plain.take(MOST_OF_MESSAGE));
    let _ = match place {
        Some(place) => write!(text, "\ncaisson-sentry:   where: {place}"),
        None => write!(text, "\ncaisson-sentry:   where: not known"),
    };
    let _ = match client {
        Some(Client { pid, tid, number: Some(number) }) => {
            let name = call_name(number).unwrap_or("one without a name");
            write!(text, ", serving call {number} ({name}) of process {pid}, thread {tid}")
        }
        Some(Client { pid, tid, number: None }) => {
            write!(text, ", serving process {pid}, thread {tid}")
        }
        None => write!(text, ", in a thread that served nobody"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(text, "\ncaisson-sentry:   version: {version}");
    text
}

/// Writes it, but does not wait long for who does not read.
fn say(text: &str) {
    const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
    let bytes = text.as_bytes();
    let bytes = bytes.get(..MOST).unwrap_or(bytes);
    let mut sink = [PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)];
    loop {
        match poll(&mut sink, Some(&PATIENCE)) {
            Err(Errno::INTR) => {}
            Ok(1..) => {
                let _ = rustix::io::write(stderr(), bytes);
                return;
            }
            Ok(0) | Err(_) => return,
        }
    }
}

/// Bugs that tests ask for. In what is built for use there is no such thing.
pub(crate) mod provoked {
    /// Set when a sandbox is made: its kernel panics at [`NUMBER`].
    #[cfg(debug_assertions)]
    const VARIABLE: &str = "CAISSON_SENTRY_PROVOKED_PANIC";
    /// A call that Linux does not have.
    #[cfg(debug_assertions)]
    const NUMBER: u64 = 4999;
    #[cfg(debug_assertions)]
    static ARMED: super::AtomicBool = super::AtomicBool::new(false);

    #[cfg(debug_assertions)]
    pub(super) fn arm() {
        let armed = std::env::var_os(VARIABLE).is_some();
        ARMED.store(armed, super::Ordering::SeqCst);
    }

    #[cfg(not(debug_assertions))]
    pub(super) fn arm() {}

    /// A guest makes a call that is not there.
    #[cfg(debug_assertions)]
    pub(crate) fn by(number: u64) {
        let armed = number == NUMBER && ARMED.load(super::Ordering::SeqCst);
        assert!(!armed, "a test has asked\nfor it");
    }

    #[cfg(not(debug_assertions))]
    pub(crate) fn by(_number: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_where_and_for_whom() {
        let place = std::panic::Location::caller();
        let client = Client { pid: 12, tid: 13, number: Some(257) };
        let said = text(Some("web"), "odd\x1b[2J", Some(place), Some(client));
        assert!(said.contains("the kernel of container web has panicked"), "{said}");
        assert!(said.contains("a bug of Caisson's"), "{said}");
        assert!(said.contains("what: odd?[2J\n"), "{said}");
        let served = format!("where: {place}, serving call 257 (openat) of process 12, thread 13");
        assert!(said.contains(&served), "{said}");
        assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
        let said = text(None, &"x".repeat(100_000), None, None);
        assert!(said.len() < 2 * MOST_OF_MESSAGE && said.len() < MOST, "{said}");
        assert!(said.contains("this sandbox") && said.contains("served nobody"), "{said}");
        let client = Client { number: Some(1 << 40), ..client };
        assert!(text(None, "", None, Some(client)).contains("one without a name"));
    }
}
