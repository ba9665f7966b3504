//! Public keys: PEM of a `SubjectPublicKeyInfo` (RFC 5280, RFC 7468).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

/// The longest file of keys.
const MAX_FILE: u64 = 64 << 10;

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const BIT_STRING: u8 = 0x03;
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ED25519_ID: &[u8] = &[0x2b, 0x65, 0x70];

/// A key that signatures are verified with: ECDSA on P-256 with SHA-256, Ed25519,
/// or RSA (PKCS #1 v1.5, 2048 bits or more) with SHA-256.
#[derive(Clone)]
pub(super) struct PublicKey {
    algorithm: &'static dyn VerificationAlgorithm,
    bytes: Vec<u8>,
}

impl PublicKey {
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm, &self.bytes).verify(message, signature).is_ok()
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("longer than {MAX_FILE} bytes"));
    }
    Ok(text)
}

/// All keys in `pem`; at least one.
pub(super) fn parse(pem: &[u8]) -> Result<Vec<PublicKey>, String> {
    let mut keys = Vec::new();
    for der in SubjectPublicKeyInfoDer::pem_slice_iter(pem) {
        let der = der.map_err(|error| format!("is no PEM: {error}"))?;
        keys.push(from_der(&der)?);
    }
    if keys.is_empty() {
        return Err("holds no PEM \"PUBLIC KEY\"".to_owned());
    }
    Ok(keys)
}

fn from_der(der: &[u8]) -> Result<PublicKey, String> {
    let malformed = || "is no SubjectPublicKeyInfo".to_owned();
    let (info, rest) = element(der, SEQUENCE).ok_or_else(malformed)?;
    let (algorithm, info) = element(info, SEQUENCE).ok_or_else(malformed)?;
    let (bits, end) = element(info, BIT_STRING).ok_or_else(malformed)?;
    let (id, parameters) = element(algorithm, OBJECT_ID).ok_or_else(malformed)?;
    // The first octet counts the unused bits of the last one: none.
    let bytes = bits.strip_prefix(&[0]).ok_or_else(malformed)?.to_vec();
    if !rest.is_empty() || !end.is_empty() {
        return Err(malformed());
    }
    let algorithm: &'static dyn VerificationAlgorithm = if id == EC_PUBLIC_KEY {
        match element(parameters, OBJECT_ID) {
            Some((PRIME256V1, [])) => &ECDSA_P256_SHA256_ASN1,
            _ => return Err("is on another elliptic curve than P-256".to_owned()),
        }
    } else if id == ED25519_ID {
        &ED25519
    } else if id == RSA_ENCRYPTION {
        &RSA_PKCS1_2048_8192_SHA256
    } else {
        return Err("is of another kind than ECDSA (P-256), Ed25519 and RSA".to_owned());
    };
    Ok(PublicKey { algorithm, bytes })
}

/// The content of the element of type `tag` at the start of `der`, and what is
/// behind it (X.690, definite lengths).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    if *first != tag {
        return None;
    }
    let (short, rest) = rest.split_first()?;
    let (length, rest) = if *short < 0x80 {
        (usize::from(*short), rest)
    } else {
        let count = usize::from(*short & 0x7f);
        if !(1..=2).contains(&count) {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(count)?;
        (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::{element, from_der, parse};

    #[test]
    fn malformed_keys_are_refused() {
        for bad in [
            "",
            "x",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in
            [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x84, 255, 255, 255, 255], &[0x30, 5, 0]]
        {
            assert!(from_der(bad).is_err() && element(bad, 0x30).is_none(), "{bad:?}");
        }
    }
}
