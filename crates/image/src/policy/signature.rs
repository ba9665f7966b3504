//! Signatures as cosign stores them: an artifact under the tag
//! `sha256-<hex>.sig`, each layer a payload, its signature an annotation.

use base64::Engine as _;
use serde::Deserialize;

use super::PolicyError;
use super::identity::SignedIdentity;
use super::key::PublicKey;
use crate::manifest::Document;
use crate::{Digest, Reference, RegistryClient, RegistryError};

const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const KIND: &str = "cosign container image signature";
/// The longest payload, and the most signatures that are looked at.
const MAX_PAYLOAD: u64 = 1 << 20;
const MAX_SIGNATURES: usize = 64;

/// A signature that somebody put there; nothing of it is true yet.
pub(super) struct Signature {
    /// What it was found for.
    digest: Digest,
    payload: Vec<u8>,
    signature: String,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    docker_reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: Digest,
}

/// All signatures in the repository of `reference` for any of `digests`.
pub(super) fn find(
    client: &RegistryClient,
    reference: &Reference,
    digests: &[Digest],
) -> Result<Vec<Signature>, PolicyError> {
    let mut found = Vec::new();
    for digest in digests {
        let tag = format!("{}-{}.sig", digest.algorithm().as_str(), digest.hex());
        // A SHA-512 digest is too long for a tag; cosign can't sign such an image.
        let Ok(artifact) = reference.with_tag(&tag) else { continue };
        let bytes = match client.resolve(&artifact) {
            Ok((_, bytes)) => bytes,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error.into()),
        };
        let Ok(Document::Manifest(manifest)) = Document::parse(&bytes, "") else { continue };
        for layer in &manifest.layers {
            let signature = layer.annotations.get(SIGNATURE);
            let Some(signature) = signature.filter(|_| layer.media_type == PAYLOAD_TYPE) else {
                continue;
            };
            if found.len() >= MAX_SIGNATURES {
                return Ok(found);
            }
            let payload: Result<Vec<u8>, RegistryError> =
                client.blob_bytes(&artifact, layer, MAX_PAYLOAD);
            found.push(Signature {
                digest: digest.clone(),
                payload: payload?,
                signature: signature.clone(),
            });
        }
    }
    Ok(found)
}

impl Signature {
    /// Whether one of `keys` made it, for this image under the right name; if
    /// not, why.
    pub(super) fn verify(
        &self,
        keys: &[PublicKey],
        identity: &SignedIdentity,
        reference: &Reference,
    ) -> Result<(), String> {
        let signature = base64::engine::general_purpose::STANDARD
            .decode(&self.signature)
            .map_err(|_| "the signature is not base64".to_owned())?;
        // Nothing of the payload is looked at before this.
        if !keys.iter().any(|key| key.verifies(&self.payload, &signature)) {
            return Err("none of the policy's keys made the signature".to_owned());
        }
        let payload: Payload = serde_json::from_slice(&self.payload)
            .map_err(|error| format!("what is signed is malformed: {error}"))?;
        let critical = payload.critical;
        if critical.kind != KIND {
            let kind: String = critical.kind.chars().take(100).collect();
            return Err(format!("what is signed is a {kind:?}, not a {KIND:?}"));
        }
        let signed = critical.image.docker_manifest_digest;
        if signed != self.digest {
            return Err(format!("the signature is for the image {signed}, not {}", self.digest));
        }
        identity.check(&critical.identity.docker_reference, reference)
    }
}
