//! The folder of a registry below `certs.d`.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::{Endpoint, TlsFiles, file, is_loopback, server};
use crate::registry::error::RegistryFailure;

/// The longest hosts.toml.
const MAX_FILE: u64 = 1 << 20;

/// The folder for `registry`: `host:port`, `host_port_`, at last `_default`.
pub(super) fn find(certs_dirs: &[PathBuf], registry: &str) -> Option<PathBuf> {
    let own = certs_dirs.iter().flat_map(|dir| {
        let underscores = registry.rsplit_once(':').map(|(host, port)| format!("{host}_{port}_"));
        std::iter::once(registry.to_owned()).chain(underscores).map(|name| dir.join(name))
    });
    let default = certs_dirs.iter().map(|dir| dir.join("_default"));
    own.chain(default).find(|folder| folder.is_dir())
}

pub(super) fn endpoints(folder: &Path, registry: &str) -> Result<Vec<Endpoint>, RegistryFailure> {
    let path = folder.join("hosts.toml");
    let failed = |why: String| RegistryFailure::Hosts { path: path.clone(), why };
    match File::open(&path) {
        Ok(opened) => {
            let mut text = String::new();
            opened
                .take(MAX_FILE + 1)
                .read_to_string(&mut text)
                .map_err(|error| failed(error.to_string()))?;
            if text.len() as u64 > MAX_FILE {
                return Err(failed(format!("longer than {MAX_FILE} bytes")));
            }
            file::endpoints(&text, folder, registry).map_err(failed)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(vec![docker_form(folder, registry)?])
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// `*.crt` are CAs, `*.cert` and `*.key` of the same name the client's.
fn docker_form(folder: &Path, registry: &str) -> Result<Endpoint, RegistryFailure> {
    let failed = |why: std::io::Error| RegistryFailure::Hosts {
        path: folder.to_owned(),
        why: why.to_string(),
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.path());
    }
    names.sort();
    let mut tls = TlsFiles::default();
    for path in names {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => tls.ca.push(path),
            Some("cert") if tls.client.is_none() => {
                let key = path.with_extension("key");
                if !key.is_file() {
                    let why = format!("{} has no {}", path.display(), key.display());
                    return Err(RegistryFailure::Hosts { path: folder.to_owned(), why });
                }
                tls.client = Some((path, Some(key)));
            }
            _ => {}
        }
    }
    let bare = tls == TlsFiles::default();
    let mut endpoint = server(registry, "https", tls)?;
    if bare && is_loopback(&endpoint.origin.host) {
        endpoint.tls.skip_verify = true;
        endpoint.plain = Some(Box::new(server(registry, "http", TlsFiles::default())?));
    }
    Ok(endpoint)
}
