//! What a user can do about an error.

use std::error::Error;
use std::io;

use caisson_image::archive::LoadError;
use caisson_image::registry::{CheckLoginError, RegistryFailure};
use caisson_image::{PullError, PushError, RegistryError};

/// One or more lines that say what to do next, where there is something.
/// Looks through the whole chain of causes.
pub(crate) fn next_step(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let registry = match (error.downcast_ref(), error.downcast_ref()) {
            (Some(PullError::Registry(error)), _) | (_, Some(PushError::Registry(error))) => {
                Some(error)
            }
            _ => match error.downcast_ref() {
                Some(CheckLoginError::Failed(error)) => Some(error),
                _ => error.downcast_ref::<RegistryError>(),
            },
        };
        if let Some(step) = registry.and_then(|error| for_registry(&error.failure)) {
            return Some(step.to_owned());
        }
        if let Some(LoadError::Archive(_) | LoadError::NoImages) = error.downcast_ref() {
            let step = "an archive is what `caisson save`, `docker save` or `podman save` write";
            return Some(step.to_owned());
        }
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(step) = for_io(io)
        {
            return Some(step);
        }
        cause = error.source();
    }
    None
}

/// The last server that was asked is the registry itself.
fn for_registry(failure: &RegistryFailure) -> Option<&'static str> {
    match failure {
        RegistryFailure::All(failures) => failures.last().and_then(for_registry),
        RegistryFailure::Connection { why, .. } if why.contains("refused") => {
            Some("nothing listens there: does the registry run, and is the port right?")
        }
        RegistryFailure::Connection { why, .. } if why.contains("lookup address") => {
            Some("the registry's name is not known: is it right, and is there a network?")
        }
        RegistryFailure::Timeout { .. } => {
            Some("the registry is slow or out of reach: try again, or check the network")
        }
        RegistryFailure::NotFound { .. } => {
            Some("check the name and the tag; a private repository may need `caisson login`")
        }
        _ => None,
    }
}

fn for_io(error: &io::Error) -> Option<String> {
    let step = match error.kind() {
        io::ErrorKind::PermissionDenied if !rustix::process::geteuid().is_root() => {
            "run it with sudo, or choose folders that are yours with --root and --run-root"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "`caisson image prune` and `caisson system prune` free space; `caisson system df` \
             shows what takes it"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: choose another folder with --root"
        }
        _ => return None,
    };
    Some(step.to_owned())
}

#[cfg(test)]
mod tests {
    use super::next_step;

    #[test]
    fn a_full_disk_is_recognised_below_other_errors() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write a layer")]
        struct Outer(#[source] std::io::Error);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert!(next_step(&Outer(full)).unwrap().contains("prune"));
        assert!(next_step(&Outer(std::io::Error::other("x"))).is_none());
    }
}
