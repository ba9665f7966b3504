//! What goes wrong between here and a registry.

use std::path::PathBuf;
use std::time::Duration;

use super::credentials::CredentialError;
use crate::manifest::InvalidManifest;
use crate::{Digest, Reference};

/// An operation on a registry failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} {subject}: {failure}")]
pub struct RegistryError {
    /// What was tried: "pull manifest of", …
    pub action: &'static str,
    /// On what: the reference, or the reference and a blob.
    pub subject: String,
    /// Why it failed.
    pub failure: Box<RegistryFailure>,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryFailure {
    /// hosts.toml, or a certificate or key that it names, can't be used.
    #[error("settings of the registry in {}: {why}", path.display())]
    Hosts {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The user's credentials can't be read.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// No mirror or server may be asked for this.
    #[error("hosts.toml gives no server of {registry} the capability {capability:?}")]
    NoServer {
        /// The registry.
        registry: String,
        /// pull, resolve or push.
        capability: &'static str,
    },
    /// 401.
    #[error("{url}: unauthorized{}; {}", detail(message), advice(*with_credential, registry))]
    Unauthorized {
        /// What was asked.
        url: String,
        /// The registry as in the reference.
        registry: String,
        /// Whether a credential was sent.
        with_credential: bool,
        /// The registry's own words.
        message: String,
    },
    /// 403.
    #[error("{url}: access denied{}; {}", detail(message), advice(*with_credential, registry))]
    Denied {
        /// What was asked.
        url: String,
        /// The registry as in the reference.
        registry: String,
        /// Whether a credential was sent.
        with_credential: bool,
        /// The registry's own words.
        message: String,
    },
    /// 404.
    #[error("{url}: not found{}", detail(message))]
    NotFound {
        /// What was asked.
        url: String,
        /// The registry's own words.
        message: String,
    },
    /// 429, again and again.
    #[error(
        "{url}: too many requests{}; wait, log in for a higher limit, or set up a mirror in \
         hosts.toml",
        detail(message)
    )]
    RateLimited {
        /// What was asked.
        url: String,
        /// The registry's own words.
        message: String,
    },
    /// Any other status that was not hoped for.
    #[error("{url}: the server answered {status}{}", detail(message))]
    Status {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The registry's own words.
        message: String,
    },
    /// The server's certificate can't be verified, or it speaks no TLS.
    #[error(
        "{url}: TLS failed: {why}; put the CA's certificate in certs.d/{registry}/ca.crt, or \
         configure the server as http:// in certs.d/{registry}/hosts.toml"
    )]
    Tls {
        /// What was asked.
        url: String,
        /// The registry as in the reference.
        registry: String,
        /// rustls' own words.
        why: String,
    },
    /// No connection, or one that broke.
    #[error("{url}: {why}")]
    Connection {
        /// What was asked.
        url: String,
        /// What happened.
        why: String,
    },
    /// Too slow.
    #[error("{url}: {what} took longer than {limit:?}")]
    Timeout {
        /// What was asked.
        url: String,
        /// Which part.
        what: &'static str,
        /// How long it may take.
        limit: Duration,
    },
    /// The answer is not what the protocol says.
    #[error("{url}: {why}")]
    Protocol {
        /// What was asked.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// A redirection that is not followed.
    #[error("{url}: redirected to {target:?}, which is not followed: {why}")]
    Redirect {
        /// What was asked.
        url: String,
        /// Where to.
        target: String,
        /// Why not.
        why: &'static str,
    },
    /// The content is not what was asked for.
    #[error("{url}: the content has digest {actual}, not {expected}")]
    Digest {
        /// What was asked.
        url: String,
        /// What was wanted.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The content is not of the size that its descriptor says.
    #[error("{url}: the content is {actual} bytes long, not {expected}")]
    Size {
        /// What was asked.
        url: String,
        /// In the descriptor.
        expected: u64,
        /// Announced by the server.
        actual: u64,
    },
    /// An answer longer than it may be.
    #[error("{url}: the answer is longer than {limit} bytes")]
    TooLong {
        /// What was asked.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// What came is no manifest.
    #[error("{url}: {source}")]
    Manifest {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        source: InvalidManifest,
    },
    /// What is to be uploaded can't be read.
    #[error("reading what is to be uploaded: {0}")]
    Source(std::io::Error),
    /// Mirrors and the server failed.
    #[error("{}", list(.0))]
    All(
        /// In the order in which they were asked.
        Vec<RegistryFailure>,
    ),
}

fn detail(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

fn advice(with_credential: bool, registry: &str) -> String {
    if with_credential {
        format!(
            "the credential for {registry} was not accepted: does the repository exist, and may \
             this user read (or write) it?"
        )
    } else {
        format!(
            "there is no credential for {registry}: log in with `caisson login {registry}` \
             (docker's and podman's logins count too) or set REGISTRY_AUTH_FILE; a private \
             repository may also not exist"
        )
    }
}

fn list(failures: &[RegistryFailure]) -> String {
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    texts.join("; then ")
}

impl RegistryFailure {
    /// Whether the same request may succeed in a moment.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Timeout { .. } | Self::RateLimited { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Whether the registry says that there is no such thing. The last server
    /// that is asked is the registry; what its mirrors say does not count.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::All(failures) => failures.last().is_some_and(Self::is_not_found),
            _ => false,
        }
    }

    pub(super) fn when(
        self,
        action: &'static str,
        subject: &dyn std::fmt::Display,
    ) -> RegistryError {
        RegistryError { action, subject: subject.to_string(), failure: Box::new(self) }
    }
}

impl RegistryError {
    /// Whether the registry says that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.failure.is_not_found()
    }
}

/// "REFERENCE, blob DIGEST".
pub(super) fn blob_of(repository: &Reference, digest: &Digest) -> String {
    format!("{}, blob {digest}", repository.name())
}
