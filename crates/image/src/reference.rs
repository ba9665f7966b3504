//! Names of images: `[registry/]repository[:tag][@digest]`.

mod parse;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, InvalidDigest};

/// The registry that a name without one means.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that a name without tag and digest means.
pub const DEFAULT_TAG: &str = "latest";
/// The longest tag.
pub const MAX_TAG: usize = 128;
/// The longest repository name, without the registry.
pub const MAX_REPOSITORY: usize = 255;

/// The name of an image in full: always with a registry, and with a tag, a
/// digest or both. Read from what people type, as docker and containerd read it:
/// `busybox` is `docker.io/library/busybox:latest`. `Display` writes the full
/// form, [`Reference::familiar`] the short one; both are read back as the same
/// reference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a string is no [`Reference`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Nothing was given.
    #[error("the name of the image is empty")]
    Empty,
    /// A scheme in front.
    #[error("{text:?} is a URL, not the name of an image: leave out {scheme:?}")]
    Scheme {
        /// What was given.
        text: String,
        /// The part that is too much.
        scheme: String,
    },
    /// Upper case in the repository.
    #[error("{text:?} is no name of an image: {part:?} must be lower case")]
    UpperCase {
        /// What was given.
        text: String,
        /// The repository.
        part: String,
    },
    /// The registry is no host.
    #[error("{text:?} is no name of an image: {part:?} is no HOST or HOST:PORT of a registry")]
    Registry {
        /// What was given.
        text: String,
        /// The part in front of the first slash.
        part: String,
    },
    /// A part of the path is malformed.
    #[error(
        "{text:?} is no name of an image: {part:?} is no part of a repository's name (lower-case \
         letters and digits, with one of '.', '_', '__' or any number of '-' between them)"
    )]
    Repository {
        /// What was given.
        text: String,
        /// The part between slashes.
        part: String,
    },
    /// The path is too long.
    #[error("the repository's name is {length} characters long, at most {MAX_REPOSITORY} may be")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// 64 hex digits: could be mistaken for an id.
    #[error("{text:?} looks like the id of an image, which can't be its name")]
    LooksLikeId {
        /// What was given.
        text: String,
    },
    /// The tag is malformed.
    #[error(
        "{tag:?} is no tag: at most {MAX_TAG} letters, digits, '_', '.' and '-', not beginning with \
         '.' or '-'"
    )]
    Tag {
        /// The part behind the colon.
        tag: String,
    },
    /// The digest is malformed.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

impl Reference {
    /// Host, and port where one was given, as in the name: `docker.io`,
    /// `localhost:5000`, `[::1]:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path below the registry: `library/busybox`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag. Where there is a digest too, the digest decides what is meant.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest or index that is meant.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository: `docker.io/library/busybox`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What the registry's API is asked for: the digest, else the tag.
    #[must_use]
    pub fn api_reference(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The same repository, by digest alone.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same repository, by tag alone.
    ///
    /// # Errors
    ///
    /// `tag` is no tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidReference> {
        let tag = Some(parse::tag(tag)?);
        Ok(Self { tag, digest: None, ..self.clone() })
    }

