//! The daemon: the engine, a socket, and signals.

mod accept;
mod authority;
mod dispatch;
mod instance;
mod methods;
mod notify;
mod prometheus;
mod reload;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use caisson_node::Engine;
use caisson_node::pods::{PodError, Pods};
use caisson_streaming::{Settings as StreamSettings, StreamingServer};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Config, InvalidConfig, Live};
use crate::images::{Images, Pulls};
use crate::log::{self, Level, log};
use crate::metrics::Metrics;
use crate::runtime::Runtime;
use crate::streams::Backend;
use crate::trace::Exporter;
pub use instance::InstanceError;
pub use socket::SocketError;

/// How long calls that run may take to end once the daemon is told to.
const FAREWELL: Duration = Duration::from_secs(10);

/// How long the last spans may take to go.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// What the daemon is given.
#[derive(Debug)]
pub struct ServeOptions {
    /// The engine, as root.
    pub engine: Engine,
    /// The settings file that the user named, to be read again on SIGHUP.
    pub settings_file: Option<PathBuf>,
    /// Where to listen; else what the settings say, else `caisson.sock` in the
    /// run directory.
    pub socket: Option<PathBuf>,
}

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A kubelet's pods need what only root has.
    #[error("the daemon needs root: rootless containers work without one")]
    Rootless,
    /// The settings.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Another one.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The pods of an earlier one can't be taken over.
    #[error("cannot take over the pods that are there: {0}")]
    Pods(#[from] PodError),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The streaming server.
    #[error(transparent)]
    Streaming(#[from] caisson_streaming::ServerError),
    /// The metrics.
    #[error("cannot listen on serve.metrics_address {address}: {source}")]
    Metrics {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Threads or signals.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs the daemon until SIGTERM or SIGINT. Pods run on.
///
/// # Errors
/// [`ServeError`], before it listens.
pub fn serve(options: ServeOptions) -> Result<(), ServeError> {
    let ServeOptions { engine, settings_file, socket } = options;
    let config = Config::new((*engine.settings()).clone())?;
    log::set(config.level, config.format);
    if engine.rootless() {
        return Err(ServeError::Rootless);
    }
    let _only = instance::claim(engine.paths().run())?;
    let path = socket
        .or_else(|| config.settings.serve.socket.clone())
        .unwrap_or_else(|| engine.paths().socket());
    let system = |what| move |source| ServeError::System { what, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("caisson")
        // A pull or a probe holds one each while it runs.
        .max_blocking_threads(1024)
        .enable_all()
        .build()
        .map_err(system("start threads"))?;
    let pods = Pods::open(engine)?;
    let ended = runtime.block_on(run(pods, Live::new(config), settings_file, path));
    // What is not done by now is finished, or undone, by the next daemon.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run(
    pods: Pods,
    live: Live,
    settings_file: Option<PathBuf>,
    path: PathBuf,
) -> Result<(), ServeError> {
    let config = live.now();
    let signals = |kind| {
        signal(kind).map_err(|source| ServeError::System { what: "receive signals", source })
    };
    let (mut hup, mut term, mut int) = (
        signals(SignalKind::hangup())?,
        signals(SignalKind::terminate())?,
        signals(SignalKind::interrupt())?,
    );
    let mut streams = StreamSettings::default();
    streams.address.set_port(config.settings.serve.streaming_port.unwrap_or(0));
    let backend = Arc::new(Backend::new(pods.clone()));
    let streaming = Arc::new(StreamingServer::bind(streams, backend).await?);
    let metrics = Arc::new(Metrics::default());
    let (tracer, exporter) = match &config.tracing {
        Some((endpoint, per_million)) => {
            let metrics = Arc::clone(&metrics);
            let (tracer, exporter) = Exporter::start(endpoint.clone(), *per_million, metrics);
            (Some(tracer), Some(exporter))
        }
        None => (None, None),
    };
    let pulls = Arc::new(Pulls::new(Arc::clone(&metrics)));
    if let Some(address) = config.settings.serve.metrics_address {
        let source =
            prometheus::Source::new(pods.clone(), Arc::clone(&metrics), Arc::clone(&pulls));
        prometheus::listen(address, source)
            .await
            .map_err(|source| ServeError::Metrics { address, source })?;
    }
    let listener = socket::bind(&path)?;
    let (stop, stopping) = watch::channel(false);
    let services = dispatch::Services::new(
        Runtime::new(pods.clone(), live.clone(), Arc::clone(&streaming), stopping.clone()),
        Images::new(pods.clone(), live.clone(), pulls),
        metrics,
        tracer,
    );
    let accepting = tokio::spawn(accept::accept(listener, services, stopping));
    log(
        Level::Info,
        "listening",
        &[
            ("socket", &path.display()),
            ("streaming", &streaming.address()),
            ("version", &env!("CARGO_PKG_VERSION")),
        ],
    );
    notify::ready();
    notify::keep_watchdog_quiet(pods.clone());
    let why = loop {
        tokio::select! {
            _ = hup.recv() => reload::reload(&pods, &live, settings_file.as_deref()),
            _ = term.recv() => break "SIGTERM",
            _ = int.recv() => break "SIGINT",
        }
    };
    notify::stopping();
    log(Level::Info, "stopping; pods run on", &[("signal", &why)]);
    socket::remove(&path);
    let _ = stop.send(true);
    if tokio::time::timeout(FAREWELL, accepting).await.is_err() {
        log(Level::Warn, "calls were cut off; asked again they go on", &[]);
    }
    if let Some(exporter) = exporter {
        exporter.finish(LAST_SPANS).await;
    }
    Ok(())
}
