//! The requirements that an image may have to meet.

use std::path::PathBuf;

use base64::Engine as _;
use serde::Deserialize;

use super::PolicyError;
use super::identity::SignedIdentity;
use super::key::{self, PublicKey};

/// Members of `sigstoreSigned` that stand for other proofs than a key.
const UNSUPPORTED: [&str; 7] = [
    "fulcio",
    "pki",
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
    "certificateIdentity",
];

/// One requirement.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "serde_json::Map<String, serde_json::Value>")]
pub(super) enum Requirement {
    InsecureAcceptAnything,
    Reject,
    SigstoreSigned(SigstoreSigned),
    /// Known to others; refused where it applies.
    Unsupported(String),
}

/// A signature by one of these keys, for the right name.
#[derive(Clone, Debug)]
pub(super) struct SigstoreSigned {
    sources: Vec<KeySource>,
    pub(super) identity: SignedIdentity,
}

#[derive(Clone, Debug)]
enum KeySource {
    Path(PathBuf),
    Data(Vec<u8>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Members {
    key_path: Option<PathBuf>,
    key_paths: Option<Vec<PathBuf>>,
    key_data: Option<String>,
    key_datas: Option<Vec<String>>,
    signed_identity: Option<SignedIdentity>,
}

impl TryFrom<serde_json::Map<String, serde_json::Value>> for Requirement {
    type Error = String;

    fn try_from(mut map: serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let Some(serde_json::Value::String(kind)) = map.remove("type") else {
            return Err("a requirement has no type".to_owned());
        };
        let bare = |requirement| match map.keys().next() {
            None => Ok(requirement),
            Some(name) => Err(format!("unknown member {name:?} of {kind}")),
        };
        match kind.as_str() {
            "insecureAcceptAnything" => bare(Self::InsecureAcceptAnything),
            "reject" => bare(Self::Reject),
            "signedBy" | "signedBaseLayer" => Ok(Self::Unsupported(kind)),
            "sigstoreSigned" => {
                if let Some(name) = UNSUPPORTED.iter().find(|name| map.contains_key(**name)) {
                    return Ok(Self::Unsupported(format!("sigstoreSigned with {name}")));
                }
                SigstoreSigned::read(map).map(Self::SigstoreSigned)
            }
            other => Err(format!("unknown requirement {other:?}")),
        }
    }
}

impl SigstoreSigned {
    fn read(map: serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let members: Members = serde_json::from_value(serde_json::Value::Object(map))
            .map_err(|error| format!("sigstoreSigned: {error}"))?;
        let decode = |text: &String| {
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .map(KeySource::Data)
                .map_err(|_| "sigstoreSigned: keyData is not base64".to_owned())
        };
        let mut kinds: Vec<Vec<KeySource>> = Vec::new();
        kinds.extend(members.key_path.map(|path| vec![KeySource::Path(path)]));
        kinds.extend(members.key_paths.map(|all| all.into_iter().map(KeySource::Path).collect()));
        if let Some(data) = &members.key_data {
            kinds.push(vec![decode(data)?]);
        }
        if let Some(all) = &members.key_datas {
            kinds.push(all.iter().map(decode).collect::<Result<_, _>>()?);
        }
        match (kinds.pop(), kinds.is_empty()) {
            (Some(sources), true) if !sources.is_empty() => {
                Ok(Self { sources, identity: members.signed_identity.unwrap_or_default() })
            }
            _ => Err("sigstoreSigned: exactly one of keyPath, keyPaths, keyData and keyDatas is \
                      needed, and a key in it"
                .to_owned()),
        }
    }

    /// Reads the keys.
    pub(super) fn keys(&self) -> Result<Vec<PublicKey>, PolicyError> {
        let mut keys = Vec::new();
        for source in &self.sources {
            let (name, pem) = match source {
                KeySource::Path(path) => (path.display().to_string(), key::read(path)),
                KeySource::Data(pem) => ("keyData".to_owned(), Ok(pem.clone())),
            };
            let parsed = pem.and_then(|pem| key::parse(&pem));
            keys.extend(parsed.map_err(|why| PolicyError::Key { key: name, why })?);
        }
        Ok(keys)
    }
}