    /// As docker shows it: without `docker.io/` and `library/`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let Some(path) = full.strip_prefix("docker.io/") else { return full };
        match path.strip_prefix("library/") {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => path.to_owned(),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse::reference(text)
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidReference, Reference};

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> Reference {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn names_are_completed_and_shortened() {
        let digest = format!("busybox@sha256:{HEX}");
        let both = format!("docker.io/library/busybox:1@sha256:{HEX}");
        for (typed, full, short) in [
            ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("grafana/loki", "docker.io/grafana/loki:latest", "grafana/loki:latest"),
            ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
            ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest", "localhost:5000/a:latest"),
            ("127.0.0.1:5000/a:b", "127.0.0.1:5000/a:b", "127.0.0.1:5000/a:b"),
            ("[::1]:5000/a:b", "[::1]:5000/a:b", "[::1]:5000/a:b"),
            ("[fd00::1]/a", "[fd00::1]/a:latest", "[fd00::1]/a:latest"),
            ("Registry.Example/a", "Registry.Example/a:latest", "Registry.Example/a:latest"),
            ("HOST/a", "HOST/a:latest", "HOST/a:latest"),
            (
                "r.example/a__b/c-----d/e.f",
                "r.example/a__b/c-----d/e.f:latest",
                "r.example/a__b/c-----d/e.f:latest",
            ),
            ("a:_.-X", "docker.io/library/a:_.-X", "a:_.-X"),
            (&digest, &format!("docker.io/library/{digest}"), &digest),
            (&both, &both, &format!("busybox:1@sha256:{HEX}")),
        ] {
            let reference = parse(typed);
            assert_eq!(reference.to_string(), full, "{typed}");
            assert_eq!(reference.familiar(), short, "{typed}");
            assert_eq!(parse(full), reference);
            assert_eq!(parse(short), reference);
        }
    }

    #[test]
    fn parts() {
        let reference = parse(&format!("localhost:5000/a/b:c@sha256:{HEX}"));
        assert_eq!(reference.registry(), "localhost:5000");
        assert_eq!(reference.repository(), "a/b");
        assert_eq!(reference.tag(), Some("c"));
        assert_eq!(reference.digest().unwrap().hex(), HEX);
        assert_eq!(reference.api_reference(), format!("sha256:{HEX}"));
        assert_eq!(reference.name(), "localhost:5000/a/b");
        assert_eq!(reference.with_tag("d").unwrap().to_string(), "localhost:5000/a/b:d");
        let by_digest = parse("x").with_digest(reference.digest().unwrap().clone());
        assert_eq!(by_digest.to_string(), format!("docker.io/library/x@sha256:{HEX}"));
        assert!(reference.with_tag("no good").is_err());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            " ",
            "a b",
            "a:",
            "a@",
            ":a",
            "/a",
            "a/",
            "a//b",
            "-a",
            "a-",
            ".a",
            "a.",
            "_a",
            "a..b",
            "a___b",
            "a._b",
            "a:.b",
            "a:-b",
            "a:b:c",
            "a:b/c:d:e",
            "a@sha256:12",
            "a@md5:00000000000000000000000000000000",
            "a@sha256:E3",
            "a@b@c",
            "r.example:/a",
            "r.example:70000/a",
            "r.example:0/a",
            "r.example:5x/a",
            "-r.example/a",
            "r..example/a",
            "[::1/a",
            "[::g]/a",
            "[::1]x/a",
            "[]/a",
            "a/../b",
            "a/./b",
            "ä",
            "a\0",
            "a\n",
            "r.example",
            "r.example:5000",
            "a%2fb",
            "r.example/a?b",
            "user@r.example/a",
            "../a",
            "localhost:5000/",
        ] {
            // A name with a dot and no slash is an image of docker.io.
            if matches!(bad, "r.example" | "r.example:5000") {
                assert_eq!(parse(bad).registry(), "docker.io");
                continue;
            }
            assert!(bad.parse::<Reference>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn refusals_say_why() {
        let error = |text: &str| text.parse::<Reference>().unwrap_err();
        assert!(matches!(error("BusyBox"), InvalidReference::UpperCase { .. }));
        assert_eq!(
            error("a/Bc:1").to_string(),
            r#""a/Bc:1" is no name of an image: "a/Bc" must be lower case"#
        );
        assert!(
            matches!(error("docker://a/b"), InvalidReference::Scheme { scheme, .. } if scheme == "docker://")
        );
        assert!(matches!(error("https://r.example/a"), InvalidReference::Scheme { .. }));
        assert!(matches!(error(HEX), InvalidReference::LooksLikeId { .. }));
        assert!(matches!(error(&"a".repeat(256)), InvalidReference::TooLong { length: 264 }));
        assert!(
            matches!(error("r.example:x/a"), InvalidReference::Registry { part, .. } if part == "r.example:x")
        );
        assert!(matches!(error(&format!("a:{}", "b".repeat(129))), InvalidReference::Tag { .. }));
        parse(&format!("a:{}", "b".repeat(128)));
        parse(&format!("r.example/{}", "a".repeat(255)));
        // Long input is not repeated in full.
        assert!(error(&"A".repeat(100_000)).to_string().len() < 1000);
    }

    #[test]
    fn is_a_string_in_json() {
        let json = serde_json::to_string(&parse("a")).unwrap();
        assert_eq!(json, r#""docker.io/library/a:latest""#);
        assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), parse("a"));
        assert!(serde_json::from_str::<Reference>(r#""A""#).is_err());
    }
}
