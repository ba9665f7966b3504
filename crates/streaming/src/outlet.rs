//! The one place that writes to a connection.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};

use crate::activity::Activity;

/// Frames of data that wait; each has up to [`CHUNK`] bytes.
const ORDINARY: usize = 4;
/// Answers that wait: more than the streams that a client has at once. One that makes
/// us answer without reading is let go.
const URGENT: usize = 1024;
/// So many of them may be [`hints`](Outlet::hint): what waits because the client
/// is slow takes no room from the answers that it asks for.
const HINTS: usize = 64;
/// The most data that goes into one frame.
pub(crate) const CHUNK: usize = 32 * 1024;

/// Takes whole frames.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    urgent: mpsc::Sender<Vec<u8>>,
    ordinary: mpsc::Sender<Vec<u8>>,
    end: watch::Sender<End>,
}

/// How a connection ends.
#[derive(Clone, Debug, Default)]
enum End {
    /// Not yet.
    #[default]
    Open,
    /// With this, behind all that is queued.
    Last(Vec<u8>),
    /// With this, and what is queued is let go of.
    Now(Vec<u8>),
}

/// The writing end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// The other end of an [`Outlet`]: see [`Writer::run`].
pub(crate) struct Writer<W> {
    write: W,
    urgent: mpsc::Receiver<Vec<u8>>,
    ordinary: mpsc::Receiver<Vec<u8>>,
    end: [watch::Receiver<End>; 2],
    activity: Activity,
}

pub(crate) fn outlet<W>(write: W, activity: Activity) -> (Outlet, Writer<W>) {
    let (urgent, urgent_queue) = mpsc::channel(URGENT);
    let (ordinary, ordinary_queue) = mpsc::channel(ORDINARY);
    let (end, ended) = watch::channel(End::Open);
    let writer = Writer {
        write,
        urgent: urgent_queue,
        ordinary: ordinary_queue,
        end: [ended.clone(), ended],
        activity,
    };
    (Outlet { urgent, ordinary, end }, writer)
}

impl Outlet {
    /// Queues a frame before all data, and never waits. What finds no room is
    /// lost: the client would wait for it, so the connection is to end.
    pub(crate) fn urgent(&self, frame: Vec<u8>) -> Result<(), Gone> {
        self.urgent.try_send(frame).map_err(|_| Gone)
    }

    /// The same for a frame that can as well be sent later; whether it was queued.
    pub(crate) fn hint(&self, frame: Vec<u8>) -> bool {
        self.urgent.capacity() > URGENT - HINTS && self.urgent(frame).is_ok()
    }

    /// Queues a frame of data as soon as there is room.
    pub(crate) async fn send(&self, frame: Vec<u8>) -> Result<(), Gone> {
        self.ordinary.send(frame).await.map_err(|_| Gone)
    }

    /// Has the writer end when it has written what is queued now, and this.
    pub(crate) fn last(&self, frame: Vec<u8>) {
        self.end.send_if_modified(|end| {
            let first = matches!(end, End::Open);
            if first {
                *end = End::Last(frame);
            }
            first
        });
    }

    /// Has the writer end with this instead of what is queued.
    pub(crate) fn now(&self, frame: Vec<u8>) {
        self.end.send_if_modified(|end| {
            let first = !matches!(end, End::Now(_));
            if first {
                *end = End::Now(frame);
            }
            first
        });
    }
}

/// The frame to end with.
async fn ended(end: &mut watch::Receiver<End>, only_now: bool) -> Vec<u8> {
    let wanted = |end: &End| match end {
        End::Open => false,
        End::Last(_) => !only_now,
        End::Now(_) => true,
    };
    // An outlet that is gone can't queue anything, either.
    match end.wait_for(wanted).await.as_deref() {
        Ok(End::Last(frame) | End::Now(frame)) => frame.clone(),
        Ok(End::Open) | Err(_) => Vec::new(),
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes until [`Outlet::last`] or [`Outlet::now`], then closes the
    /// sending side.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        let [now, last] = &mut self.end;
        let frame = loop {
            let (frame, is_data) = tokio::select! {
                biased;
                frame = ended(now, true) => break frame,
                Some(frame) = self.urgent.recv() => (frame, false),
                Some(frame) = self.ordinary.recv() => (frame, true),
                frame = ended(last, false) => break frame,
            };
            self.write.write_all(&frame).await?;
            if is_data {
                self.activity.touch();
            }
        };
        self.write.write_all(&frame).await?;
        self.write.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_overtake_data_and_the_end_comes_last() {
        let mut written = Vec::new();
        let (outlet, writer) = outlet(&mut written, Activity::new());
        outlet.send(b"data ".to_vec()).await.expect("room");
        outlet.send(b"more".to_vec()).await.expect("room");
        outlet.urgent(b"answer ".to_vec()).expect("room");
        outlet.last(b" last".to_vec());
        writer.run().await.expect("written");
        assert_eq!(written, b"answer data more last");
        assert_eq!(outlet.urgent(Vec::new()), Err(Gone));
        assert_eq!(outlet.send(Vec::new()).await, Err(Gone));
    }

    #[tokio::test]
    async fn an_end_at_once_lets_go_of_the_rest() {
        let mut written = Vec::new();
        let (outlet, writer) = outlet(&mut written, Activity::new());
        outlet.send(b"data ".to_vec()).await.expect("room");
        outlet.last(b"last".to_vec());
        outlet.now(b"now".to_vec());
        outlet.last(b"last".to_vec());
        writer.run().await.expect("written");
        assert_eq!(written, b"now");
    }

    #[tokio::test]
    async fn what_nobody_reads_is_bounded() {
        let (write, _unread) = tokio::io::duplex(16);
        let (outlet, writer) = outlet(write, Activity::new());
        let writing = tokio::spawn(writer.run());
        let mut sent = 0;
        while outlet.urgent(vec![0; 100]).is_ok() {
            sent += 1;
            tokio::task::yield_now().await;
            assert!(sent < 4000, "endless");
        }
        writing.abort();
    }
}
