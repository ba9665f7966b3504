//! What a shim says of itself and of its runtime (`-info`):
//! `containerd.types.RuntimeInfo`.

use crate::protobuf::{Malformed, Message, Writer, any};

/// The kind of an OCI features document in JSON.
const FEATURES: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/// The message of a shim with that name, version and features.
#[must_use]
pub fn message(name: &str, version: &str, features: &[u8]) -> Vec<u8> {
    Writer::default()
        .text(1, name)
        .message(2, &Writer::default().text(1, version).done())
        .message(4, &any(FEATURES, features))
        .done()
}

/// The features in such a message, in JSON.
///
/// # Errors
/// [`Malformed`], also if it has none.
pub fn features(message: &[u8]) -> Result<Vec<u8>, Malformed> {
    let message = Message::parse(message)?;
    let features = Message::parse(message.bytes(4))?;
    match features.text(1)?.ends_with("/features/Features") {
        true => Ok(features.bytes(2).to_vec()),
        false => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_found_again() {
        assert_eq!(features(&message("x", "1", b"{}")), Ok(b"{}".to_vec()));
        assert_eq!(features(b""), Err(Malformed));
        assert_eq!(features(b"\x80"), Err(Malformed));
    }
}
