//! Running a program of the host: what it says is limited in length, and how
//! long it takes in time.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// Where programs of an administrator lie, even if a user's `PATH` lacks them.
const SBIN: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// Why a program's run came to nothing. What a failing exit status means is
/// left to the caller.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is nowhere.
    #[error("{0} is not installed (looked in PATH, /usr/local/sbin, /usr/sbin, /sbin)")]
    Missing(String),
    /// It can't be started.
    #[error("can't start {program}: {cause}")]
    Start {
        /// Its path.
        program: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// It was killed.
    #[error("{program} did not end within {seconds} s and was killed")]
    Deadline {
        /// Its path.
        program: PathBuf,
        /// The limit.
        seconds: u64,
    },
    /// It was killed.
    #[error("{program} printed more than {limit} bytes and was killed")]
    TooLong {
        /// Its path.
        program: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// Talking to it failed.
    #[error("can't talk to {program}: {cause}")]
    Talk {
        /// Its path.
        program: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// A program to run to its end.
#[derive(Clone, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [OsString],
    /// All that stands in its environment; `PATH` alone without.
    pub(crate) environment: &'a [(&'a str, OsString)],
    pub(crate) input: &'a [u8],
    /// Its standard input, instead of a pipe that brings `input`.
    pub(crate) stdin: Option<BorrowedFd<'a>>,
    pub(crate) deadline: Duration,
    /// Longest output; of what it says on standard error the end is cut off.
    pub(crate) max_output: usize,
    pub(crate) max_errors: usize,
}

/// What a program left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
}

/// The file of this program, by `PATH` and the folders of administrators.
pub(crate) fn find(name: &str) -> Result<PathBuf, ProgramError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(SBIN.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
        .ok_or_else(|| ProgramError::Missing(name.to_owned()))
}

/// Whether this is a file that somebody may execute.
pub(crate) fn is_executable(file: &Path) -> bool {
    let executable =
        |data: std::fs::Metadata| data.is_file() && data.permissions().mode() & 0o111 != 0;
    std::fs::metadata(file).is_ok_and(executable)
}

