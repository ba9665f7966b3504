//! A shim's start: what it is told on its standard input, and what it says.
//!
//! Shims have answered in three ways over the years: with the bare address of
//! their socket, with JSON, and with `containerd.runtime.bootstrap.v1`'s
//! `BootstrapResult`.

use serde::Deserialize;

use crate::protobuf::{Malformed, Message, Writer};
use crate::task;

/// What is told: `BootstrapParams`. Shims that know only options read another
/// message in it, of a type that they don't know, and ignore it.
#[derive(Clone, Debug, Default)]
pub struct Bootstrap<'a> {
    /// The container that it is started for.
    pub id: &'a str,
    /// containerd's namespace.
    pub namespace: &'a str,
    /// Where containerd answers.
    pub address: &'a str,
    /// Where it hears of events.
    pub events: &'a str,
    /// The program that publishes events.
    pub publisher: &'a str,
    /// Options of the runtime, a `google.protobuf.Any`; empty: none.
    pub options: &'a [u8],
}

impl Bootstrap<'_> {
    /// The message.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let plain = Writer::default()
            .text(1, self.id)
            .text(2, self.namespace)
            .text(4, env!("CARGO_PKG_VERSION"))
            .text(5, self.events)
            .text(6, self.address)
            .text(7, self.publisher);
        match self.options {
            [] => plain.done(),
            options => plain.message(8, &Writer::default().message(1, options).done()).done(),
        }
    }

    /// The options in such a message, for a shim that has been told.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn options_in(message: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
        let message = Message::parse(message)?;
        message.each(8).map(|extension| Ok(Message::parse(extension)?.bytes(1))).collect()
    }
}

/// Where a shim listens, and what it speaks there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The socket, such as `unix:///run/containerd/s/0123`.
    pub address: String,
    /// The service of its tasks.
    pub service: &'static str,
}

/// Why an answer can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// It names no address.
    #[error("the shim's answer names no address")]
    NoAddress,
    /// It does not speak ttrpc.
    #[error("the shim speaks {0}; only ttrpc is supported")]
    Protocol(String),
    /// Its protocol is too new.
    #[error("the shim's protocol is of version {0}; 2 and 3 are supported")]
    Version(u64),
}

#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    version: u64,
    #[serde(default)]
    address: String,
    #[serde(default)]
    protocol: String,
}

impl Endpoint {
    /// Reads what a shim has said on standard output.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn parse(answer: &[u8]) -> Result<Self, StartError> {
        let text = answer.trim_ascii();
        let said = match serde_json::from_slice::<Json>(text) {
            Ok(json) => json,
            Err(_) if text.starts_with(b"unix://") || text.starts_with(b"/") => {
                bare(text).ok_or(StartError::NoAddress)?
            }
            Err(_) => bootstrap_result(answer).map_err(|Malformed| StartError::NoAddress)?,
        };
        let service = match said.version {
            // The version of those that don't name it.
            0..=2 => task::SERVICE,
            3 => task::SERVICE_V3,
            other => return Err(StartError::Version(other)),
        };
        match said.protocol.as_str() {
            "" | "ttrpc" => {}
            other => return Err(StartError::Protocol(other.chars().take(80).collect())),
        }
        match said.address.as_str() {
            "" => Err(StartError::NoAddress),
            _ => Ok(Self { address: said.address, service }),
        }
    }
}

fn bare(text: &[u8]) -> Option<Json> {
    let address = std::str::from_utf8(text).ok()?.to_owned();
    Some(Json { version: 2, address, protocol: String::new() })
}

fn bootstrap_result(answer: &[u8]) -> Result<Json, Malformed> {
    let message = Message::parse(answer)?;
    Ok(Json { version: message.number(1), address: message.text(2)?, protocol: message.text(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str, service: &'static str) -> Result<Endpoint, StartError> {
        Ok(Endpoint { address: address.to_owned(), service })
    }

    #[test]
    fn every_form_of_an_answer_is_understood() {
        let parse = |text: &str| Endpoint::parse(text.as_bytes());
        assert_eq!(parse("unix:///run/s\n"), endpoint("unix:///run/s", task::SERVICE));
        let json = r#"{"version":3,"address":"unix:///run/s","protocol":"ttrpc"}"#;
        assert_eq!(parse(json), endpoint("unix:///run/s", task::SERVICE_V3));
        let message = Writer::default().number(1, 3).text(2, "unix:///run/s").text(3, "ttrpc");
        assert_eq!(Endpoint::parse(&message.done()), endpoint("unix:///run/s", task::SERVICE_V3));
    }

    #[test]
    fn what_is_not_spoken_here_is_refused_by_name() {
        let parse = |text: &str| Endpoint::parse(text.as_bytes()).unwrap_err().to_string();
        let grpc = parse(r#"{"version":3,"address":"unix:///run/s","protocol":"grpc"}"#);
        assert!(grpc.contains("grpc"), "{grpc}");
        let new = parse(r#"{"version":4,"address":"unix:///run/s","protocol":"ttrpc"}"#);
        assert!(new.contains("version 4"), "{new}");
        for nothing in ["", "{}", "\u{1}", "garbage"] {
            assert_eq!(Endpoint::parse(nothing.as_bytes()), Err(StartError::NoAddress));
        }
    }

    #[test]
    fn a_shim_finds_its_options() {
        let bootstrap = Bootstrap { id: "x", options: b"\x0a\x01k", ..Bootstrap::default() };
        let message = bootstrap.message();
        assert_eq!(Bootstrap::options_in(&message), Ok(vec![b"\x0a\x01k".as_slice()]));
        assert!(Bootstrap::options_in(&[0x80]).is_err());
    }
}
