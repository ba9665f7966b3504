//! Networks without privileges: pasta or slirp4netns carries a pod's packets.

mod pasta;
mod slirp;

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use caisson_sys::process_stat::ProcessStat;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::dns::DnsConfig;
use crate::netns::{self, NetnsError};
use crate::ports::mapping::PortMapping;
use crate::program::{self, ProgramError};
use crate::request::{Interface, NetworkProcess};

/// Name of a pod's interface.
const POD_LINK: &str = "eth0";
/// How long a killed process may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Why a pod could not be connected without privileges.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Neither is there.
    #[error(
        "without root, a network needs pasta or slirp4netns: install passt or slirp4netns, \
         or use --network host or none"
    )]
    NoProgram,
    /// It can't be run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// It runs and says no.
    #[error("{program} can't connect the pod: {message}")]
    Refused {
        /// Which one.
        program: &'static str,
        /// What it says.
        message: String,
    },
    /// It can't do that.
    #[error("{program} can't publish {port}: it knows no IPv6; install passt")]
    NoIpv6 {
        /// Which one.
        program: &'static str,
        /// The port.
        port: PortMapping,
    },
    /// A system call around it failed.
    #[error("can't {what} {program}: {cause}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Which one.
        program: &'static str,
        /// Why not.
        cause: io::Error,
    },
    /// The pod's network namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// What it made there can't be seen.
    #[error("can't see what the pod's network looks like: {0}")]
    Look(Errno),
}

/// What a program is to do.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    pub(crate) netns: BorrowedFd<'a>,
    pub(crate) ports: &'a [PortMapping],
    /// For files that a program wants to write; their names start like the pod's.
    pub(crate) dir: &'a Path,
    pub(crate) pod: &'a str,
    pub(crate) deadline: Duration,
}

/// A pod that is connected.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) process: NetworkProcess,
    /// When it is closed the program ends.
    pub(crate) lifeline: Option<OwnedFd>,
    pub(crate) dns: DnsConfig,
}

impl Task<'_> {
    /// A file for this pod, with a name short enough for a socket.
    fn file(&self, suffix: &str) -> PathBuf {
        file(self.dir, self.pod, suffix)
    }
}

const SUFFIXES: [&str; 3] = ["pid", "sock", "log"];

fn file(dir: &Path, pod: &str, suffix: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    pod.hash(&mut hasher);
    dir.join(format!("{:016x}.{suffix}", hasher.finish()))
}

/// Connects a pod by pasta, or by slirp4netns where that is all there is.
pub(crate) fn connect(task: &Task<'_>) -> Result<Connected, ProcessError> {
    if let Ok(program) = program::find("pasta") {
        return pasta::connect(&program, task);
    }
    match program::find("slirp4netns") {
        Ok(program) => slirp::connect(&program, task),
        Err(_) => Err(ProcessError::NoProgram),
    }
}

/// Ends the program if it still runs, and removes its files.
pub(crate) fn disconnect(dir: &Path, pod: &str, process: Option<&NetworkProcess>) {
    // One that was just started may be known by its file only.
    let noted = fs::read_to_string(file(dir, pod, "pid")).ok();
    let noted = noted.and_then(|text| describe("pasta", text.trim().parse().ok()?));
    let noted = noted.filter(|process| is_called(process, "pas"));
    for process in process.into_iter().chain(noted.as_ref()) {
        kill(process);
    }
    for suffix in SUFFIXES {
        let _ = fs::remove_file(file(dir, pod, suffix));
    }
}

/// pasta may run under the name of a variant of itself.
fn is_called(process: &NetworkProcess, start: &str) -> bool {
    let name = fs::read_to_string(format!("/proc/{}/comm", process.pid)).unwrap_or_default();
    name.starts_with(start)
}

fn kill(process: &NetworkProcess) {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return };
    // Only now the number can't become another process's.
    if start_time(process.pid) != Some(process.start_time) {
        return;
    }
    if pidfd_send_signal(&pidfd, Signal::KILL).is_ok() {
        let patience = Timespec::try_from(KILL_PATIENCE).ok();
        let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], patience.as_ref());
    }
}

fn describe(program: &str, pid: u32) -> Option<NetworkProcess> {
    let start_time = start_time(pid)?;
    Some(NetworkProcess { program: program.to_owned(), pid, start_time })
}

/// With the number it tells a process apart from later ones.
fn start_time(pid: u32) -> Option<u64> {
    Some(ProcessStat::read(i32::try_from(pid).ok()?)?.start_time)
}

/// What the program made of the pod's interface.
pub(crate) fn interface(netns: BorrowedFd<'_>) -> Result<Interface, ProcessError> {
    let mut pod = netns::route_socket(netns)?;
    let mut look = || {
        let link = pod.link(POD_LINK)?.ok_or(Errno::NODEV)?;
        let mut addresses = pod.addresses(link.index)?;
        addresses.retain(|address| match address.address {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        });
        let mut gateways = Vec::new();
        for ipv6 in [false, true] {
            gateways.extend(pod.default_route(ipv6)?.and_then(|(_, gateway)| gateway));
        }
        Ok(Interface { name: link.name, mac: link.mac, addresses, gateways })
    };
    look().map_err(ProcessError::Look)
}
