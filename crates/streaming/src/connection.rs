//! One upgraded connection.

use tokio::io::{AsyncRead, AsyncWrite};

use crate::backend::StreamBackend;
use crate::http::Agreement;
use crate::requests::Request;
use crate::settings::Settings;

/// The protocols come with the next commits; until then it just hangs up.
pub(crate) async fn serve<B, R, W>(
    _settings: &Settings,
    _backend: &B,
    _agreement: &Agreement,
    _request: Request,
    _read: R,
    _write: W,
) where
    B: StreamBackend,
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    std::future::ready(()).await;
}
