//! One upgraded connection, from its upgrade to its end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::activity::Activity;
use crate::backend::StreamBackend;
use crate::command::{self, Command, CommandStreams, StreamType};
use crate::forward;
use crate::hangup::Hangup;
use crate::http::{Agreement, Wire};
use crate::outlet::{Outlet, outlet};
use crate::pipe::pipe;
use crate::requests::{PortForwardRequest, Request};
use crate::settings::Settings;
use crate::spdy::{Session, go_away};
use crate::spdy_streams;
use crate::websocket::{ChannelSender, Channels, close, read_channels, read_tunnel, write_tunnel};

/// Clients of SPDY close first; a connection that goes away under them makes
/// some lose what they have not read yet.
const CLIENT_CLOSES: Duration = Duration::from_secs(2);
/// We have closed our side; so long we wait for the client to close its own,
/// since what it still sends would make the kernel drop what it has not read.
const LINGER: Duration = Duration::from_secs(10);
/// The client is gone, or has to go; so long its last answer may take.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// What every connection has.
pub(crate) struct Context<'c, B> {
    pub(crate) settings: &'c Settings,
    pub(crate) backend: &'c Arc<B>,
    pub(crate) activity: Activity,
    pub(crate) hangup: Hangup,
}

pub(crate) async fn serve<B, R, W>(
    context: &Context<'_, B>,
    agreement: &Agreement,
    request: Request,
    read: R,
    write: W,
) where
    B: StreamBackend,
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    let version = agreement.version;
    match (agreement.wire, request) {
        (Wire::Spdy, request) => spdy(context, version, request, read, write).await,
        (Wire::Tunnel, request) => tunnel(context, version, request, read, write).await,
        (Wire::Channels { base64 }, Request::PortForward(request)) => {
            forward_channels(context, base64, request, read, write).await;
        }
        (Wire::Channels { base64 }, Request::Exec(request)) => {
            let command = Command::Exec(request);
            command_channels(context, base64, version, command, read, write).await;
        }
        (Wire::Channels { base64 }, Request::Attach(request)) => {
            let command = Command::Attach(request);
            command_channels(context, base64, version, command, read, write).await;
        }
    }
}

async fn spdy<B, R, W>(context: &Context<'_, B>, version: u8, request: Request, read: R, write: W)
where
    B: StreamBackend,
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    let (outlet, writer) = outlet(write, context.activity.clone());
    let session = Session::new(outlet.clone());
    let (incoming, streams) = mpsc::channel(context.settings.max_streams.max(1));
    let reader = session.read(read, incoming, context.settings, &context.activity);
    let handler = async {
        match request {
            Request::Exec(request) => {
                spdy_streams::command(context, version, Command::Exec(request), streams).await;
            }
            Request::Attach(request) => {
                spdy_streams::command(context, version, Command::Attach(request), streams).await;
            }
            Request::PortForward(request) => {
                spdy_streams::forward(context, &request.pod, streams).await;
            }
        }
    };
    drive(context, reader, writer.run(), handler, &outlet, go_away(), CLIENT_CLOSES).await;
}

async fn command_channels<B, R, W>(
    context: &Context<'_, B>,
    base64: bool,
    version: u8,
    command: Command,
    read: R,
    write: W,
) where
    B: StreamBackend,
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    let (outlet, writer) = outlet(write, context.activity.clone());
    let mut channels = Channels::new(base64, version >= 5, context.activity.clone());
    // Here resizing is not bound to a version.
    let has = |stream| command.has(stream, version.max(3));
    let mut inbound = |stream: StreamType| {
        has(stream).then(|| channels.open(stream.channel(), context.settings.buffer))
    };
    let (stdin, resize) = (inbound(StreamType::Stdin), inbound(StreamType::Resize));
    let sender = |stream: StreamType| ChannelSender {
        outlet: outlet.clone(),
        channel: stream.channel(),
        base64,
    };
    let outbound = |stream| has(stream).then(|| sender(stream));
    let (stdout, stderr) = (outbound(StreamType::Stdout), outbound(StreamType::Stderr));
    let error = sender(StreamType::Error);
    let first = [StreamType::Stdout, StreamType::Stderr].into_iter().find(|s| has(*s));
    let mut first = sender(first.unwrap_or(StreamType::Error));
    let streams = CommandStreams { stdin, resize, stdout, stderr, error };
    let reader = read_channels(read, &outlet, channels);
    let handler = async {
        // An empty message says that the connection stands.
        if first.message(&[]).await.is_ok() {
            let (backend, settings) = (context.backend.as_ref(), context.settings);
            command::run(backend, command, version, streams, settings, &context.activity).await;
        }
    };
    drive(context, reader, writer.run(), handler, &outlet, close(), Duration::ZERO).await;
}

