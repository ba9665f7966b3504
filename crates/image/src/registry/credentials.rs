//! Who the user is at a registry: files of docker and podman, credential helpers
//! (containers-auth.json(5); Docker's `config.json`).

mod file;
mod program;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::Reference;

/// A way to prove who one is. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// User name and password.
    Basic {
        /// The user.
        username: String,
        /// The password, or an access token in its place.
        password: String,
    },
    /// An OAuth2 refresh token: exchanged for a token of the registry.
    IdentityToken(String),
    /// A token for the registry itself, sent as it is.
    RegistryToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => write!(f, "Basic({username:?}, …)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(…)"),
            Self::RegistryToken(_) => f.write_str("RegistryToken(…)"),
        }
    }
}

/// Why a credential can't be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file that was asked for by name is not there, or any can't be read.
    #[error("credentials in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not of the form.
    #[error("credentials in {}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong; without secrets.
        why: String,
    },
    /// A credential helper failed.
    #[error("docker-credential-{helper} for {server}: {why}")]
    Helper {
        /// What is behind `docker-credential-`.
        helper: String,
        /// What it was asked for.
        server: String,
        /// What went wrong.
        why: String,
    },
}

/// Files with credentials, in the order in which they are looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthFiles {
    files: Vec<PathBuf>,
    /// Whether it is an error if one is missing.
    required: bool,
}

impl AuthFiles {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self { files: Vec::new(), required: false }
    }

    /// This one alone; it must be there.
    #[must_use]
    pub fn only(file: PathBuf) -> Self {
        Self { files: vec![file], required: true }
    }

    /// `$REGISTRY_AUTH_FILE` alone if it is set, else those that podman and docker
    /// write: `$XDG_RUNTIME_DIR/containers/auth.json`, `/run/containers/UID/auth.json`,
    /// `$XDG_CONFIG_HOME/containers/auth.json`, `$DOCKER_CONFIG/config.json`.
    #[must_use]
    pub fn of_user() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::from_variables(variable, rustix::process::getuid().as_raw())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<std::ffi::OsString>, uid: u32) -> Self {
        if let Some(file) = variable("REGISTRY_AUTH_FILE") {
            return Self::only(PathBuf::from(file));
        }
        let folder = |name| variable(name).map(PathBuf::from);
        let home = folder("HOME");
        let mut files = Vec::new();
        files.extend(folder("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")));
        files.push(PathBuf::from(format!("/run/containers/{uid}/auth.json")));
        let config = folder("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|h| h.join(".config")));
        files.extend(config.map(|dir| dir.join("containers/auth.json")));
        let docker = folder("DOCKER_CONFIG").or_else(|| home.map(|home| home.join(".docker")));
        files.extend(docker.map(|dir| dir.join("config.json")));
        Self { files, required: false }
    }

    /// The first credential for `repository` in the files and helpers.
    ///
    /// # Errors
    ///
    /// A file or a helper that should be used can't be.
    pub fn find(
        &self,
        repository: &Reference,
        helper_timeout: Duration,
    ) -> Result<Option<Credential>, CredentialError> {
        for path in &self.files {
            let Some(file) = file::AuthFile::read(path, self.required)? else { continue };
            let found =
                file.find(repository, |name, server| program::get(name, server, helper_timeout))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{AuthFiles, Credential};

    fn from(variables: &[(&str, &str)]) -> AuthFiles {
        let get = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into())
        };
        AuthFiles::from_variables(get, 7)
    }

    #[test]
    fn the_environment_says_where() {
        assert_eq!(
            from(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]).files,
            [
                "/r/containers/auth.json",
                "/run/containers/7/auth.json",
                "/h/.config/containers/auth.json",
                "/h/.docker/config.json"
            ]
            .map(PathBuf::from)
        );
        let only = from(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/a"), ("DOCKER_CONFIG", "/d")]);
        assert_eq!(only, AuthFiles::only("/a".into()));
        let files = from(&[("DOCKER_CONFIG", "/d"), ("XDG_CONFIG_HOME", "/c")]).files;
        assert_eq!(files.last().unwrap(), &PathBuf::from("/d/config.json"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let basic = Credential::Basic { username: "u".into(), password: "secret".into() };
        for credential in [
            basic,
            Credential::IdentityToken("secret".into()),
            Credential::RegistryToken("secret".into()),
        ] {
            assert!(!format!("{credential:?}").contains("secret"));
        }
    }
}
