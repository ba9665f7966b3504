//! Whether the name in a signature is the name that the image was asked for by.

use serde::Deserialize;

use crate::{Digest, Reference};

/// How the two names must match.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum SignedIdentity {
    /// The same, tag or digest included.
    MatchExact {},
    /// The same; asked for by digest, the repository is enough.
    MatchRepoDigestOrExact {},
    /// The same repository.
    MatchRepository {},
    /// This one, whatever was asked for.
    #[serde(rename_all = "camelCase")]
    ExactReference { docker_reference: String },
    /// This repository, whatever was asked for.
    #[serde(rename_all = "camelCase")]
    ExactRepository { docker_repository: String },
    /// As `matchRepoDigestOrExact`, where names that begin with `prefix` are
    /// signed as beginning with `signed_prefix`.
    #[serde(rename_all = "camelCase")]
    RemapIdentity { prefix: String, signed_prefix: String },
}

impl Default for SignedIdentity {
    fn default() -> Self {
        Self::MatchRepoDigestOrExact {}
    }
}

/// A name as it was written: a tag that is left out is not `latest`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Name {
    fn parse(text: &str) -> Result<Self, String> {
        let reference: Reference = text.parse().map_err(|error| format!("{error}"))?;
        let named = text.split('@').next().unwrap_or_default();
        let tag = reference.tag().filter(|tag| named.ends_with(&format!(":{tag}")));
        Ok(Self {
            repository: reference.name(),
            tag: tag.map(str::to_owned),
            digest: reference.digest().cloned(),
        })
    }

    fn asked(reference: &Reference) -> Self {
        Self {
            repository: reference.name(),
            tag: reference.tag().map(str::to_owned),
            digest: reference.digest().cloned(),
        }
    }

    fn is_exactly(&self, other: &Self) -> bool {
        (self.tag.is_some() || self.digest.is_some()) && self == other
    }
}

impl SignedIdentity {
    /// Whether `signed`, the name in a signature, is right for `asked`.
    pub(super) fn check(&self, signed: &str, asked: &Reference) -> Result<(), String> {
        let shown: String = signed.chars().take(300).collect();
        let name = Name::parse(signed).map_err(|error| {
            format!("it is for {shown:?}, which is no name of an image: {error}")
        })?;
        let wanted = Name::asked(asked);
        let fits = match self {
            Self::MatchExact {} => name.is_exactly(&wanted),
            Self::MatchRepoDigestOrExact {} => repository_or_exact(&name, &wanted),
            Self::MatchRepository {} => name.repository == wanted.repository,
            Self::ExactReference { docker_reference } => {
                name.is_exactly(&Name::parse(docker_reference)?)
            }
            Self::ExactRepository { docker_repository } => {
                name.repository == Name::parse(docker_repository)?.repository
            }
            Self::RemapIdentity { prefix, signed_prefix } => {
                let repository = remap(&wanted.repository, prefix, signed_prefix);
                repository_or_exact(&name, &Name { repository, ..wanted })
            }
        };
        if fits {
            return Ok(());
        }
        let hint = if name.tag.is_none() && name.digest.is_none() {
            " (it names no tag, as cosign's do: signedIdentity matchRepository accepts that)"
        } else {
            ""
        };
        Err(format!("it is for {shown:?}, not for {asked}{hint}"))
    }
}

fn repository_or_exact(name: &Name, wanted: &Name) -> bool {
    if wanted.digest.is_some() {
        name.repository == wanted.repository
    } else {
        name.is_exactly(wanted)
    }
}

fn remap(repository: &str, prefix: &str, signed_prefix: &str) -> String {
    match repository.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{signed_prefix}{rest}"),
        _ => repository.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::SignedIdentity;

    fn fits(identity: &str, signed: &str, asked: &str) -> bool {
        let identity: SignedIdentity = serde_json::from_str(identity).unwrap();
        identity.check(signed, &asked.parse().unwrap()).is_ok()
    }

    #[test]
    fn names_match_as_the_manual_says() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let by_digest = format!("r.example/a/b@{digest}");
        let exact = r#"{"type":"matchExact"}"#;
        assert!(fits(exact, "r.example/a/b:1", "r.example/a/b:1"));
        assert!(!fits(exact, "r.example/a/b", "r.example/a/b:latest"));
        assert!(!fits(exact, "r.example/a/b:1", &by_digest));
        assert!(fits(exact, &by_digest, &by_digest));
        assert!(fits(exact, "busybox:1", "docker.io/library/busybox:1"));

        let default = r#"{"type":"matchRepoDigestOrExact"}"#;
        assert!(fits(default, "r.example/a/b:1", "r.example/a/b:1"));
        assert!(!fits(default, "r.example/a/b:2", "r.example/a/b:1"));
        assert!(!fits(default, "r.example/a/b", "r.example/a/b:1"));
        assert!(fits(default, "r.example/a/b:2", &by_digest));
        assert!(fits(default, "r.example/a/b", &by_digest));
        assert!(!fits(default, "r.example/a/c:2", &by_digest));

        let repository = r#"{"type":"matchRepository"}"#;
        assert!(fits(repository, "r.example/a/b", "r.example/a/b:1"));
        assert!(fits(repository, "r.example/a/b:2", "r.example/a/b:1"));
        assert!(!fits(repository, "r.example/a", "r.example/a/b:1"));
        assert!(!fits(repository, "NOT A NAME", "r.example/a/b:1"));

        let one = r#"{"type":"exactReference","dockerReference":"r.example/x:1"}"#;
        assert!(fits(one, "r.example/x:1", "mirror.example/y:2"));
        assert!(!fits(one, "r.example/x:2", "r.example/x:1"));
        let one = r#"{"type":"exactRepository","dockerRepository":"r.example/x"}"#;
        assert!(fits(one, "r.example/x:1", "mirror.example/y:2"));
        assert!(!fits(one, "r.example/xy:1", "r.example/xy:1"));

        let remap =
            r#"{"type":"remapIdentity","prefix":"m.example/in","signedPrefix":"r.example"}"#;
        assert!(fits(remap, "r.example/x:1", "m.example/in/x:1"));
        assert!(fits(remap, "m.example/other:1", "m.example/other:1"));
        assert!(!fits(remap, "r.example/x:1", "m.example/inner/x:1"));
        assert!(!fits(remap, "m.example/in/x:1", "m.example/in/x:1"));
    }

    #[test]
    fn mistakes_are_errors() {
        for bad in [
            r#"{"type":"matchAll"}"#,
            r#"{"type":"exactReference"}"#,
            r#"{"type":"matchExact","prefix":"x"}"#,
            r#"{"type":"matchRepoDigestOrExact","prefix":"x"}"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<SignedIdentity>(bad).is_err(), "{bad}");
        }
    }
}
