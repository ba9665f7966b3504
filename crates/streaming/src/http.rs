//! The request that a connection begins with: is it one we can serve, and in
//! which protocol.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use crate::requests::Kind;

const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED_PROTOCOLS: HeaderName =
    HeaderName::from_static("x-accepted-stream-protocol-versions");
const PORT_FORWARD: &str = "portforward.k8s.io";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// What RFC 6455 has every server append to the key.
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How streams travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// SPDY/3.1.
    Spdy,
    /// WebSocket messages that begin with a channel's number.
    Channels {
        /// Text messages with base64 instead of binary ones.
        base64: bool,
    },
    /// SPDY/3.1 inside of WebSocket's binary messages.
    Tunnel,
}

/// What both sides will speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) wire: Wire,
    /// Of the remote command protocol; 1 where none was named.
    pub(crate) version: u8,
    /// Headers of the answer.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why not, as an HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), headers: Vec::new() }
    }
}

/// Kind and token of a path.
pub(crate) fn parse_path(path: &str) -> Option<(Kind, &str)> {
    let (kind, token) = path.strip_prefix('/')?.split_once('/')?;
    let kind = Kind::from_path(kind)?;
    (!token.is_empty() && !token.contains('/')).then_some((kind, token))
}

/// What a client that sent these headers and we will speak.
pub(crate) fn negotiate(
    kind: Kind,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Agreement, Refusal> {
    if *method != Method::GET && *method != Method::POST {
        let text = format!("{method} is not served here: use GET or POST");
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    let upgrades = words(headers, &header::CONNECTION);
    let wanted = words(headers, &header::UPGRADE);
    let asks = |name: &str| wanted.iter().any(|word| word.eq_ignore_ascii_case(name));
    if !upgrades.iter().any(|word| word.eq_ignore_ascii_case("upgrade")) || wanted.is_empty() {
        let text = "this address wants an upgrade to SPDY/3.1 or websocket";
        let mut refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, text);
        refusal.headers.push((header::UPGRADE, HeaderValue::from_static("SPDY/3.1, websocket")));
        return Err(refusal);
    }
    if asks("spdy/3.1") {
        return spdy(kind, headers);
    }
    if asks("websocket") {
        return websocket(kind, method, headers);
    }
    let text = format!("can't upgrade to {}: SPDY/3.1 and websocket are served", wanted.join(", "));
    Err(Refusal::new(StatusCode::BAD_REQUEST, text))
}

/// The comma-separated words of all headers of this name.
fn words<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect()
}

fn spdy(kind: Kind, headers: &HeaderMap) -> Result<Agreement, Refusal> {
    let served: &[(&str, u8)] = match kind {
        Kind::Exec | Kind::Attach => &[
            ("v5.channel.k8s.io", 5),
            ("v4.channel.k8s.io", 4),
            ("v3.channel.k8s.io", 3),
            ("v2.channel.k8s.io", 2),
            ("channel.k8s.io", 1),
        ],
        Kind::PortForward => &[(PORT_FORWARD, 1)],
    };
    let mut answer = vec![
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("SPDY/3.1")),
    ];
    let wanted = words(headers, &STREAM_PROTOCOL);
    // Clients of before there was a choice name none.
    if wanted.is_empty() {
        return Ok(Agreement { wire: Wire::Spdy, version: 1, headers: answer });
    }
    // The client's order is its preference.
    let find = |want: &&str| served.iter().find(|(name, _)| name == want);
    let Some((name, version)) = wanted.iter().find_map(find) else {
        let text = format!("none of the stream protocols {} is served", wanted.join(", "));
        let mut refusal = Refusal::new(StatusCode::FORBIDDEN, text);
        for (name, _) in served {
            refusal.headers.push((ACCEPTED_PROTOCOLS, HeaderValue::from_static(name)));
        }
        return Err(refusal);
    };
    answer.push((STREAM_PROTOCOL, HeaderValue::from_static(name)));
    Ok(Agreement { wire: Wire::Spdy, version: *version, headers: answer })
}

