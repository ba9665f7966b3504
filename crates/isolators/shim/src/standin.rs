//! A process's stand-in: it carries streams, and ends as the process does.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use caisson_containerd::task::Target;
use caisson_foreign::process::{Identity, own_pid, timespec};
use caisson_foreign::step::Context as _;
use caisson_isolator::{ConsoleSocket, SandboxError, SpawnedProcess};
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use caisson_sys::descriptors::close_all_except;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat, major, minor};
use rustix::io::{fcntl_dupfd_cloexec, retry_on_intr};
use rustix::stdio::{stderr, stdin, stdout};

use crate::fifos::Fifos;
use crate::pump::Pump;
use crate::shim::Shim;
use crate::state::{self, StateDir};
use crate::terminal::{Sizes, Terminal};
use crate::{Settings, pod};

/// How a process has ended whose shim is gone.
const LOST: u8 = 137;
/// How often it is looked whether the container is still there.
const LOOK: Duration = Duration::from_secs(5);
/// So long without a byte a container's output may stay open after its end.
const SILENCE: Duration = Duration::from_secs(2);

/// Streams that are ready to be carried.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) fifos: Fifos,
    pumps: Vec<Pump>,
    terminal: Option<Terminal>,
}

impl Carried {
    /// The caller's standard streams, or a terminal, for the process that is
    /// going to be called `name`.
    pub(crate) fn prepare(
        dir: &StateDir,
        name: &str,
        console: Option<&ConsoleSocket>,
    ) -> Result<Self, SandboxError> {
        let step = || "take the standard streams";
        if let Some(to) = console {
            let mut fifos = Fifos::make(dir, name, true, true)?;
            let terminal = Terminal::make(to)?;
            let mut pumps =
                vec![Pump::new(duplicate(fifos.stdout.as_fd())?, terminal.copy()?, false)];
            if let Some(to) = fifos.stdin.take() {
                pumps.push(Pump::new(terminal.copy()?, to, true));
            }
            return Ok(Self { fifos, pumps, terminal: Some(terminal) });
        }
        let input = !is_null(stdin()).context(step)?;
        let mut fifos = Fifos::make(dir, name, input, false)?;
        let mut pumps =
            vec![Pump::new(duplicate(fifos.stdout.as_fd())?, duplicate(stdout())?, false)];
        if let Some(from) = fifos.stderr.take() {
            pumps.push(Pump::new(from, duplicate(stderr())?, false));
        }
        if let Some(to) = fifos.stdin.take() {
            pumps.push(Pump::new(duplicate(stdin())?, to, true));
        }
        Ok(Self { fifos, pumps, terminal: None })
    }
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, SandboxError> {
    fcntl_dupfd_cloexec(fd, 3).context(|| "duplicate a standard stream")
}

/// Whether it is `/dev/null`, from which nothing comes.
fn is_null(fd: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let stat = fstat(fd)?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    Ok(is_device && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3))
}

/// A process of ours for `target`, which runs as `pid`; it has connections of
/// its own to the shim.
pub(crate) fn post(
    settings: &Settings,
    dir: &StateDir,
    target: &Target,
    pid: i32,
    streams: Carried,
) -> Result<SpawnedProcess, SandboxError> {
    let step = || "wait for the process's end";
    let mut shim = pod::connect(settings)?;
    let watch = shim.watch(target).context(step)?;
    let resizer = streams.terminal.is_some().then(|| pod::connect(settings)).transpose()?;
    match clone3(CloneFlags::empty(), None).context(step)? {
        Side::Parent { pid: own, pidfd } => {
            if let Some(process) = Identity::of_child(own) {
                dir.save_stand_in(&state::StandIn { process, exec: target.exec.clone() })?;
            }
            Ok(SpawnedProcess { pid: own, pidfd, stands_for: Some(pid) })
        }
        Side::Child => {
            let _ = rustix::thread::set_name(c"caisson-standin");
            let Carried { fifos, pumps, terminal } = streams;
            let (home, own) = (dir.path().to_owned(), own_pid());
            let mut keep: Vec<BorrowedFd<'_>> = vec![shim.socket().as_fd()];
            keep.extend(pumps.iter().flat_map(Pump::descriptors));
            keep.extend(terminal.as_ref().map(Terminal::as_fd));
            keep.extend(resizer.as_ref().map(|shim| shim.socket().as_fd()));
            if close_all_except(0, &keep).is_err() {
                exit_now(LOST);
            }
            let sizes = terminal.and_then(Sizes::follow);
            let target = target.clone();
            let mut stand_in =
                StandIn { shim, home, watch, target, pumps, sizes, resizer, told: false };
            stand_in.stand();
            // Of a program; a container's own goes with its directory.
            fifos.forget();
            state::forget_stand_in(&stand_in.home, own, &stand_in.target.exec);
            exit_now(0);
        }
    }
}

