//! Answers: what they say, what went wrong, reading them with limits.

use std::io::Read;
use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::http::header::{HeaderName, RETRY_AFTER};
use ureq::http::{Response, Uri};
use ureq::{Body, Timeout};

use crate::registry::error::RegistryFailure;
use crate::registry::settings::RegistrySettings;
use crate::registry::url;

/// So much of an error's text is read, and so much shown.
const MAX_ERROR: u64 = 8 << 10;
const SHOWN: usize = 300;

/// The head of an answer; the body is still to be read.
pub(in crate::registry) struct Reply {
    pub(in crate::registry) response: Response<Body>,
    /// Where it came from, after redirections.
    pub(in crate::registry) uri: Uri,
    pub(in crate::registry) with_credential: bool,
}

impl Reply {
    pub(in crate::registry) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(in crate::registry) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    pub(in crate::registry) fn url(&self) -> String {
        url::shown(&self.uri)
    }

    /// How long the server wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.header(&RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
    }

    /// The whole body, at most `limit` bytes.
    pub(in crate::registry) fn body(
        mut self,
        limit: u64,
        time: Duration,
    ) -> Result<Vec<u8>, RegistryFailure> {
        let url = self.url();
        read_capped(self.response.body_mut().as_reader(), limit, time, &url)
    }

    /// What an answer of an unexpected status means.
    pub(in crate::registry) fn into_failure(
        mut self,
        registry: &str,
        time: Duration,
    ) -> RegistryFailure {
        let (status, url) = (self.status(), self.url());
        let mut text = Vec::new();
        let reader = self.response.body_mut().as_reader().take(MAX_ERROR);
        // Only for the message: what can't be read is left out.
        if let Ok(read) = read_capped(reader, MAX_ERROR, time, &url) {
            text = read;
        }
        let message = message(&text);
        let (registry, with_credential) = (registry.to_owned(), self.with_credential);
        match status {
            401 => RegistryFailure::Unauthorized { url, registry, with_credential, message },
            403 => RegistryFailure::Denied { url, registry, with_credential, message },
            404 => RegistryFailure::NotFound { url, message },
            429 => RegistryFailure::RateLimited { url, message },
            status => RegistryFailure::Status { url, status, message },
        }
    }
}

/// Reads to the end, at most `limit` bytes, for about `time` at most.
pub(in crate::registry) fn read_capped(
    mut reader: impl Read,
    limit: u64,
    time: Duration,
    url: &str,
) -> Result<Vec<u8>, RegistryFailure> {
    let deadline = Instant::now() + time;
    let mut all = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = reader.read(&mut buffer).map_err(|error| broken(&error, url, time))?;
        if count == 0 {
            return Ok(all);
        }
        all.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if all.len() as u64 > limit {
            return Err(RegistryFailure::TooLong { url: url.to_owned(), limit });
        }
        if Instant::now() > deadline {
            let what = "reading the answer";
            return Err(RegistryFailure::Timeout { url: url.to_owned(), what, limit: time });
        }
    }
}

/// A body that can't be read on.
pub(in crate::registry) fn broken(
    error: &std::io::Error,
    url: &str,
    limit: Duration,
) -> RegistryFailure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    let url = url.to_owned();
    if error.kind() == std::io::ErrorKind::TimedOut
        || matches!(inner, Some(ureq::Error::Timeout(_)))
    {
        RegistryFailure::Timeout { url, what: "waiting for more of the content", limit }
    } else {
        RegistryFailure::Connection { url, why: format!("the connection broke: {error}") }
    }
}

/// What ureq could not do.
pub(super) fn failure(
    error: ureq::Error,
    uri: &Uri,
    registry: &str,
    settings: &RegistrySettings,
) -> RegistryFailure {
    let url = url::shown(uri);
    let tls =
        |why: String| RegistryFailure::Tls { url: url.clone(), registry: registry.to_owned(), why };
    match error {
        ureq::Error::Timeout(phase) => {
            let (what, limit) = match phase {
                Timeout::Resolve => ("looking up the name", settings.connect_timeout),
                Timeout::Connect => ("connecting", settings.connect_timeout),
                Timeout::RecvResponse => ("the answer", settings.response_timeout),
                Timeout::SendRequest => ("sending the request", settings.response_timeout),
                _ => ("waiting for the server", settings.stall_timeout),
            };
            RegistryFailure::Timeout { url, what, limit }
        }
        ureq::Error::Rustls(error) => tls(error.to_string()),
        ureq::Error::Tls(why) => tls(why.to_owned()),
        ureq::Error::HostNotFound => {
            RegistryFailure::Protocol { url, why: "there is no host of this name".to_owned() }
        }
        ureq::Error::Io(error) => {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => tls(error.to_string()),
                None => RegistryFailure::Connection { url, why: error.to_string() },
            }
        }
        ureq::Error::Protocol(error) => {
            RegistryFailure::Connection { url, why: format!("no proper HTTP: {error}") }
        }
        ureq::Error::ConnectionFailed => {
            RegistryFailure::Connection { url, why: "no connection".to_owned() }
        }
        other => RegistryFailure::Protocol { url, why: other.to_string() },
    }
}

/// The registry's own words: distribution's JSON, or the text itself.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    #[derive(Deserialize)]
    struct Details {
        details: String,
    }
    let text = if let Ok(Errors { errors }) = serde_json::from_slice(body) {
        let texts: Vec<String> =
            errors.iter().take(5).map(|e| format!("{}: {}", e.code, e.message)).collect();
        texts.join("; ")
    } else if let Ok(Details { details }) = serde_json::from_slice(body) {
        details
    } else if body.trim_ascii_start().starts_with(b"<") {
        // An HTML page says nothing to a user of a command line.
        String::new()
    } else {
        String::from_utf8_lossy(body).into_owned()
    };
    text.trim().chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn words_of_the_registry() {
        let json =
            br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m","detail":{"x":1}},{}]}"#;
        assert_eq!(message(json), "DENIED: no[31m; :");
        assert_eq!(message(br#"{"details":"bad"}"#), "bad");
        assert_eq!(message(b"<html>"), "");
        assert_eq!(message(b" plain\n"), "plain");
        assert_eq!(message(&[b'x'; 9000]).len(), 300);
        assert_eq!(message(b"\xff\x00").len(), 3);
    }
}
