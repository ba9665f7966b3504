//! What comes from the client.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::sync::mpsc;

use super::frame::{self, Control, FrameError, HEAD, Head, Reset, parse_control, parse_head};
use super::headers::HeaderReader;
use super::session::{Inner, Session, SpdyStream};
use crate::activity::Activity;
use crate::outlet::{CHUNK, Gone};
use crate::pipe::{StreamWriter, pipe};
use crate::settings::Settings;

/// So much taken makes us ask for more.
const CREDIT: u32 = 32 * 1024;

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl From<Gone> for ReadError {
    fn from(Gone: Gone) -> Self {
        Self::Frame(FrameError::Flood)
    }
}

/// However reading ends: who waits to send is told.
struct Ending(Arc<Inner>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Session {
    /// Reads until the client goes or breaks the protocol. Streams that it
    /// opens go to `incoming`. Stands still while what came on a stream is not
    /// taken: the peers of this protocol keep to no windows.
    pub(crate) async fn read<R: AsyncRead + Unpin>(
        &self,
        read: R,
        incoming: mpsc::Sender<SpdyStream>,
        settings: &Settings,
        activity: &Activity,
    ) {
        let _ending = Ending(Arc::clone(&self.0));
        let mut reader = Reader {
            session: Arc::clone(&self.0),
            read: BufReader::with_capacity(CHUNK, read),
            headers: HeaderReader::new(),
            inbound: HashMap::new(),
            incoming,
            last: 0,
            credit: 0,
            settings,
            activity,
        };
        if let Err(ReadError::Frame(_)) = reader.run().await {
            self.0.outlet.now(frame::go_away(reader.last, true));
        }
    }
}

struct Reader<'s, R> {
    session: Arc<Inner>,
    read: BufReader<R>,
    headers: HeaderReader,
    inbound: HashMap<u32, Inbound>,
    incoming: mpsc::Sender<SpdyStream>,
    /// The greatest stream id so far.
    last: u32,
    /// Bytes of the connection taken and not yet asked for again.
    credit: u32,
    settings: &'s Settings,
    activity: &'s Activity,
}

struct Inbound {
    pipe: StreamWriter,
    credit: u32,
}

impl<R: AsyncRead + Unpin> Reader<'_, R> {
    async fn run(&mut self) -> Result<(), ReadError> {
        let mut payload = Vec::new();
        loop {
            let mut head = [0; HEAD];
            self.read.read_exact(&mut head).await?;
            match parse_head(head)? {
                Head::Data { stream, fin, length } => self.data(stream, fin, length).await?,
                Head::Control { kind, flags, length } => {
                    payload.resize(length, 0);
                    self.read.read_exact(&mut payload).await?;
                    self.control(&parse_control(kind, flags, &payload)?)?;
                }
            }
        }
    }

    async fn data(&mut self, stream: u32, fin: bool, length: usize) -> Result<(), ReadError> {
        if stream > self.last || stream.is_multiple_of(2) {
            self.session.reset(stream, Reset::Invalid)?;
        }
        let mut left = length;
        while left > 0 {
            let bytes = self.read.fill_buf().await?;
            let bytes = bytes.get(..left).unwrap_or(bytes);
            let taken = bytes.len();
            if taken == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some(inbound) = self.inbound.get_mut(&stream) {
                if inbound.pipe.write_all(bytes).await.is_ok() {
                    self.activity.touch();
                } else {
                    // Nobody wants it: the rest goes nowhere.
                    self.inbound.remove(&stream);
                }
            }
            self.read.consume(taken);
            left -= taken;
            self.account(stream, u32::try_from(taken).unwrap_or(u32::MAX));
        }
        if fin {
            self.inbound.remove(&stream);
            self.session.they_finished(stream);
        }
        Ok(())
    }

    /// Asks for as much as was taken, now and then. If there is no room for
    /// that among the answers, later.
    fn account(&mut self, stream: u32, taken: u32) {
        let ask = |stream, credit: &mut u32| {
            *credit = credit.saturating_add(taken);
            let due = (*credit).min(0x7fff_ffff);
            if due >= CREDIT && self.session.outlet.hint(frame::window(stream, due)) {
                *credit = 0;
            }
        };
        ask(0, &mut self.credit);
        if let Some(inbound) = self.inbound.get_mut(&stream) {
            ask(stream, &mut inbound.credit);
        }
    }

    fn control(&mut self, control: &Control<'_>) -> Result<(), ReadError> {
        match *control {
            Control::Open { stream, fin, one_way, block } => {
                self.open(stream, fin, one_way, block)?;
            }
            Control::Reset { stream } => {
                self.inbound.remove(&stream);
                self.session.they_reset(stream);
            }
            Control::Settings { initial_window: Some(size) } => self.session.initial_window(size),
            // Odd ones are the client's, others would answer ours.
            Control::Ping { id } if id % 2 == 1 => self.session.outlet.urgent(frame::ping(id))?,
            Control::Headers { stream, fin, block } => {
                // They say nothing to us, but the blocks are one stream.
                self.headers.read(block)?;
                if fin {
                    self.inbound.remove(&stream);
                    self.session.they_finished(stream);
                }
            }
            Control::Window { stream, delta } => self.session.window_grew(stream, delta),
            Control::Reply => return Err(FrameError::Reply.into()),
            Control::Settings { initial_window: None }
            | Control::Ping { .. }
            | Control::GoAway
            | Control::Unknown => {}
        }
        Ok(())
    }

    fn open(
        &mut self,
        stream: u32,
        fin: bool,
        one_way: bool,
        block: &[u8],
    ) -> Result<(), ReadError> {
        let headers = self.headers.read(block)?;
        if stream.is_multiple_of(2) || stream <= self.last {
            return Err(FrameError::StreamId(stream).into());
        }
        self.last = stream;
        // A stream on which we may not answer is of no use to anybody here.
        if one_way || self.session.open_streams() >= self.settings.max_streams {
            return Ok(self.session.reset(stream, Reset::Refused)?);
        }
        // Streams that we have reset are still here.
        if self.inbound.len() > 2 * self.settings.max_streams {
            self.inbound.retain(|id, _| self.session.is_open(*id));
        }
        let (reader, writer) = pipe(self.settings.buffer);
        let opened = self.session.open(stream, headers, reader);
        if fin {
            self.session.they_finished(stream);
        } else {
            self.inbound.insert(stream, Inbound { pipe: writer, credit: 0 });
        }
        // If nobody takes streams any more, dropping it resets it.
        let _ = self.incoming.try_send(opened);
        Ok(())
    }
}