fn websocket(kind: Kind, method: &Method, headers: &HeaderMap) -> Result<Agreement, Refusal> {
    if *method != Method::GET {
        let text = format!("{method} can't upgrade to websocket: use GET");
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    if words(headers, &header::SEC_WEBSOCKET_VERSION) != ["13"] {
        let mut refusal =
            Refusal::new(StatusCode::BAD_REQUEST, "only version 13 of websocket is served");
        refusal.headers.push((header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
        return Err(refusal);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map_or(&b""[..], HeaderValue::as_bytes);
    if STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        let text = "Sec-WebSocket-Key is not 16 bytes in base64";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    let (raw, base64) = (Wire::Channels { base64: false }, Wire::Channels { base64: true });
    let served: &[(&str, Wire, u8)] = match kind {
        Kind::Exec | Kind::Attach => &[
            ("v5.channel.k8s.io", raw, 5),
            ("v4.channel.k8s.io", raw, 4),
            ("v4.base64.channel.k8s.io", base64, 4),
            ("channel.k8s.io", raw, 1),
            ("base64.channel.k8s.io", base64, 1),
        ],
        Kind::PortForward => &[
            (TUNNEL, Wire::Tunnel, 1),
            ("v4.channel.k8s.io", raw, 4),
            ("v4.base64.channel.k8s.io", base64, 4),
        ],
    };
    let mut answer = vec![
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
    ];
    let accept = HeaderValue::try_from(accept_key(key))
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    answer.push((header::SEC_WEBSOCKET_ACCEPT, accept));
    let wanted = words(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    if wanted.is_empty() {
        let version = if kind == Kind::PortForward { 4 } else { 1 };
        return Ok(Agreement { wire: raw, version, headers: answer });
    }
    let find = |want: &&str| served.iter().find(|(name, ..)| name == want);
    let Some((name, wire, version)) = wanted.iter().find_map(find) else {
        let names: Vec<_> = served.iter().map(|(name, ..)| *name).collect();
        let text = format!(
            "none of the subprotocols {} is served, only {}",
            wanted.join(", "),
            names.join(", ")
        );
        return Err(Refusal::new(StatusCode::FORBIDDEN, text));
    };
    answer.push((header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name)));
    Ok(Agreement { wire: *wire, version: *version, headers: answer })
}

fn accept_key(key: &[u8]) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(WEBSOCKET_GUID.as_bytes());
    STANDARD.encode(context.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::try_from(*name).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn spdy_with(kind: Kind, protocols: &[&str]) -> Result<Agreement, Refusal> {
        let mut lines = vec![("connection", "keep-alive, upgrade"), ("upgrade", "SPDY/3.1")];
        lines.extend(protocols.iter().map(|name| ("x-stream-protocol-version", *name)));
        negotiate(kind, &Method::POST, &headers(&lines))
    }

    fn websocket_with(kind: Kind, protocols: &str) -> Result<Agreement, Refusal> {
        let mut lines = vec![
            ("connection", "Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        if !protocols.is_empty() {
            lines.push(("sec-websocket-protocol", protocols));
        }
        negotiate(kind, &Method::GET, &headers(&lines))
    }

    #[test]
    fn paths() {
        assert_eq!(parse_path("/exec/abc"), Some((Kind::Exec, "abc")));
        assert_eq!(parse_path("/portforward/abc"), Some((Kind::PortForward, "abc")));
        for path in ["/", "/exec", "/exec/", "/exec/a/b", "exec/a", "/run/a"] {
            assert_eq!(parse_path(path), None, "{path}");
        }
    }

    #[test]
    fn the_clients_first_choice_that_is_served_wins() {
        let agreed =
            spdy_with(Kind::Exec, &["v9.channel.k8s.io", "v3.channel.k8s.io, v4.channel.k8s.io"]);
        assert_eq!(agreed.expect("an agreement").version, 3);
        let agreed = spdy_with(Kind::Attach, &["v4.channel.k8s.io", "v3.channel.k8s.io"]);
        let agreed = agreed.expect("an agreement");
        assert_eq!((agreed.version, agreed.wire), (4, Wire::Spdy));
        assert_eq!(agreed.headers.last().expect("a header").1, "v4.channel.k8s.io");
        assert_eq!(spdy_with(Kind::Exec, &[]).expect("an agreement").version, 1);
    }

    #[test]
    fn strange_protocols_are_refused_with_a_list() {
        let refusal = spdy_with(Kind::Exec, &["v9.channel.k8s.io"]).expect_err("a refusal");
        assert_eq!((refusal.status, refusal.headers.len()), (StatusCode::FORBIDDEN, 5));
        assert!(spdy_with(Kind::PortForward, &["v4.channel.k8s.io"]).is_err());
        assert!(websocket_with(Kind::Exec, "SPDY/3.1+portforward.k8s.io").is_err());
    }

    #[test]
    fn websocket_answers_as_the_rfc_says() {
        let agreed = websocket_with(Kind::Exec, "v6.channel.k8s.io,v5.channel.k8s.io");
        let agreed = agreed.expect("an agreement");
        assert_eq!((agreed.version, agreed.wire), (5, Wire::Channels { base64: false }));
        let accept = &agreed.headers[2];
        assert_eq!(accept.1, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let tunnel = websocket_with(Kind::PortForward, TUNNEL).expect("an agreement");
        assert_eq!(tunnel.wire, Wire::Tunnel);
        let none = websocket_with(Kind::Exec, "").expect("an agreement");
        assert_eq!((none.version, none.headers.len()), (1, 3));
    }

    #[test]
    fn what_is_no_upgrade_is_refused() {
        let status = |method: &Method, lines: &[(&str, &str)]| {
            negotiate(Kind::Exec, method, &headers(lines)).expect_err("a refusal").status
        };
        assert_eq!(status(&Method::GET, &[]), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(status(&Method::PUT, &[]), StatusCode::METHOD_NOT_ALLOWED);
        let other = [("connection", "upgrade"), ("upgrade", "h2c")];
        assert_eq!(status(&Method::GET, &other), StatusCode::BAD_REQUEST);
        let no_key = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "short"),
        ];
        assert_eq!(status(&Method::GET, &no_key), StatusCode::BAD_REQUEST);
        assert_eq!(status(&Method::POST, &no_key), StatusCode::METHOD_NOT_ALLOWED);
    }
}
