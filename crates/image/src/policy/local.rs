//! Images that come from files, which carry no signatures
//! (containers-policy.json(5), the transports `docker-archive`, `oci-archive`
//! and `oci`).

use std::path::Path;

use super::requirement::Requirement;
use super::{Policy, PolicyError};

/// An image from a file or directory, as the transports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalImage<'a> {
    /// What `docker save` writes.
    DockerArchive,
    /// A tar archive of an OCI image layout. Its path is absolute and without
    /// links; a stream has none.
    OciArchive(Option<&'a Path>),
    /// The directory of an OCI image layout, absolute and without links.
    OciLayout(&'a Path),
}

impl LocalImage<'_> {
    fn transport(&self) -> &'static str {
        match self {
            Self::DockerArchive => "docker-archive",
            Self::OciArchive(_) => "oci-archive",
            Self::OciLayout(_) => "oci",
        }
    }

    fn path(&self) -> Option<&Path> {
        match *self {
            Self::DockerArchive => None,
            Self::OciArchive(path) => path,
            Self::OciLayout(path) => Some(path),
        }
    }

    /// The scopes that it is in, the narrowest first: its path and every folder
    /// above it but the root, then all of the transport.
    fn scopes(&self) -> Vec<String> {
        let folders = self.path().into_iter().flat_map(Path::ancestors);
        let named = folders.filter_map(Path::to_str).filter(|path| !matches!(*path, "" | "/"));
        named.map(str::to_owned).chain([String::new()]).collect()
    }
}

impl std::fmt::Display for LocalImage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path() {
            Some(path) => write!(f, "{}:{}", self.transport(), path.display()),
            None => f.write_str(self.transport()),
        }
    }
}

impl Policy {
    /// Whether images from a file or directory may be used. What asks for a
    /// signature refuses them: there are none.
    ///
    /// # Errors
    ///
    /// They may not, or that can't be told.
    pub fn check_local(&self, image: &LocalImage<'_>) -> Result<(), PolicyError> {
        let (scope, requirements) = self.find(image.transport(), image.scopes());
        for requirement in &requirements.0 {
            let (image, scope) = (image.to_string(), scope.clone());
            match requirement {
                Requirement::InsecureAcceptAnything => {}
                Requirement::Reject => return Err(PolicyError::Rejected { image, scope }),
                Requirement::Unsupported(name) => {
                    let requirement = name.clone();
                    return Err(PolicyError::Unsupported { image, scope, requirement });
                }
                Requirement::SigstoreSigned(_) => {
                    return Err(PolicyError::NeverSigned { image, scope });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_scope_of_the_transport_counts() {
        let policy = Policy::parse(
            br#"{"default":[{"type":"reject"}],"transports":{
            "docker":{"":[{"type":"insecureAcceptAnything"}]},
            "docker-archive":{"":[{"type":"insecureAcceptAnything"}]},
            "oci-archive":{"":[{"type":"reject"}],
                "/srv/good":[{"type":"insecureAcceptAnything"}],
                "/srv/good/not.tar":[{"type":"reject"}]},
            "oci":{"/srv/signed":[{"type":"sigstoreSigned","keyData":"YQ=="}],
                "/srv/gpg":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x"}]}}}"#,
        )
        .unwrap();
        let oci = |path| policy.check_local(&LocalImage::OciLayout(Path::new(path)));
        let archive = |path| policy.check_local(&LocalImage::OciArchive(Some(Path::new(path))));
        assert!(policy.check_local(&LocalImage::DockerArchive).is_ok());
        assert!(archive("/srv/good/a.tar").is_ok() && archive("/srv/good/deep/a.tar").is_ok());
        for refused in ["/srv/good/not.tar", "/srv/goods/a.tar", "/srv/a.tar"] {
            assert!(matches!(archive(refused), Err(PolicyError::Rejected { .. })), "{refused}");
        }
        assert!(policy.check_local(&LocalImage::OciArchive(None)).is_err());
        let error = oci("/srv/signed/app").unwrap_err();
        assert!(matches!(error, PolicyError::NeverSigned { .. }));
        let text = error.to_string();
        assert!(text.contains("oci:/srv/signed/app") && text.contains("\"/srv/signed\""), "{text}");
        assert!(matches!(oci("/srv/gpg"), Err(PolicyError::Unsupported { .. })));
        let text = oci("/elsewhere").unwrap_err().to_string();
        assert!(text.contains("(default: reject)"), "{text}");
    }
}
