//! What a registry client is told.

use std::path::PathBuf;
use std::time::Duration;

use super::credentials::{AuthFiles, Credential};

/// How a [`RegistryClient`](super::RegistryClient) finds registries, who it is
/// there, and how long it waits.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Folders with one folder per registry: `<host>[:<port>]/hosts.toml` in
    /// containerd's form, or `ca.crt`, `*.cert` and `*.key` in docker's. One for
    /// the registry itself is preferred to a `_default`; of several alike the
    /// first counts.
    pub certs_dirs: Vec<PathBuf>,
    /// Where the user's credentials are.
    pub auth_files: AuthFiles,
    /// Given for the operation itself, as in CRI: used instead of the files, for
    /// whichever registry is asked.
    pub credential: Option<Credential>,
    /// Registries without settings of their own may be talked to without a
    /// verified certificate, and over plain HTTP. (Those on this machine's
    /// loopback always may.)
    pub insecure: bool,
    /// What the client calls itself.
    pub user_agent: String,
    /// For a TCP connection and the TLS handshake.
    pub connect_timeout: Duration,
    /// For the head of an answer.
    pub response_timeout: Duration,
    /// For an answer to the end of an upload, which the registry may check first.
    pub commit_timeout: Duration,
    /// For the whole body of a short answer, such as a manifest.
    pub body_timeout: Duration,
    /// A body of any length is given up when so long (almost) nothing came.
    pub stall_timeout: Duration,
    /// How often a request is repeated after a fault that may pass.
    pub retries: u32,
    /// Before the first repetition; doubles with each, up to 20 times this.
    pub backoff: Duration,
    /// The longest wait that a registry may ask for by `Retry-After`.
    pub max_retry_after: Duration,
    /// For a credential helper to answer.
    pub helper_timeout: Duration,
    /// A blob that is streamed up without a known length goes in pieces of so
    /// many bytes, each held in memory.
    pub chunk: usize,
}

impl Default for RegistrySettings {
    /// The system's folders, the user's credentials (which are found by the
    /// environment), and patience for the internet.
    fn default() -> Self {
        Self {
            certs_dirs: ["/etc/caisson/certs.d", "/etc/containerd/certs.d", "/etc/docker/certs.d"]
                .map(PathBuf::from)
                .to_vec(),
            auth_files: AuthFiles::of_user(),
            credential: None,
            insecure: false,
            user_agent: concat!("caisson/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(15),
            response_timeout: Duration::from_secs(60),
            commit_timeout: Duration::from_secs(600),
            body_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            retries: 3,
            backoff: Duration::from_millis(400),
            max_retry_after: Duration::from_secs(30),
            helper_timeout: Duration::from_secs(60),
            chunk: 8 << 20,
        }
    }
}

impl RegistrySettings {
    /// No folder and no file of the system or the user: only what is set
    /// afterwards counts.
    #[must_use]
    pub fn bare() -> Self {
        Self { certs_dirs: Vec::new(), auth_files: AuthFiles::none(), ..Self::default() }
    }
}
