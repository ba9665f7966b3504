//! A pod's network namespace while plugins connect it: held by a mount, and so
//! outliving whoever called them.
//!
//! Should the caller be killed meanwhile, DEL finds what ADD had made by then in
//! the namespace, and nowhere else: its answer was not heard. And the plugin runs
//! on; it has to end before DEL, or it would make what DEL has looked for.

use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long what was killed may take to be gone.
const DYING: Duration = Duration::from_secs(10);

/// Mounts the namespace at `point`, a file that is made for it.
pub(super) fn hold(netns: BorrowedFd<'_>, point: &Path) -> std::io::Result<()> {
    File::create(point)?;
    Ok(mount_bind(format!("/proc/self/fd/{}", netns.as_raw_fd()), point)?)
}

/// Takes the mount and the file away. Nothing there is no error.
pub(super) fn let_go(point: &Path) -> std::io::Result<()> {
    match unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    match fs::remove_file(point) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Ends the plugins that still connect a pod, and what they have started: all of
/// them have the pod and its namespace's path, as their caller named it, in their
/// environment.
pub(super) fn end_plugins(pod: &str, netns: &Path) {
    let marks = [format!("CNI_CONTAINERID={pod}"), format!("CNI_NETNS={}", netns.display())];
    let end = Instant::now() + DYING;
    loop {
        let found = processes(&marks);
        if found.is_empty() || Instant::now() > end {
            return;
        }
        for pid in found {
            let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            // The number may be another's by now.
            if !has(pid, &marks) {
                continue;
            }
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
            let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&patience));
        }
    }
}

fn processes(marks: &[String]) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw).filter(|pid| has(*pid, marks)).collect()
}

/// What has ended has no environment.
fn has(pid: Pid, marks: &[String]) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
    let environment = environment.unwrap_or_default();
    let variables: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
    marks.iter().all(|mark| variables.contains(&mark.as_bytes()))
}
