//! Running the runtime's program: one call at a time, each with an end.
//!
//! The program is a child that dies with its caller. Its words are capped, and
//! its time is limited: when that is up it is killed.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use caisson_sys::exec::{StringArray, execve};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpid, getppid, pidfd_send_signal,
    set_parent_process_death_signal, waitid,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::process::timespec;

/// So much of an answer is read; a runtime that says more is not trusted.
const LONGEST_ANSWER: usize = 1 << 20;
/// So much a program can be given to read: what a pipe holds.
pub const LONGEST_INPUT: usize = 64 << 10;
/// Variables of ours that a runtime gets. Not `NOTIFY_SOCKET` or `LISTEN_FDS`,
/// by which a runtime would give the container what is meant for us.
const VARIABLES: [&str; 6] =
    ["PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "TMPDIR", "LANG"];
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io<'a> {
    /// These bytes, at most [`LONGEST_INPUT`]; what it writes is the answer.
    Answer(&'a [u8]),
    /// The caller's standard streams, which become the container's.
    Inherit,
}

/// A call.
#[derive(Debug)]
pub struct Call<'a> {
    /// The program, absolute.
    pub program: &'a Path,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables besides those of the caller that any program gets.
    pub variables: Vec<(&'static str, String)>,
    /// Where it works; `None`: where the caller does.
    pub directory: Option<&'a Path>,
    /// Its streams.
    pub io: Io<'a>,
    /// How many descriptors from 3 upwards it inherits.
    pub preserve_fds: u32,
    /// How long it may take.
    pub patience: Duration,
}

/// What a program did.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it wrote of errors.
    pub stderr: Vec<u8>,
}

/// Why a program has not come to an end of its own.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It can't be executed.
    #[error("execute {program:?}: {cause}")]
    Execute {
        /// The program.
        program: PathBuf,
        /// Why.
        cause: String,
    },
    /// Something else failed.
    #[error("{step}: {cause}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        cause: String,
    },
    /// So many seconds were not enough.
    #[error("it did not end within {0} seconds and was killed")]
    TimeOut(u64),
    /// It says more than anybody reads.
    #[error("its answer is longer than 1 MiB, and it was killed")]
    TooLong,
    /// What [`Watch::react`] said.
    #[error("{0}")]
    Watched(String),
}

/// Something else to wait for while the program runs.
pub trait Watch {
    /// Readable when there is something to do; none if there is nothing more.
    fn source(&self) -> Option<BorrowedFd<'_>>;

    /// Does it; an error ends the program.
    fn react(&mut self) -> Result<(), String>;
}

/// Nothing else is waited for.
pub struct NoWatch;

impl Watch for NoWatch {
    fn source(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn react(&mut self) -> Result<(), String> {
        Ok(())
    }
}

impl Call<'_> {
    /// Runs it to its end. The caller has a single thread.
    pub fn run(&self, watch: &mut dyn Watch) -> Result<Ended, ProgramError> {
        let step = |step| move |e: Errno| ProgramError::Step { step, cause: e.to_string() };
        let image = self.image()?;
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(step("make a pipe"));
        let (failure, fails) = pipe()?;
        let (ours, theirs) = match self.io {
            Io::Inherit => (None, None),
            Io::Answer(input) => {
                let ((out, to_out), (err, to_err)) = (pipe()?, pipe()?);
                (Some([out, err]), Some([given(input)?, to_out, to_err]))
            }
        };
        let parent = getpid();
        let forked = clone3(CloneFlags::empty(), None)
            .map_err(|e| ProgramError::Step { step: "fork", cause: e.to_string() })?;
        let pidfd = match forked {
            Side::Child => self.become_program(&image, parent, theirs.as_ref(), &fails),
            Side::Parent { pidfd, .. } => pidfd,
        };
        drop((theirs, fails));
        let mut run = Run { pidfd, stdout: None, stderr: None };
        if let Some([out, err]) = ours {
            run.stdout = Some(Reader::new(out));
            run.stderr = Some(Reader::new(err));
        }
        let outcome = run.see_it_executed(&failure, self.program).and_then(|()| {
            let until = Instant::now() + self.patience;
            run.wait(until, self.patience, watch)
        });
        match outcome {
            Ok(status) => Ok(run.ended(&status)),
            Err(error) => {
                let _ = pidfd_send_signal(&run.pidfd, Signal::KILL);
                let _ = reap(&run.pidfd);
                Err(error)
            }
        }
    }

    fn image(&self) -> Result<(CString, StringArray, StringArray), ProgramError> {
        let fail = |what: &str| ProgramError::Execute {
            program: self.program.to_owned(),
            cause: format!("{what} holds a NUL byte"),
        };
        let path =
            CString::new(self.program.as_os_str().as_bytes()).map_err(|_| fail("its path"))?;
        let mut args = vec![path.clone()];
        for arg in &self.args {
            args.push(CString::new(arg.as_str()).map_err(|_| fail("an argument"))?);
        }
        let mut env: Vec<CString> = VARIABLES
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
            .filter_map(|(name, value)| {
                CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
            })
            .collect();
        if std::env::var_os("PATH").is_none() {
            env.extend(CString::new(DEFAULT_PATH));
        }
        for (name, value) in &self.variables {
            env.push(CString::new(format!("{name}={value}")).map_err(|_| fail("a variable"))?);
        }
        Ok((path, StringArray::new(args), StringArray::new(env)))
    }

