//! Which images may be used: `policy.json` (containers-policy.json(5)), with
//! signatures as cosign leaves them in a registry.
//!
//! Supported are the requirements `insecureAcceptAnything`, `reject` and
//! `sigstoreSigned` with public keys. `signedBy`, and keyless or logged
//! signatures, are refused by name where they would apply.

mod identity;
mod key;
mod local;
mod requirement;
mod scope;
mod signature;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Digest, Reference, RegistryClient, RegistryError};
pub use local::LocalImage;
use requirement::Requirement;
use scope::UniqueMap;

/// The longest policy.json.
const MAX_FILE: u64 = 4 << 20;

/// What policy.json says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    default: Requirements,
    #[serde(default)]
    transports: UniqueMap<UniqueMap<Requirements>>,
}

/// All of them must be met; there is at least one.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Vec<Requirement>")]
struct Requirements(Vec<Requirement>);

impl TryFrom<Vec<Requirement>> for Requirements {
    type Error = &'static str;

    fn try_from(list: Vec<Requirement>) -> Result<Self, &'static str> {
        if list.is_empty() { Err("a list of requirements is empty") } else { Ok(Self(list)) }
    }
}

/// Why an image may not be used, or why that can't be told.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The policy can't be read.
    #[error("signature policy {}: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Not of the form.
    #[error("signature policy is malformed: {0}")]
    Malformed(String),
    /// The policy says so.
    #[error("{image} is refused by the signature policy ({scope}: reject)")]
    Rejected {
        /// The image.
        image: String,
        /// The scope in the policy that applies.
        scope: String,
    },
    /// A requirement that is not known here.
    #[error(
        "{image} can't be checked: the signature policy ({scope}) asks for {requirement}, which \
         is not supported; sigstoreSigned with a public key is"
    )]
    Unsupported {
        /// The image.
        image: String,
        /// The scope in the policy that applies.
        scope: String,
        /// The requirement's name.
        requirement: String,
    },
    /// A key can't be used.
    #[error("key of the signature policy ({key}): {why}")]
    Key {
        /// Its file, or where in the policy it is.
        key: String,
        /// Why.
        why: String,
    },
    /// There is none.
    #[error(
        "{image} is refused by the signature policy ({scope}): it has no signature for {}",
        list(digests)
    )]
    NoSignature {
        /// The image.
        image: String,
        /// The scope in the policy that applies.
        scope: String,
        /// What a signature was looked for of.
        digests: Vec<Digest>,
    },
    /// There are some, but none that counts.
    #[error(
        "{image} is refused by the signature policy ({scope}): no signature is accepted: {}",
        reasons.join("; ")
    )]
    NotAccepted {
        /// The image.
        image: String,
        /// The scope in the policy that applies.
        scope: String,
        /// What is wrong with each.
        reasons: Vec<String>,
    },
    /// A signature is asked for, of what can have none.
    #[error(
        "{image} is refused by the signature policy ({scope}): it asks for a signature, and files \
         carry none: pull the image from a registry, or allow the file in the policy"
    )]
    NeverSigned {
        /// The image.
        image: String,
        /// The scope in the policy that applies.
        scope: String,
    },
    /// The signatures can't be had.
    #[error("looking for signatures: {0}")]
    Registry(#[from] RegistryError),
}

fn list(digests: &[Digest]) -> String {
    digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

impl Policy {
    /// Every image may be used.
    #[must_use]
    pub fn accept_anything() -> Self {
        Self {
            default: Requirements(vec![Requirement::InsecureAcceptAnything]),
            transports: UniqueMap(BTreeMap::new()),
        }
    }

    /// Reads a policy. Keys that it names by path are read when they are needed.
    ///
    /// # Errors
    ///
    /// It can't be read, is longer than 4 MiB or malformed: unknown members and
    /// members that occur twice are errors too.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let failed = |why: String| PolicyError::Read { path: path.to_owned(), why };
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
            .map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > MAX_FILE {
            return Err(failed(format!("longer than {MAX_FILE} bytes")));
        }
        serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))
    }

    /// Reads a policy from its text.
    ///
    /// # Errors
    ///
    /// It is malformed, as for [`Policy::load`].
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        serde_json::from_slice(text).map_err(|error| PolicyError::Malformed(error.to_string()))
    }

    /// Whether images from registries are all accepted, so that no signature will
    /// ever be looked for.
    #[must_use]
    pub fn accepts_anything(&self) -> bool {
        let open =
            |r: &Requirements| r.0.iter().all(|r| matches!(r, Requirement::InsecureAcceptAnything));
        let docker = self.transports.0.get("docker");
        open(&self.default) && docker.is_none_or(|scopes| scopes.0.values().all(open))
    }

    /// Whether the image that `reference` names in a registry may be used.
    /// `digests` are those of its manifest and of the indexes that led to it: a
    /// signature of any of them signs the image.
    ///
    /// # Errors
    ///
    /// It may not, or that can't be told.
    pub fn check(
        &self,
        client: &RegistryClient,
        reference: &Reference,
        digests: &[Digest],
    ) -> Result<(), PolicyError> {
        let (scope, requirements) = self.find("docker", scope::names(reference));
        let named = || reference.to_string();
        let mut signatures = None;
        for requirement in &requirements.0 {
            match requirement {
                Requirement::InsecureAcceptAnything => {}
                Requirement::Reject => {
                    return Err(PolicyError::Rejected { image: named(), scope });
                }
                Requirement::Unsupported(name) => {
                    return Err(PolicyError::Unsupported {
                        image: named(),
                        scope,
                        requirement: name.clone(),
                    });
                }
                Requirement::SigstoreSigned(signed) => {
                    let keys = signed.keys()?;
                    let found = match &mut signatures {
                        Some(found) => found,
                        None => signatures.insert(signature::find(client, reference, digests)?),
                    };
                    let mut reasons = Vec::new();
                    let accepted = found.iter().any(|signature| {
                        match signature.verify(&keys, &signed.identity, reference) {
                            Ok(()) => true,
                            Err(reason) => {
                                reasons.push(reason);
                                false
                            }
                        }
                    });
                    if accepted {
                        continue;
                    }
                    let image = named();
                    return Err(if reasons.is_empty() {
                        PolicyError::NoSignature { image, scope, digests: digests.to_vec() }
                    } else {
                        PolicyError::NotAccepted { image, scope, reasons }
                    });
                }
            }
        }
        Ok(())
    }

    /// The requirements of the first of `scopes` that the policy names, and that
    /// scope's name for messages.
    fn find(&self, transport: &str, scopes: Vec<String>) -> (String, &Requirements) {
        let named = self.transports.0.get(transport);
        for name in scopes {
            if let Some(found) = named.and_then(|scopes| scopes.0.get(&name)) {
                return (format!("{transport} {name:?}"), found);
            }
        }
        ("default".to_owned(), &self.default)
    }
}

#[cfg(test)]
mod tests;
