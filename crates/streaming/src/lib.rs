//! CRI's streaming server: exec, attach and port-forward over SPDY/3.1 and
//! WebSocket, as kubelet, crictl and kubectl speak them.
//!
//! An `Exec`, `Attach` or `PortForward` call of CRI answers with an address.
//! [`StreamingServer::exec`] and its siblings make such addresses: each holds a
//! random token that is good for one connection within a minute. Whoever
//! connects gets its streams joined to what the [`StreamBackend`] runs.
//!
//! Memory per connection is bounded whatever the other side does: nothing is
//! read from a socket while what was read before is not taken, and nothing is
//! taken from a program while the socket does not take it.

mod activity;
mod backend;
mod command;
mod connection;
mod forward;
mod hangup;
mod http;
mod outlet;
mod pipe;
mod requests;
mod sender;
mod server;
mod settings;
mod spdy;
mod spdy_streams;
mod status;
mod tokens;
mod websocket;

pub use backend::{
    BackendError, ExitCode, PortIo, PortStream, ProcessIo, Resizes, StreamBackend, TerminalSize,
};
pub use pipe::{StreamReader, StreamWriter};
pub use requests::{AttachRequest, ExecRequest, PortForwardRequest, RequestError};
pub use server::{ServerError, StreamingServer};
pub use settings::Settings;
