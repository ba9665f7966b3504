//! Whether the client is still there, without reading.
//!
//! While a program does not take its input nothing is read from the socket, and
//! so its end is not seen, either.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

use crate::activity::Activity;

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Without a word for so long, the other side is asked whether it is there:
/// every ten seconds, three times.
const SILENCE: Duration = Duration::from_secs(30);

/// Watches a socket.
#[derive(Debug)]
pub(crate) struct Hangup(Option<OwnedFd>);

impl Hangup {
    /// Of a socket that can't be watched nothing is noticed.
    pub(crate) fn of(socket: &tokio::net::TcpStream) -> Self {
        let fd = socket.as_fd();
        let _ = sockopt::set_tcp_keepidle(fd, SILENCE)
            .and_then(|()| sockopt::set_tcp_keepintvl(fd, Duration::from_secs(10)))
            .and_then(|()| sockopt::set_tcp_keepcnt(fd, 3))
            .and_then(|()| sockopt::set_socket_keepalive(fd, true));
        Self(fd.try_clone_to_owned().ok())
    }

    /// Whether the other side has closed, or is gone.
    fn seen(&self) -> bool {
        let Some(fd) = &self.0 else { return false };
        let mut fds = [PollFd::new(fd, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Errors and hang-ups are told unasked.
        matches!(poll(&mut fds, Some(&now)), Ok(1..))
    }

    /// Returns when the other side has closed and for `grace` nothing that it
    /// sent before has been taken any more.
    pub(crate) async fn noticed(&self, activity: &Activity, grace: Duration) {
        loop {
            tokio::time::sleep(grace.clamp(Duration::from_millis(10), PERIOD)).await;
            if self.seen() && activity.idle() >= grace {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn an_end_is_seen_behind_unread_data() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).expect("a connection");
        let (server, _) = listener.accept().await.expect("the other end");
        let hangup = Hangup::of(&server);
        std::io::Write::write_all(&mut client, b"unread").expect("written");
        assert!(!hangup.seen());
        let grace = Duration::from_millis(20);
        let activity = Activity::new();
        let noticed = tokio::time::timeout(grace * 5, hangup.noticed(&activity, grace));
        assert!(noticed.await.is_err());
        drop(client);
        hangup.noticed(&activity, grace).await;
        assert!(hangup.seen());
    }
}
