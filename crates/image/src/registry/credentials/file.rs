//! auth.json and config.json.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;

use super::{Credential, CredentialError};
use crate::{DEFAULT_REGISTRY, Reference};

/// The longest file.
const MAX_FILE: u64 = 1 << 20;
/// Docker's name for Docker Hub in its files and to helpers.
const HUB_KEY: &str = "https://index.docker.io/v1/";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Content {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

pub(super) struct AuthFile {
    path: PathBuf,
    content: Content,
}

impl AuthFile {
    /// None if it is not there (unless `required`).
    pub(super) fn read(path: &Path, required: bool) -> Result<Option<Self>, CredentialError> {
        let failed = |source| CredentialError::Read { path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error)
                if !required
                    && matches!(
                        error.kind(),
                        ErrorKind::NotFound
                            | ErrorKind::NotADirectory
                            | ErrorKind::PermissionDenied
                    ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        let mut text = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(failed)?;
        let malformed = |why: String| CredentialError::Malformed { path: path.to_owned(), why };
        if text.len() as u64 > MAX_FILE {
            return Err(malformed(format!("longer than {MAX_FILE} bytes")));
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        // serde's message may quote a value of the file: only the place is shown.
        let content = serde_json::from_slice(&text).map_err(|error| {
            malformed(format!("malformed at line {}, column {}", error.line(), error.column()))
        })?;
        Ok(Some(Self { path: path.to_owned(), content }))
    }

    /// What the file, or a helper that it names, has for `repository`. `ask` asks
    /// a helper.
    pub(super) fn find(
        &self,
        repository: &Reference,
        ask: impl Fn(&str, &str) -> Result<Option<Credential>, CredentialError>,
    ) -> Result<Option<Credential>, CredentialError> {
        let registry = repository.registry();
        let server = if registry == DEFAULT_REGISTRY { HUB_KEY } else { registry };
        let scopes = scopes(repository);
        let helper = scopes.iter().find_map(|scope| {
            let mut helpers = self.content.cred_helpers.iter();
            helpers.find(|(key, _)| names(key, scope)).map(|(_, helper)| helper)
        });
        // A helper for this registry decides alone; a store for all may not know it.
        if let Some(helper) = helper {
            return ask(helper, server);
        }
        if let Some(store) = self.content.creds_store.as_deref().filter(|name| !name.is_empty())
            && let Some(found) = ask(store, server)?
        {
            return Ok(Some(found));
        }
        for scope in &scopes {
            for (key, entry) in &self.content.auths {
                if names(key, scope)
                    && let Some(credential) = self.credential(key, entry)?
                {
                    return Ok(Some(credential));
                }
            }
        }
        Ok(None)
    }

    fn credential(&self, key: &str, entry: &Entry) -> Result<Option<Credential>, CredentialError> {
        let malformed = |why: &str| CredentialError::Malformed {
            path: self.path.clone(),
            why: format!("the entry {key:?}: {why}"),
        };
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&entry.registrytoken) {
            return Ok(Some(Credential::RegistryToken(token)));
        }
        if let Some(token) = given(&entry.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(auth) = given(&entry.auth) {
            let decoded = base64::engine::general_purpose::STANDARD
                .decode(auth.trim())
                .map_err(|_| malformed("`auth` is not base64"))?;
            let text =
                String::from_utf8(decoded).map_err(|_| malformed("`auth` is not UTF-8 inside"))?;
            let text = text.trim_end_matches('\0');
            let (username, password) =
                text.split_once(':').ok_or_else(|| malformed("`auth` is not USER:PASSWORD"))?;
            return Ok(Some(Credential::Basic {
                username: username.to_owned(),
                password: password.to_owned(),
            }));
        }
        match (given(&entry.username), given(&entry.password)) {
            (Some(username), Some(password)) => Ok(Some(Credential::Basic { username, password })),
            _ => Ok(None),
        }
    }
}

/// The keys that `repository` goes by, the narrowest first: itself, its parents,
/// its registry.
fn scopes(repository: &Reference) -> Vec<String> {
    let name = repository.name();
    let mut scopes = vec![name.clone()];
    let mut rest = name.as_str();
    while let Some((parent, _)) = rest.rsplit_once('/') {
        scopes.push(parent.to_owned());
        rest = parent;
    }
    scopes
}

/// Whether a file's `key` means `scope`. Docker writes URLs for some registries,
/// and several names for Docker Hub.
fn names(key: &str, scope: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let bare = match bare {
        // A URL's path is the API's, not a repository's.
        Some(url) => url.split('/').next().unwrap_or(url),
        None => key.trim_end_matches('/'),
    };
    let (host, path) = match bare.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (bare, None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
        host => host,
    };
    match (path, scope.split_once('/')) {
        (None | Some("v1" | "v2"), None) => host == scope,
        (Some(path), Some((scope_host, scope_path))) => host == scope_host && path == scope_path,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{AuthFile, Credential};

    fn file(json: &str) -> AuthFile {
        AuthFile { path: "/auth.json".into(), content: serde_json::from_str(json).unwrap() }
    }

    fn user(file: &AuthFile, reference: &str) -> Option<String> {
        let ask = |name: &str, server: &str| {
            Ok((name != "empty").then(|| Credential::IdentityToken(format!("{name} {server}"))))
        };
        match file.find(&reference.parse().unwrap(), ask).unwrap()? {
            Credential::Basic { username, password } => Some(format!("{username}:{password}")),
            Credential::IdentityToken(token) => Some(token),
            Credential::RegistryToken(token) => Some(format!("token {token}")),
        }
    }

    #[test]
    fn the_narrowest_entry_counts() {
        // "YTpi" is a:b, "YzpkOmU=" is c:d:e.
        let file = file(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"},"r.example":{"auth":"YTpi"},
            "r.example/team":{"auth":"YzpkOmU="},"r.example/team/app":{"registrytoken":"t"},
            "localhost:5000":{"username":"u","password":"p"},"empty.example":{}},"HttpHeaders":{}}"#,
        );
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(user(&file, "busybox"), some("a:b"));
        assert_eq!(user(&file, "r.example/x"), some("a:b"));
        assert_eq!(user(&file, "r.example/team/x"), some("c:d:e"));
        assert_eq!(user(&file, "r.example/team/app"), some("token t"));
        assert_eq!(user(&file, "r.example/teamx"), some("a:b"));
        assert_eq!(user(&file, "localhost:5000/x"), some("u:p"));
        assert_eq!(user(&file, "localhost/x"), None);
        assert_eq!(user(&file, "empty.example/x"), None);
    }

    #[test]
    fn helpers_come_before_entries() {
        let file = file(
            r#"{"auths":{"a.example":{"auth":"YTpi"},"b.example":{"auth":"YTpi"}},"credsStore":"empty",
            "credHelpers":{"b.example":"one","docker.io":"two"}}"#,
        );
        assert_eq!(user(&file, "a.example/x").unwrap(), "a:b");
        assert_eq!(user(&file, "b.example/x").unwrap(), "one b.example");
        assert_eq!(user(&file, "x").unwrap(), "two https://index.docker.io/v1/");
    }

    #[test]
    fn errors_show_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        for (text, said) in [
            ("{\"auths\":{\"a.example\":{\"auth\":\"c2VjcmV0\"}}}", "USER:PASSWORD"),
            ("{\"auths\":{\"a.example\":{\"auth\":\"secret!\"}}}", "base64"),
            ("{\"auths\": {\"a.example\": \"secret\"}}", "line 1"),
        ] {
            std::fs::write(&path, text).unwrap();
            let found = super::super::AuthFiles::only(path.clone())
                .find(&"a.example/x".parse().unwrap(), std::time::Duration::ZERO);
            let error = found.unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
        assert!(AuthFile::read(&dir.path().join("none"), false).unwrap().is_none());
        assert!(AuthFile::read(&dir.path().join("none"), true).is_err());
    }
}
