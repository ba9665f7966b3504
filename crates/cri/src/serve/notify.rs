//! What systemd is told (sd_notify(3), systemd.service(5)).

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use caisson_node::pods::Pods;
use rustix::time::{ClockId, clock_gettime};

use crate::log::{Level, log};

/// Sends `state` to whoever started us and wants to know.
fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|s| !s.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        log(Level::Warn, "cannot notify systemd", &[("state", &state), ("error", &error)]);
    }
}

fn send(socket: &OsStr, state: &str) -> std::io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(Duration::from_secs(1)))?;
    sender.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

/// It listens, again after a reload.
pub(super) fn ready() {
    tell("READY=1\nSTATUS=serves CRI v1\n");
}

/// The settings are being read again.
pub(super) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
}

/// It ends.
pub(super) fn stopping() {
    tell("STOPPING=1\n");
}

/// Where a watchdog waits for us: shows at twice its pace that the engine
/// answers.
pub(super) fn keep_watchdog_quiet(pods: Pods) {
    let Some(pace) = pace(&|name| std::env::var_os(name), std::process::id()) else { return };
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(pace);
        loop {
            ticks.tick().await;
            let pods = pods.clone();
            // A bad answer is one: a new daemon would give the same.
            if tokio::task::spawn_blocking(move || pods.runtime_status()).await.is_ok() {
                tell("WATCHDOG=1\n");
            }
        }
    });
}

/// Half of what the watchdog waits, if it waits for this process.
fn pace(variable: &dyn Fn(&str) -> Option<OsString>, pid: u32) -> Option<Duration> {
    let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
    let micros = number("WATCHDOG_USEC").filter(|micros| *micros > 0)?;
    match number("WATCHDOG_PID") {
        Some(other) if other != u64::from(pid) => None,
        _ => Some(Duration::from_micros((micros / 2).max(1000))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_arrive_at_paths_and_names() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let mut buffer = [0; 64];
        let count = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"READY=1");
        let name = format!("caisson-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{name}")), "STOPPING=1").unwrap();
        let count = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"STOPPING=1");
    }

    #[test]
    fn a_watchdog_of_somebody_else_does_not_count() {
        let with = |usec: &'static str, pid: Option<&'static str>| {
            let variable = move |name: &str| match name {
                "WATCHDOG_USEC" => Some(OsString::from(usec)),
                _ => pid.map(OsString::from),
            };
            pace(&variable, 7)
        };
        assert_eq!(with("2000000", None), Some(Duration::from_secs(1)));
        assert_eq!(with("2000000", Some("7")), Some(Duration::from_secs(1)));
        assert_eq!(with("2000000", Some("8")), None);
        assert_eq!(with("0", None), None);
        assert_eq!(with("x", None), None);
    }
}
