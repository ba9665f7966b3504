//! Which servers stand for a registry, and how they are talked to: the registry
//! itself and its mirrors, from `certs.d/<host>/`.

mod file;
mod folder;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use ureq::http::Uri;

use super::error::RegistryFailure;
use super::settings::RegistrySettings;
use super::url::{self, Origin};
use crate::DEFAULT_REGISTRY;

/// Docker Hub's API is not at its name.
const HUB_SERVER: &str = "registry-1.docker.io";

/// What a server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capability {
    /// Content by digest.
    Pull,
    /// What a tag means.
    Resolve,
    /// Uploads.
    Push,
}

impl Capability {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Resolve => "resolve",
            Self::Push => "push",
        }
    }
}

/// Certificates and keys of a server, by their files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TlsFiles {
    /// CAs besides the system's.
    pub(super) ca: Vec<PathBuf>,
    /// What the client shows: certificate and key, possibly in one file.
    pub(super) client: Option<(PathBuf, Option<PathBuf>)>,
    /// Whether the server's certificate is not verified.
    pub(super) skip_verify: bool,
}

/// One server that may be asked.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// URL of the API, without a slash at the end: `https://registry-1.docker.io/v2`.
    pub(super) base: String,
    pub(super) origin: Origin,
    pub(super) capabilities: Vec<Capability>,
    pub(super) tls: TlsFiles,
    /// Sent with each request.
    pub(super) headers: Vec<(String, String)>,
    pub(super) dial_timeout: Option<Duration>,
    /// The registry that this mirror is asked in place of.
    pub(super) namespace: Option<String>,
    /// The same over plain HTTP, for a server that may turn out to speak no TLS.
    pub(super) plain: Option<Box<Endpoint>>,
}

/// The servers for `registry`, in the order in which they are to be asked.
pub(super) fn endpoints(
    registry: &str,
    settings: &RegistrySettings,
) -> Result<Vec<Endpoint>, RegistryFailure> {
    match folder::find(&settings.certs_dirs, registry) {
        Some(folder) => folder::endpoints(&folder, registry),
        None => Ok(vec![unconfigured(registry, settings.insecure)?]),
    }
}

/// A registry that nothing is known of.
fn unconfigured(registry: &str, insecure: bool) -> Result<Endpoint, RegistryFailure> {
    let mut endpoint = server(registry, "https", TlsFiles::default())?;
    if insecure || is_loopback(&endpoint.origin.host) {
        let plain = server(registry, "http", TlsFiles::default())?;
        // Port 80 is plain HTTP's own.
        if plain.origin.port == 80 && registry.ends_with(":80") {
            return Ok(plain);
        }
        endpoint.tls.skip_verify = true;
        endpoint.plain = Some(Box::new(plain));
    }
    Ok(endpoint)
}

/// The registry's own server.
fn server(registry: &str, scheme: &str, tls: TlsFiles) -> Result<Endpoint, RegistryFailure> {
    let host = if registry == DEFAULT_REGISTRY { HUB_SERVER } else { registry };
    let url = format!("{scheme}://{host}/v2");
    let origin = url.parse::<Uri>().ok().and_then(|uri| url::origin(&uri));
    let Some(origin) = origin else {
        return Err(RegistryFailure::Protocol { url, why: "is no URL".to_owned() });
    };
    Ok(Endpoint {
        base: url,
        origin,
        capabilities: vec![Capability::Pull, Capability::Resolve, Capability::Push],
        tls,
        headers: Vec::new(),
        dial_timeout: None,
        namespace: None,
        plain: None,
    })
}

/// Whether `host` is this machine, by its name alone.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::settings::RegistrySettings;
    use super::{endpoints, is_loopback};

    #[test]
    fn without_configuration() {
        let settings = RegistrySettings::bare();
        let only = |registry: &str, settings: &RegistrySettings| {
            let mut found = endpoints(registry, settings).unwrap();
            assert_eq!(found.len(), 1);
            found.remove(0)
        };
        let hub = only("docker.io", &settings);
        assert_eq!(hub.base, "https://registry-1.docker.io/v2");
        assert!(hub.plain.is_none() && !hub.tls.skip_verify);
        for near in ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "127.9.9.9"] {
            let endpoint = only(near, &settings);
            assert!(endpoint.base.starts_with("https://") && endpoint.tls.skip_verify);
            assert!(endpoint.plain.unwrap().base.starts_with("http://"));
        }
        assert_eq!(only("localhost:80", &settings).base, "http://localhost:80/v2");
        assert!(only("r.example", &settings).plain.is_none());
        let insecure = RegistrySettings { insecure: true, ..settings };
        assert!(only("r.example", &insecure).plain.is_some());
    }

    #[test]
    fn loopback_is_what_looks_like_it() {
        assert!(is_loopback("localhost") && is_loopback("127.1.2.3") && is_loopback("[::1]"));
        assert!(
            !is_loopback("localhost.example")
                && !is_loopback("128.0.0.1")
                && !is_loopback("127.0.0.1.example")
        );
    }
}
