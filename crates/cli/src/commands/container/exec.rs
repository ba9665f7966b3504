//! `caisson exec`.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use caisson_node::oci_spec::ExecProcess;
use caisson_node::supervisor::{ExecStdio, Shim};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::isatty;

use super::program_args::ProgramArgs;
use super::pump::{self, Pump};
use super::streams::DetachKeys;
use super::terminal::stdin_is_terminal;
use crate::context::Context;
use crate::failure::Failure;

/// Run another program in a container that runs
#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    /// Leave it running in the background
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    program: ProgramArgs,
    /// Every capability
    #[arg(long)]
    privileged: bool,
    /// Keys that leave it running
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: DetachKeys,
    /// Name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Program and arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

impl Exec {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        let (view, shim) = engine.running(&self.container, "start it first")?;
        if self.program.tty && self.program.interactive && !self.detach && !stdin_is_terminal() {
            return Err(Failure::usage("-it wants a terminal, and standard input is none")
                .hint("leave out -t to pipe something in"));
        }
        let exec = ExecProcess {
            args: self.command.clone(),
            env: self.program.variables()?,
            working_dir: self.program.workdir.clone(),
            tty: self.program.tty,
            privileged: self.privileged,
        };
        let process = engine
            .exec_process(&view, &exec, self.program.user.as_deref())
            .map_err(|error| Failure::of_engine(error).with_code(126))?;
        if self.detach {
            let stdio = if self.program.tty { None } else { Some(ExecStdio::Null) };
            return match stdio {
                Some(stdio) => {
                    shim.exec(process, stdio).map_err(of_exec)?;
                    Ok(ExitCode::SUCCESS)
                }
                None => {
                    let (ours, theirs) = console()?;
                    shim.exec(process, ExecStdio::Terminal(theirs.as_fd())).map_err(of_exec)?;
                    drop(ours);
                    Ok(ExitCode::SUCCESS)
                }
            };
        }
        if self.program.tty {
            self.in_terminal(&shim, process)
        } else {
            self.in_streams(&shim, process)
        }
    }

    fn in_terminal(
        &self,
        shim: &Shim,
        mut process: caisson_runtime_spec::Process,
    ) -> Result<ExitCode, Failure> {
        let (ours, theirs) = console()?;
        if let Some((height, width)) = super::terminal::size() {
            process.console_size = Some(caisson_runtime_spec::ConsoleSize { height, width });
        }
        let started = shim.exec(process, ExecStdio::Terminal(theirs.as_fd())).map_err(of_exec)?;
        drop(theirs);
        let master = pump::receive_descriptor(ours.as_fd())?;
        let keys = self.program.interactive.then(|| self.detach_keys.clone());
        if pump::terminal(master.as_fd(), keys)? {
            return Ok(ExitCode::SUCCESS);
        }
        finish(shim, started.exec)
    }

    fn in_streams(
        &self,
        shim: &Shim,
        process: caisson_runtime_spec::Process,
    ) -> Result<ExitCode, Failure> {
        // What is no terminal of ours becomes the program's own: nobody stands
        // in between. A terminal stays ours.
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(std::io::Error::from)?;
        let mut pump = Pump::default();
        let input = match (self.program.interactive, isatty(stdin())) {
            (false, _) => Theirs::Fd(null.as_fd()),
            (true, false) => Theirs::Fd(stdin()),
            (true, true) => {
                let (read, write) = new_pipe()?;
                pump.input(write);
                Theirs::Pipe(read)
            }
        };
        let mut output = |own: BorrowedFd<'static>| -> Result<Theirs<'_>, Failure> {
            if !isatty(own) {
                return Ok(Theirs::Fd(own));
            }
            let (read, write) = new_pipe()?;
            pump.output(read, own);
            Ok(Theirs::Pipe(write))
        };
        let (out, err) = (output(stdout())?, output(stderr())?);
        let streams = [input.fd(), out.fd(), err.fd()];
        let started = shim.exec(process, ExecStdio::Streams(streams)).map_err(of_exec)?;
        drop((input, out, err));
        if pump.is_empty() {
            return finish(shim, started.exec);
        }
        let waiting = {
            let (shim, exec) = (shim.clone(), started.exec);
            let (over, done) = new_pipe()?;
            let thread = std::thread::spawn(move || {
                let ended = shim.wait_exec(exec, None);
                drop(done);
                ended
            });
            pump.run(over.as_fd())?;
            thread
        };
        match waiting.join() {
            Ok(ended) => Ok(ExitCode::from(ended?.code)),
            Err(_) => Err(Failure::new("the thread that waits for the program ended early")),
        }
    }
}

/// A stream that the program gets.
enum Theirs<'fd> {
    Fd(BorrowedFd<'fd>),
    Pipe(OwnedFd),
}

impl Theirs<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Fd(fd) => *fd,
            Self::Pipe(fd) => fd.as_fd(),
        }
    }
}

fn new_pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    Ok(pipe_with(PipeFlags::CLOEXEC).map_err(std::io::Error::from)?)
}

fn console() -> Result<(OwnedFd, OwnedFd), Failure> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(std::io::Error::from)?)
}

fn finish(shim: &Shim, exec: u64) -> Result<ExitCode, Failure> {
    Ok(ExitCode::from(shim.wait_exec(exec, None)?.code))
}

/// 127 where there is no such program, 126 where it can't be executed.
fn of_exec(error: caisson_node::supervisor::ClientError) -> Failure {
    let code = error.fault().map_or(125, |fault| match fault.exit_code() {
        125 => 126,
        other => other,
    });
    Failure::from(error).with_code(code)
}
