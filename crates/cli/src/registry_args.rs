//! Options of every command that talks to a registry.

use std::path::PathBuf;

use caisson_image::registry::{AuthFiles, Credential};
use caisson_image::{RegistryClient, RegistrySettings};

use crate::context::Context;
use crate::failure::Failure;

/// How to talk to a registry, and who one is there.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Registry options")]
pub(crate) struct RegistryArgs {
    /// `false` also takes a registry without a valid certificate, or without
    /// TLS
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub(crate) tls_verify: Option<bool>,
    /// User name and password, in place of what `caisson login` keeps
    #[arg(long, value_name = "USER:PASSWORD")]
    pub(crate) creds: Option<String>,
    /// File of credentials, in place of those of podman and docker
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
}

impl RegistryArgs {
    /// A client that does as asked.
    pub(crate) fn client(&self, context: &Context) -> Result<RegistryClient, Failure> {
        Ok(RegistryClient::new(self.settings(context)?))
    }

    pub(crate) fn settings(&self, context: &Context) -> Result<RegistrySettings, Failure> {
        let mut settings = RegistrySettings::default();
        if let Some(dirs) = &context.settings.storage.certs_dirs {
            settings.certs_dirs.clone_from(dirs);
        }
        settings.insecure = self.tls_verify == Some(false);
        if let Some(file) = &self.authfile {
            settings.auth_files = AuthFiles::only(file.clone());
        }
        if let Some(creds) = &self.creds {
            let (username, password) = creds
                .split_once(':')
                .ok_or_else(|| Failure::usage("--creds wants USER:PASSWORD"))?;
            let (username, password) = (username.to_owned(), password.to_owned());
            settings.credential = Some(Credential::Basic { username, password });
        }
        Ok(settings)
    }
}
