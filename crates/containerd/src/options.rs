//! Options of a shim's runtime, as containerd's configuration names them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protobuf::{Writer, any};

/// A value in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OptionValue {
    /// `true` or `false`.
    Flag(bool),
    /// A number.
    Number(u32),
    /// Text.
    Text(String),
}

/// Options by their names.
pub type Options = BTreeMap<String, OptionValue>;

/// What a value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flag,
    Number,
    Text,
}

/// `containerd.runc.v1.Options`: the field of each.
const RUNC: [(&str, u64, Kind); 10] = [
    ("NoPivotRoot", 1, Kind::Flag),
    ("NoNewKeyring", 2, Kind::Flag),
    ("ShimCgroup", 3, Kind::Text),
    ("IoUid", 4, Kind::Number),
    ("IoGid", 5, Kind::Number),
    ("BinaryName", 6, Kind::Text),
    ("Root", 7, Kind::Text),
    ("SystemdCgroup", 9, Kind::Flag),
    ("CriuImagePath", 10, Kind::Text),
    ("CriuWorkPath", 11, Kind::Text),
];

/// `runtimeoptions.v1.Options`, of shims of all other kinds.
const OTHERS: [(&str, u64, Kind); 2] = [("TypeUrl", 1, Kind::Text), ("ConfigPath", 2, Kind::Text)];

/// Options that no shim takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// There is none of that name, beside those that are given.
    #[error("option {name:?} is unknown; known are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// Its value is of another kind.
    #[error("option {name:?} wants {wanted}")]
    Value {
        /// The name.
        name: String,
        /// What it wants.
        wanted: &'static str,
    },
}

/// The `google.protobuf.Any` of these; empty if there are none. Options of runc
/// and those of other shims don't mix.
///
/// # Errors
/// [`OptionError`].
pub fn encode(options: &Options) -> Result<Vec<u8>, OptionError> {
    if options.is_empty() {
        return Ok(Vec::new());
    }
    let is_other = options.keys().any(|name| OTHERS.iter().any(|(other, ..)| other == name));
    let (kind, table): (_, &[_]) = match is_other {
        true => ("runtimeoptions.v1.Options", &OTHERS),
        false => ("containerd.runc.v1.Options", &RUNC),
    };
    let mut writer = Writer::default();
    for (name, value) in options {
        let Some((_, field, wanted)) = table.iter().find(|(known, ..)| known == name) else {
            let known: Vec<&str> = table.iter().map(|(known, ..)| *known).collect();
            return Err(OptionError::Unknown { name: name.clone(), known: known.join(", ") });
        };
        writer = match (wanted, value) {
            (Kind::Flag, OptionValue::Flag(flag)) => writer.number(*field, u64::from(*flag)),
            (Kind::Number, OptionValue::Number(number)) => {
                writer.number(*field, u64::from(*number))
            }
            (Kind::Text, OptionValue::Text(text)) => writer.text(*field, text),
            (wanted, _) => {
                let wanted = match wanted {
                    Kind::Flag => "true or false",
                    Kind::Number => "a number",
                    Kind::Text => "text",
                };
                return Err(OptionError::Value { name: name.clone(), wanted });
            }
        };
    }
    Ok(any(kind, &writer.done()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::Message;

    fn options(json: &str) -> Options {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn options_become_the_message_of_their_kind() {
        assert_eq!(encode(&Options::new()), Ok(Vec::new()));
        let runc = encode(&options(r#"{"BinaryName":"/x","SystemdCgroup":true,"IoUid":7}"#));
        let runc = runc.unwrap();
        let outer = Message::parse(&runc).unwrap();
        assert_eq!(outer.text(1).unwrap(), "containerd.runc.v1.Options");
        let inner = Message::parse(outer.bytes(2)).unwrap();
        assert_eq!((inner.text(6).unwrap().as_str(), inner.number(4)), ("/x", 7));
        assert!(inner.flag(9));
        let other = encode(&options(r#"{"TypeUrl":"t","ConfigPath":"/c"}"#)).unwrap();
        let outer = Message::parse(&other).unwrap();
        assert_eq!(outer.text(1).unwrap(), "runtimeoptions.v1.Options");
    }

    #[test]
    fn what_no_shim_takes_is_named() {
        for (json, word) in [
            (r#"{"Colour":"red"}"#, "Colour"),
            (r#"{"BinaryName":true}"#, "BinaryName"),
            (r#"{"SystemdCgroup":"yes"}"#, "SystemdCgroup"),
            (r#"{"ConfigPath":"/c","BinaryName":"/x"}"#, "BinaryName"),
        ] {
            let message = encode(&options(json)).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