async fn forward_channels<B, R, W>(
    context: &Context<'_, B>,
    base64: bool,
    request: PortForwardRequest,
    read: R,
    write: W,
) where
    B: StreamBackend,
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    let (outlet, writer) = outlet(write, context.activity.clone());
    let mut channels = Channels::new(base64, false, context.activity.clone());
    let mut forwards = Vec::new();
    // Two channels for each port: data and error.
    let ports = request.ports.iter().filter_map(|port| u16::try_from(*port).ok());
    for (channel, port) in (0..=u8::MAX).step_by(2).zip(ports) {
        let from_client = channels.open(channel, context.settings.buffer);
        let sender = |channel| ChannelSender { outlet: outlet.clone(), channel, base64 };
        forwards.push((port, from_client, sender(channel), sender(channel + 1)));
    }
    let reader = read_channels(read, &outlet, channels);
    let handler = async {
        let mut running = JoinSet::new();
        for (port, from_client, mut data, mut error) in forwards {
            let (backend, pod) = (Arc::clone(context.backend), request.pod.clone());
            // Each channel begins with its port.
            let number = port.to_le_bytes();
            if data.message(&number).await.is_err() || error.message(&number).await.is_err() {
                return;
            }
            running.spawn(async move {
                forward::run(backend.as_ref(), &pod, port, (from_client, data), error).await;
            });
        }
        while running.join_next().await.is_some() {}
    };
    drive(context, reader, writer.run(), handler, &outlet, close(), Duration::ZERO).await;
}

/// SPDY in WebSocket: two connections, one inside the other.
async fn tunnel<B, R, W>(context: &Context<'_, B>, version: u8, request: Request, read: R, write: W)
where
    B: StreamBackend,
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    // What moves outside says nothing: SPDY's pings are data there.
    let (outlet, writer) = outlet(write, Activity::new());
    let (inner_read, outer_in) = pipe(context.settings.buffer);
    let (outer_out, inner_write) = pipe(context.settings.buffer);
    let outer = async {
        let _ = tokio::join!(
            read_tunnel(read, &outlet, outer_in),
            write_tunnel(outer_out, &outlet),
            writer.run()
        );
    };
    let inner = spdy(context, version, request, inner_read, inner_write);
    tokio::pin!(outer);
    tokio::select! {
        () = inner => {}
        // Both ways have ended: the inner connection has, too.
        () = &mut outer => return,
    }
    let _ = timeout(LINGER, outer).await;
}

enum Stop {
    Served,
    Reader,
    Writer,
    Idle,
}

/// Polls a connection's parts until all is said or the client has gone.
async fn drive<B>(
    context: &Context<'_, B>,
    reader: impl Future<Output = ()> + Send,
    writer: impl Future<Output = std::io::Result<()>> + Send,
    handler: impl Future<Output = ()> + Send,
    outlet: &Outlet,
    farewell: Vec<u8>,
    client_closes: Duration,
) {
    let Context { settings, activity, hangup, .. } = context;
    let (mut reader, mut writer) = (Box::pin(reader), Box::pin(writer));
    tokio::pin!(handler);
    let stop = tokio::select! {
        () = &mut handler => Stop::Served,
        () = &mut reader => Stop::Reader,
        _ = &mut writer => Stop::Writer,
        () = activity.idle_for(settings.idle_timeout) => Stop::Idle,
        () = hangup.noticed(activity, settings.vanished_grace) => Stop::Idle,
    };
    if matches!(stop, Stop::Served) {
        activity.touch();
        tokio::select! {
            () = &mut reader => return,
            _ = &mut writer => return,
            () = tokio::time::sleep(client_closes) => {}
        }
        outlet.last(farewell);
        tokio::select! {
            _ = &mut writer => {}
            () = &mut reader => return,
            () = activity.idle_for(settings.drain_timeout) => return,
        }
        let _ = timeout(LINGER, reader).await;
        return;
    }
    // Unless the reader has said why.
    outlet.last(if matches!(stop, Stop::Idle) { farewell } else { Vec::new() });
    // What the client had open is closed by this.
    drop(reader);
    let answer = async {
        if !matches!(stop, Stop::Writer) {
            let _ = timeout(LAST_ANSWER, writer.as_mut()).await;
        }
        drop(writer);
    };
    let _ = tokio::join!(answer, timeout(settings.vanished_grace, handler));
}