/// The environment of programs that need none.
pub(crate) fn plain_environment() -> [(&'static str, OsString); 2] {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    [("PATH", path.into()), ("LC_ALL", "C".into())]
}

/// Starts a program that is to go on, in a process group of its own.
pub(crate) fn start(
    program: &Path,
    arguments: &[OsString],
    [stdin, stdout, stderr]: [OwnedFd; 3],
) -> Result<Child, ProgramError> {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(plain_environment())
        .current_dir("/")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(|cause| ProgramError::Start { program: program.to_owned(), cause })
}

/// Output that is kept up to a limit.
struct Collected<R> {
    source: Option<R>,
    bytes: Vec<u8>,
    limit: usize,
    overflow: bool,
}

impl<R: Read> Collected<R> {
    fn new(source: Option<R>, limit: usize) -> Self {
        Self { source, bytes: Vec::new(), limit, overflow: false }
    }

    /// Takes what there is, without waiting.
    fn drain(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        while let Some(source) = &mut self.source {
            match source.read(&mut chunk) {
                Ok(0) => self.source = None,
                Ok(length) => {
                    let room = self.limit.saturating_sub(self.bytes.len());
                    self.overflow |= length > room;
                    self.bytes.extend(chunk.get(..length.min(room)).unwrap_or_default());
                    if self.overflow {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Kills the group of a child that was not waited for, and waits.
struct Reaper(Child);

impl Drop for Reaper {
    fn drop(&mut self) {
        // It leads a group of its own; with it go those that it started.
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw)
            && matches!(self.0.try_wait(), Ok(None))
        {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

impl Run<'_> {
    /// Runs the program to its end, or kills it and all that it started at the
    /// deadline or when it says too much.
    pub(crate) fn finish(&self) -> Result<Finished, ProgramError> {
        let program = || self.program.to_owned();
        let stdin = self.stdin.map(|fd| fd.try_clone_to_owned().map(Stdio::from));
        let stdin = stdin
            .transpose()
            .map_err(|cause| ProgramError::Start { program: program(), cause })?
            .unwrap_or_else(Stdio::piped);
        let child = Command::new(self.program)
            .args(self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|cause| ProgramError::Start { program: program(), cause })?;
        let mut child = Reaper(child);
        let (output, errors) = self.talk(&mut child.0).map_err(|cause| match cause {
            Stop::Io(cause) => ProgramError::Talk { program: program(), cause },
            Stop::Deadline => {
                ProgramError::Deadline { program: program(), seconds: self.deadline.as_secs() }
            }
            Stop::TooLong => ProgramError::TooLong { program: program(), limit: self.max_output },
        })?;
        let status =
            child.0.wait().map_err(|cause| ProgramError::Talk { program: program(), cause })?;
        let errors = String::from_utf8_lossy(&errors).trim().to_owned();
        Ok(Finished { status, output, errors })
    }

    /// Feeds and reads until the program has ended.
    fn talk(&self, child: &mut Child) -> Result<(Vec<u8>, Vec<u8>), Stop> {
        let end = Instant::now() + self.deadline;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let (mut input, mut rest) = (child.stdin.take(), self.input);
        let mut output = Collected::new(child.stdout.take(), self.max_output);
        let mut errors = Collected::new(child.stderr.take(), self.max_errors);
        if let Some(pipe) = &input {
            unblock(pipe)?;
        }
        if let Some(pipe) = &output.source {
            unblock(pipe)?;
        }
        if let Some(pipe) = &errors.source {
            unblock(pipe)?;
        }
        loop {
            if rest.is_empty() {
                input = None;
            }
            let ended = {
                let mut wanted = vec![PollFd::new(&process, PollFlags::IN)];
                wanted.extend(input.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
                wanted.extend(output.source.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
                wanted.extend(errors.source.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
                let left = end.saturating_duration_since(Instant::now());
                let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
                match poll(&mut wanted, Some(&left)) {
                    Ok(0) => return Err(Stop::Deadline),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
                wanted.first().is_some_and(|process| !process.revents().is_empty())
            };
            if let Some(pipe) = &mut input {
                match pipe.write(rest) {
                    Ok(length) => rest = rest.get(length..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // It does not want to read more: its own affair.
                    Err(_) => input = None,
                }
            }
            output.drain().map_err(Stop::Io)?;
            errors.drain().map_err(Stop::Io)?;
            if output.overflow {
                return Err(Stop::TooLong);
            }
            if errors.overflow {
                // What was said first is what matters.
                errors.source = None;
            }
            if ended {
                return Ok((output.bytes, errors.bytes));
            }
        }
    }
}

enum Stop {
    Io(io::Error),
    Deadline,
    TooLong,
}

impl From<Errno> for Stop {
    fn from(cause: Errno) -> Self {
        Self::Io(cause.into())
    }
}

fn unblock(pipe: impl std::os::fd::AsFd) -> Result<(), Errno> {
    let flags = fcntl_getfl(pipe.as_fd())?;
    fcntl_setfl(pipe.as_fd(), flags | OFlags::NONBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &[u8], deadline: Duration) -> Result<Finished, ProgramError> {
        Run {
            program: Path::new("/bin/sh"),
            arguments: &["-c".into(), script.into()],
            environment: &plain_environment(),
            input,
            stdin: None,
            deadline,
            max_output: 1024,
            max_errors: 10,
        }
        .finish()
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn input_and_output_pass() {
        let big = vec![b'x'; 300_000];
        let done = shell("wc -c; echo 123456789012345 >&2; exit 3", &big, LONG).unwrap();
        assert_eq!(done.output, b"300000\n");
        assert_eq!(done.errors, "1234567890");
        assert_eq!(done.status.code(), Some(3));
        let done = shell("exec true", &big, LONG).unwrap();
        assert!(done.status.success());
    }

    #[test]
    fn endless_programs_are_killed() {
        let start = Instant::now();
        let error = shell("sleep 100 & sleep 100", b"", Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error, ProgramError::Deadline { .. }), "{error}");
        let error = shell("yes", b"", LONG).unwrap_err();
        assert!(matches!(error, ProgramError::TooLong { limit: 1024, .. }), "{error}");
        shell("yes >&2 & exit 0", b"", LONG).unwrap();
        // What a program leaves behind may keep the pipes; nobody waits for it.
        shell("sleep 2 & exit 0", b"", LONG).unwrap();
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn missing_programs_are_named() {
        let error = find("no-such-program-of-ours").unwrap_err();
        assert!(error.to_string().contains("no-such-program-of-ours"), "{error}");
        assert!(find("sh").unwrap().is_absolute());
    }
}