    /// In the child.
    fn become_program(
        &self,
        (path, args, env): &(CString, StringArray, StringArray),
        parent: Pid,
        streams: Option<&[OwnedFd; 3]>,
        fails: &OwnedFd,
    ) -> ! {
        let prepare = || -> Result<(), std::io::Error> {
            // What it has made by then, its caller's survivors remove.
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != Some(parent) {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            if let Some(directory) = self.directory {
                rustix::process::chdir(directory)?;
            }
            if let Some([input, out, err]) = streams {
                dup2_stdin(input)?;
                dup2_stdout(out)?;
                dup2_stderr(err)?;
            }
            caisson_sys::signals::unblock_all()?;
            caisson_sys::signal_fd::restore_default_action(Signal::PIPE.as_raw())?;
            caisson_sys::descriptors::close_on_exec_from(3_u32.saturating_add(self.preserve_fds))
        };
        let error = match prepare() {
            Ok(()) => execve(path, args, env),
            Err(error) => error,
        };
        let _ = rustix::io::write(fails, error.to_string().as_bytes());
        exit_now(127);
    }
}

/// A descriptor from which these bytes can be read, and nothing more.
fn given(input: &[u8]) -> Result<OwnedFd, ProgramError> {
    let step = |e: Errno| ProgramError::Step { step: "give it its input", cause: e.to_string() };
    if input.is_empty() {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        return rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).map_err(step);
    }
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(step)?;
    let written = retry_on_intr(|| rustix::io::write(&write, input)).map_err(step)?;
    ioctl_fionbio(&read, false).map_err(step)?;
    match written == input.len() {
        true => Ok(read),
        false => Err(step(Errno::NOBUFS)),
    }
}

/// A program at work.
struct Run {
    pidfd: OwnedFd,
    stdout: Option<Reader>,
    stderr: Option<Reader>,
}

impl Run {
    /// The pipe closes on execve(2); else it says why that failed.
    fn see_it_executed(&self, failure: &OwnedFd, program: &Path) -> Result<(), ProgramError> {
        let mut words = [0_u8; 256];
        let length = retry_on_intr(|| rustix::io::read(failure, &mut words));
        match length {
            Ok(0) => Ok(()),
            Ok(length) => Err(ProgramError::Execute {
                program: program.to_owned(),
                cause: String::from_utf8_lossy(words.get(..length).unwrap_or_default()).into(),
            }),
            Err(e) => Err(ProgramError::Step { step: "see it executed", cause: e.to_string() }),
        }
    }

    fn wait(
        &mut self,
        until: Instant,
        patience: Duration,
        watch: &mut dyn Watch,
    ) -> Result<WaitIdStatus, ProgramError> {
        let step = |e: Errno| ProgramError::Step { step: "wait for it", cause: e.to_string() };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let readers = || [&self.stdout, &self.stderr].into_iter().flatten();
            let mut wanted = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
            wanted.extend(
                readers()
                    .filter_map(Reader::source)
                    .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
            );
            let watches = watch.source().is_some();
            wanted.extend(watch.source().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            match poll(&mut wanted, timespec(left).as_ref()) {
                Ok(0) => return Err(ProgramError::TimeOut(patience.as_secs())),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(step(error)),
            }
            let ready = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| !fd.revents().is_empty());
            let ended = ready(wanted.first());
            let watched = watches && ready(wanted.last());
            drop(wanted);
            for reader in [&mut self.stdout, &mut self.stderr].into_iter().flatten() {
                reader.read()?;
            }
            if watched {
                watch.react().map_err(ProgramError::Watched)?;
            }
            if ended {
                return reap(&self.pidfd).map_err(step)?.ok_or(ProgramError::Step {
                    step: "wait for it",
                    cause: "its status is lost".to_owned(),
                });
            }
        }
    }

    fn ended(self, status: &WaitIdStatus) -> Ended {
        let text = |reader: Option<Reader>| reader.map(|reader| reader.text).unwrap_or_default();
        Ended {
            code: status.exit_status(),
            signal: status.terminating_signal(),
            stdout: text(self.stdout),
            stderr: text(self.stderr),
        }
    }
}

fn reap(pidfd: &OwnedFd) -> Result<Option<WaitIdStatus>, Errno> {
    retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))
}

/// One stream of a program's answer.
struct Reader {
    pipe: Option<OwnedFd>,
    text: Vec<u8>,
}

impl Reader {
    fn new(pipe: OwnedFd) -> Self {
        let _ = ioctl_fionbio(&pipe, true);
        Self { pipe: Some(pipe), text: Vec::new() }
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(OwnedFd::as_fd)
    }

    /// Reads all that is there now: whoever else holds the other end open does
    /// not hang us.
    fn read(&mut self) -> Result<(), ProgramError> {
        let mut buffer = [0_u8; 8192];
        while let Some(pipe) = &self.pipe {
            match retry_on_intr(|| rustix::io::read(pipe, &mut buffer)) {
                Ok(count @ 1..) => {
                    self.text.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    if self.text.len() > LONGEST_ANSWER {
                        return Err(ProgramError::TooLong);
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Ok(0) | Err(_) => self.pipe = None,
            }
        }
        Ok(())
    }
}

impl Ended {
    /// Whether it says that it has done what it was told.
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// How it ended, for people.
    pub fn how(&self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "ended in an unknown way".to_owned(),
        }
    }
}
