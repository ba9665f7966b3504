//! Running a program to its end.

use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use caisson_shim::client::{ClientError, Container, ExecStdio};
use caisson_sys::process_stat::ProcessStat;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::descendants;
use super::streams::{new_pipe, null};
use crate::pods::session::{Abandon, EXEC_OUTPUT_LIMIT, ExecOutput};
use crate::pods::{PodError, Pods};
use crate::signals;

/// How long output is waited for that somebody else may still write, once the
/// program has ended.
const DRAIN: Duration = Duration::from_secs(1);

/// How long it may go unnoticed that nobody waits any more.
const UNHEARD: Duration = Duration::from_millis(100);

/// How long a killed program may take to die.
const DYING: Duration = Duration::from_secs(10);

impl Pods {
    /// Runs a program to its end; kills it once `timeout` is over, or `abandon` is
    /// set, with all that it started: its descendants, and who is in its session.
    /// Of each stream the first 16 MiB are kept.
    ///
    /// # Errors
    /// [`PodError::Deadline`]; [`PodError::Abandoned`]; [`PodError::State`] if the container does not
    /// run; why the program could not be executed.
    pub fn exec_sync(
        &self,
        id: &str,
        command: &[String],
        timeout: Option<Duration>,
        abandon: &Abandon,
    ) -> Result<ExecOutput, PodError> {
        // Beyond what the clock can tell is never.
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (entry, container) = self.running(id, "run a program in container")?;
        let process = self.exec_process(&entry, command, false)?;
        let null = null()?;
        let (stdout, their_stdout) = new_pipe()?;
        let (stderr, their_stderr) = new_pipe()?;
        let streams = [null.as_fd(), their_stdout.as_fd(), their_stderr.as_fd()];
        let started = container.exec(process, ExecStdio::Streams(streams))?;
        drop((their_stdout, their_stderr));

        let waiter = wait_in_thread(container.clone(), started.exec)?;
        let mut reading = Reading::new(stdout, stderr);
        let exit = loop {
            if let Ok(exit) = waiter.try_recv() {
                break exit?;
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let late = left.is_some_and(|left| left.is_zero());
            if late || abandon.is_set() {
                kill(&container, started.exec, started.pid);
                let _ = waiter.recv_timeout(DYING);
                let (what, id) = ("a program".to_owned(), entry.id.clone());
                return Err(match late {
                    true => PodError::Deadline { what, id, limit: timeout.unwrap_or_default() },
                    false => PodError::Abandoned { what, id },
                });
            }
            // The end of the program shows by the end of its streams, most often.
            if reading.is_done() {
                let wait = left.unwrap_or(UNHEARD);
                if let Ok(exit) = waiter.recv_timeout(wait.min(UNHEARD)) {
                    break exit?;
                }
            } else {
                let tick = Duration::from_millis(20);
                reading.turn(left.map_or(tick, |left| left.min(tick)));
            }
        };
        let end = Instant::now() + DRAIN;
        while !reading.is_done() && Instant::now() < end {
            reading.turn(end.saturating_duration_since(Instant::now()));
        }
        let [stdout, stderr] = reading.kept;
        Ok(ExecOutput { stdout, stderr, exit_code: exit })
    }
}

type Exit = Result<i32, PodError>;

fn wait_in_thread(container: Container, exec: u64) -> Result<Receiver<Exit>, PodError> {
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new()
        .stack_size(128 * 1024)
        .spawn(move || {
            let exit = container.wait_exec(exec, None);
            // Nobody waits any more after a time-out.
            let _ = sender.send(exit.map(|exit| i32::from(exit.code)).map_err(PodError::from));
        })
        .map_err(|e| PodError::io("start a thread", e))?;
    Ok(receiver)
}

/// Kills the program and whatever it has started, but for what has taken leave
/// of both its parents and its session, as daemons do.
fn kill(container: &Container, exec: u64, pid: i32) {
    // The container's own, if the isolator makes no new one.
    let leads = ProcessStat::read(pid).is_some_and(|stat| stat.session == pid);
    let children = descendants::of(pid);
    match container.signal_exec(exec, signals::KILL) {
        Ok(()) | Err(ClientError::Fault(_)) => {}
        // With its supervisor it is gone as well.
        Err(_) => return,
    }
    for child in children {
        child.kill();
    }
    let end = Instant::now() + DYING;
    while leads && Instant::now() < end {
        // With its container they are gone as well.
        let Ok(there) = container.pids() else { return };
        let left = descendants::in_session(pid, &there);
        if left.is_empty() {
            return;
        }
        for process in left {
            process.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Two streams, as far as they have been read.
struct Reading {
    streams: [Option<std::fs::File>; 2],
    kept: [Vec<u8>; 2],
}

impl Reading {
    fn new(stdout: OwnedFd, stderr: OwnedFd) -> Self {
        Self { streams: [Some(stdout.into()), Some(stderr.into())], kept: [Vec::new(), Vec::new()] }
    }

    fn is_done(&self) -> bool {
        self.streams.iter().all(Option::is_none)
    }

    /// Takes what has come, or waits for it as long as `limit`.
    fn turn(&mut self, limit: Duration) {
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let ready: Vec<bool> = {
            let mut wanted: Vec<PollFd<'_>> =
                self.streams.iter().flatten().map(|s| PollFd::new(s, PollFlags::IN)).collect();
            if poll(&mut wanted, Some(&limit)).is_err() {
                return;
            }
            wanted.iter().map(|fd| !fd.revents().is_empty()).collect()
        };
        let mut ready = ready.into_iter();
        for (stream, kept) in self.streams.iter_mut().zip(&mut self.kept) {
            let Some(file) = stream else { continue };
            if !ready.next().unwrap_or(false) {
                continue;
            }
            let mut piece = [0; 64 * 1024];
            match file.read(&mut piece) {
                Ok(0) => *stream = None,
                Ok(length) => {
                    let room = EXEC_OUTPUT_LIMIT.saturating_sub(kept.len());
                    kept.extend_from_slice(piece.get(..length.min(room)).unwrap_or_default());
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => *stream = None,
            }
        }
    }
}