struct StandIn {
    shim: Shim,
    /// The container's directory: without it nobody needs us.
    home: PathBuf,
    watch: u32,
    target: Target,
    pumps: Vec<Pump>,
    sizes: Option<Sizes>,
    /// Asked for sizes, whose answers are waited for.
    resizer: Option<Shim>,
    /// The shim knows that input has ended.
    told: bool,
}

impl StandIn {
    /// Returns once nothing is left to do but to end, in a copy of the process
    /// that has ended as the one that it stands for.
    fn stand(&mut self) {
        self.pass_on_size();
        let status = loop {
            self.carry(true, None);
            match self.shim.ended(self.watch) {
                Ok(None) => {}
                Ok(Some(exit)) => break u8::try_from(exit.status & 0xff).unwrap_or(LOST),
                Err(_) => break LOST,
            }
        };
        self.pumps.retain(|pump| !pump.is_input());
        if self.target.exec.is_empty() {
            // What it has written is to be there when its end is known.
            let mut until = Instant::now() + SILENCE;
            while self.has_output() && Instant::now() < until {
                if self.carry(false, Some(until)) {
                    until = Instant::now() + SILENCE;
                }
            }
            exit_now(status);
        }
        // Whom it has started may write on.
        if let Ok(Side::Parent { .. }) | Err(_) = clone3(CloneFlags::empty(), None) {
            exit_now(status);
        }
        while self.has_output() && self.home.exists() {
            self.carry(false, Some(Instant::now() + LOOK));
        }
        // The container may be gone by now, and it with it.
        let _ = self.shim.delete(&self.target);
    }

    fn has_output(&self) -> bool {
        self.pumps.iter().any(|pump| !pump.is_over())
    }

    /// Waits for something, and carries what has come; whether anything was to
    /// be done.
    fn carry(&mut self, alive: bool, until: Option<Instant>) -> bool {
        let mut wanted = Vec::new();
        let mut pumps = Vec::new();
        for (index, pump) in self.pumps.iter().enumerate() {
            if let Some(fd) = pump.wanted() {
                wanted.push(fd);
                pumps.push(index);
            }
        }
        if alive {
            wanted.push(PollFd::from_borrowed_fd(self.shim.socket().as_fd(), PollFlags::IN));
            let sizes = self.sizes.as_ref();
            wanted.extend(sizes.map(|s| PollFd::from_borrowed_fd(s.as_fd(), PollFlags::IN)));
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let limit = left.and_then(timespec);
        if !matches!(retry_on_intr(|| poll(&mut wanted, limit.as_ref())), Ok(1..)) {
            return false;
        }
        let ready: Vec<usize> = pumps
            .iter()
            .zip(&wanted)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(index, _)| *index)
            .collect();
        drop(wanted);
        for index in ready {
            if let Some(pump) = self.pumps.get_mut(index) {
                pump.step();
            }
        }
        if alive {
            self.pass_on_size();
            self.pass_on_end_of_input();
        }
        true
    }

    fn pass_on_size(&mut self) {
        let Some(size) = self.sizes.as_mut().and_then(Sizes::changed) else { return };
        if let Some(resizer) = &mut self.resizer {
            // What is typed after it was changed finds it changed: it is in
            // force before any input that came with it is written. A process
            // that has ended meanwhile has no terminal.
            let _ = resizer.resize(&self.target, size);
        }
    }

    fn pass_on_end_of_input(&mut self) {
        let ended = self.pumps.iter().any(|pump| pump.is_input() && pump.is_over());
        if ended && !self.told {
            self.told = true;
            let _ = self.shim.tell("CloseIO", self.target.close_input());
        }
    }
}
