//! A connection's streams, as those who serve them see them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::{self, Reset};
use super::headers::{EmptyBlocks, Headers};
use super::window::{Binding, INITIAL, Window};
use crate::outlet::{CHUNK, Gone, Outlet};
use crate::pipe::StreamReader;
use crate::sender::{Closed, Sender};

/// One connection. What it reads is in `reader.rs`.
#[derive(Clone)]
pub(crate) struct Session(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) outlet: Outlet,
    replies: Mutex<EmptyBlocks>,
    streams: Mutex<HashMap<u32, Arc<Stream>>>,
    /// The connection's own window.
    window: Window,
    window_binds: Binding,
    stream_windows_bind: Binding,
    initial_window: AtomicI64,
}

pub(super) struct Stream {
    id: u32,
    window: Window,
    ours_done: AtomicBool,
    theirs_done: AtomicBool,
}

impl Session {
    pub(crate) fn new(outlet: Outlet) -> Self {
        let window_binds = Binding::default();
        Self(Arc::new(Inner {
            outlet,
            replies: Mutex::default(),
            streams: Mutex::default(),
            window: Window::new(Arc::clone(&window_binds), INITIAL),
            window_binds,
            stream_windows_bind: Binding::default(),
            initial_window: AtomicI64::new(INITIAL),
        }))
    }
}

impl Inner {
    fn streams(&self) -> MutexGuard<'_, HashMap<u32, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Streams that one side at least has not ended.
    pub(super) fn open_streams(&self) -> usize {
        self.streams().len()
    }

    pub(super) fn is_open(&self, id: u32) -> bool {
        self.streams().contains_key(&id)
    }

    /// A stream that the client opens.
    pub(super) fn open(
        self: &Arc<Self>,
        id: u32,
        headers: Headers,
        reader: StreamReader,
    ) -> SpdyStream {
        let free = self.initial_window.load(Ordering::Relaxed);
        let window = Window::new(Arc::clone(&self.stream_windows_bind), free);
        let stream =
            Arc::new(Stream { id, window, ours_done: false.into(), theirs_done: false.into() });
        self.streams().insert(id, Arc::clone(&stream));
        let sender = SpdySender { session: Arc::clone(self), stream, finished: false };
        SpdyStream { id, headers, reader, sender }
    }

    /// The client sends no more on this stream.
    pub(super) fn they_finished(&self, id: u32) {
        let mut streams = self.streams();
        if let Some(stream) = streams.get(&id) {
            stream.theirs_done.store(true, Ordering::Relaxed);
            if stream.ours_done.load(Ordering::Relaxed) {
                streams.remove(&id);
            }
        }
    }

    /// The client wants nothing more of this stream.
    pub(super) fn they_reset(&self, id: u32) {
        if let Some(stream) = self.streams().remove(&id) {
            stream.window.close();
        }
    }

    /// We send no more on this stream.
    fn we_finished(&self, stream: &Stream) {
        let mut streams = self.streams();
        stream.ours_done.store(true, Ordering::Relaxed);
        if stream.theirs_done.load(Ordering::Relaxed) {
            streams.remove(&stream.id);
        }
    }

    pub(super) fn reset(&self, id: u32, status: Reset) -> Result<(), Gone> {
        self.streams().remove(&id);
        self.answer(frame::reset(id, status))
    }

    /// The client gives room to a stream, or to the connection (0).
    pub(super) fn window_grew(&self, id: u32, delta: u32) {
        if id == 0 {
            self.window_binds.store(true, Ordering::Relaxed);
            self.window.give(i64::from(delta));
            return;
        }
        self.stream_windows_bind.store(true, Ordering::Relaxed);
        if let Some(stream) = self.streams().get(&id) {
            stream.window.give(i64::from(delta));
        }
    }

    /// The client says what windows begin with.
    pub(super) fn initial_window(&self, size: u32) {
        self.stream_windows_bind.store(true, Ordering::Relaxed);
        let size = i64::from(size.min(0x7fff_ffff));
        let streams = self.streams();
        let change = size - self.initial_window.swap(size, Ordering::Relaxed);
        for stream in streams.values() {
            stream.window.give(change);
        }
    }

    /// Wakes all who wait to send: nobody will ever take it.
    pub(super) fn close(&self) {
        self.window.close();
        for (_, stream) in self.streams().drain() {
            stream.window.close();
        }
    }

    fn reply(&self, id: u32) -> Result<(), Gone> {
        // Blocks must leave in the order in which they were made.
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        self.answer(frame::reply(id, &replies.block()))
    }

    /// Queues what the client waits for. One that leaves no room for it is let go.
    fn answer(&self, frame: Vec<u8>) -> Result<(), Gone> {
        self.outlet.urgent(frame).inspect_err(|Gone| self.outlet.now(frame::go_away(0, true)))
    }
}

/// A stream that the client has opened and that waits for an answer. Dropping
/// it refuses it.
pub(crate) struct SpdyStream {
    id: u32,
    headers: Headers,
    reader: StreamReader,
    sender: SpdySender,
}

impl SpdyStream {
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    /// Tells the client that the stream is served.
    pub(crate) fn accept(self) -> Result<(StreamReader, SpdySender), Closed> {
        self.sender.session.reply(self.id).map_err(|Gone| Closed)?;
        Ok((self.reader, self.sender))
    }
}

/// Sends on one stream. Dropped unfinished, it resets the stream.
pub(crate) struct SpdySender {
    session: Arc<Inner>,
    stream: Arc<Stream>,
    finished: bool,
}

impl Sender for SpdySender {
    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Closed> {
        while !bytes.is_empty() {
            let room = self.stream.window.take(bytes.len().min(CHUNK)).await?;
            let both = self.session.window.take(room).await?;
            if both < room {
                self.stream.window.give(i64::try_from(room - both).unwrap_or(0));
            }
            let (now, later) = bytes.split_at_checked(both).ok_or(Closed)?;
            let frame = frame::data(self.stream.id, now, false);
            self.session.outlet.send(frame).await.map_err(|Gone| Closed)?;
            bytes = later;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), Closed> {
        self.finished = true;
        if self.stream.window.is_closed() {
            return Err(Closed);
        }
        let sent = self.session.outlet.send(frame::data(self.stream.id, &[], true)).await;
        self.session.we_finished(&self.stream);
        sent.map_err(|Gone| Closed)
    }
}

impl Drop for SpdySender {
    fn drop(&mut self) {
        if !self.finished && !self.stream.window.is_closed() {
            let _ = self.session.reset(self.stream.id, Reset::Cancel);
        }
    }
}
