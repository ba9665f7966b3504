//! From files to a TLS configuration.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::registry::error::RegistryFailure;
use crate::registry::hosts::TlsFiles;

/// The longest file of certificates.
const MAX_FILE: u64 = 4 << 20;

pub(super) fn config<'a>(
    files: &TlsFiles,
    system: impl FnOnce() -> &'a Vec<Certificate<'static>>,
) -> Result<TlsConfig, RegistryFailure> {
    let mut roots = Vec::new();
    if !files.skip_verify {
        roots.clone_from(system());
        for path in &files.ca {
            roots.extend(certificates(path, &read(path)?)?);
        }
    }
    let client = match &files.client {
        Some((certificate, key)) => Some(client(certificate, key.as_deref())?),
        None => None,
    };
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(client)
        .disable_verification(files.skip_verify)
        .build())
}

fn failed(path: &Path, why: &dyn ToString) -> RegistryFailure {
    RegistryFailure::Hosts { path: path.to_owned(), why: why.to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryFailure> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
        .map_err(|error| failed(path, &error))?;
    if text.len() as u64 > MAX_FILE {
        return Err(failed(path, &format!("longer than {MAX_FILE} bytes")));
    }
    Ok(text)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<Certificate<'static>>, RegistryFailure> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let der = certificate.map_err(|error| failed(path, &error))?;
        found.push(Certificate::from_der(&der).to_owned());
    }
    if found.is_empty() { Err(failed(path, &"holds no PEM certificate")) } else { Ok(found) }
}

/// The client's certificate and key, checked to belong together: ureq takes that
/// for granted.
fn client(certificate: &Path, key: Option<&Path>) -> Result<ClientCert, RegistryFailure> {
    let certificates_pem = read(certificate)?;
    let key_path = key.unwrap_or(certificate);
    let key_pem = read(key_path)?;
    let chain = certificates(certificate, &certificates_pem)?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|error| failed(key_path, &format!("holds no PEM private key: {error}")))?;
    let ders = chain.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .and_then(|builder| {
            builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_client_auth_cert(ders, key)
        })
        .map_err(|error| {
            failed(key_path, &format!("can't be used with {}: {error}", certificate.display()))
        })?;
    let key = PrivateKey::from_pem(&key_pem).map_err(|error| failed(key_path, &error))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}
