//! Who a pull is done as.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use caisson_image::registry::Credential;
use caisson_image::{DEFAULT_REGISTRY, Reference};
use tonic::Status;

use crate::v1::AuthConfig;

/// Longest that any part may be, in bytes: as long as HTTP servers take headers.
const MAX: usize = 64 << 10;

/// The credential in `auth` for the registry of `image`; none if it is for
/// another registry, or empty.
pub(super) fn credential(
    auth: &AuthConfig,
    image: &Reference,
) -> Result<Option<Credential>, Status> {
    let parts =
        [&auth.username, &auth.password, &auth.auth, &auth.identity_token, &auth.registry_token];
    if parts.iter().any(|part| part.len() > MAX) {
        return Err(Status::invalid_argument("auth: longer than 64 KiB"));
    }
    if !auth.server_address.is_empty() && !same_registry(&auth.server_address, image.registry()) {
        return Ok(None);
    }
    let basic = |username: &str, password: &str| Credential::Basic {
        username: username.to_owned(),
        password: password.to_owned(),
    };
    if !auth.username.is_empty() {
        return Ok(Some(basic(&auth.username, &auth.password)));
    }
    if !auth.identity_token.is_empty() {
        return Ok(Some(Credential::IdentityToken(auth.identity_token.clone())));
    }
    if !auth.auth.is_empty() {
        // What is inside is not repeated: it is a secret.
        let malformed = || Status::invalid_argument("auth.auth is no base64 of USER:PASSWORD");
        let bytes = STANDARD.decode(auth.auth.trim()).map_err(|_| malformed())?;
        let text = String::from_utf8(bytes).map_err(|_| malformed())?;
        let (username, password) = text.split_once(':').ok_or_else(malformed)?;
        return Ok(Some(basic(username, password.trim_end_matches('\0'))));
    }
    if !auth.registry_token.is_empty() {
        return Ok(Some(Credential::RegistryToken(auth.registry_token.clone())));
    }
    Ok(None)
}

/// Whether `address`, a host or a URL, is that of `registry`.
fn same_registry(address: &str, registry: &str) -> bool {
    let bare = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = bare.split('/').next().unwrap_or_default();
    let hub = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.docker.io"];
    host == registry || (registry == DEFAULT_REGISTRY && hub.contains(&host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(auth: &AuthConfig) -> Option<Credential> {
        credential(auth, &"r.example:5000/a/b".parse().unwrap()).unwrap()
    }

    #[test]
    fn every_form_is_taken() {
        let basic =
            Some(Credential::Basic { username: "u".to_owned(), password: "p:q".to_owned() });
        let (username, password) = ("u".to_owned(), "p:q".to_owned());
        assert_eq!(of(&AuthConfig { username, password, ..AuthConfig::default() }), basic);
        let auth = STANDARD.encode("u:p:q");
        assert_eq!(of(&AuthConfig { auth, ..AuthConfig::default() }), basic);
        let identity_token = "t".to_owned();
        let found = of(&AuthConfig { identity_token, ..AuthConfig::default() });
        assert_eq!(found, Some(Credential::IdentityToken("t".to_owned())));
        let registry_token = "t".to_owned();
        let found = of(&AuthConfig { registry_token, ..AuthConfig::default() });
        assert_eq!(found, Some(Credential::RegistryToken("t".to_owned())));
        assert_eq!(of(&AuthConfig::default()), None);
    }

    #[test]
    fn a_secret_for_another_registry_is_not_sent() {
        let at = |server_address: &str| {
            of(&AuthConfig {
                username: "u".to_owned(),
                server_address: server_address.to_owned(),
                ..AuthConfig::default()
            })
        };
        assert!(at("r.example:5000").is_some() && at("https://r.example:5000/v2/").is_some());
        assert!(at("r.example").is_none() && at("evil.example/r.example:5000").is_none());
        assert!(same_registry("https://index.docker.io/v1/", "docker.io"));
    }

    #[test]
    fn malformed_secrets_are_refused_without_being_shown() {
        for auth in ["%%%", "c2VjcmV0"] {
            let auth = AuthConfig { auth: auth.to_owned(), ..AuthConfig::default() };
            let refused = credential(&auth, &"a".parse().unwrap()).unwrap_err();
            assert!(!refused.message().contains("secret"), "{refused}");
        }
    }
}
