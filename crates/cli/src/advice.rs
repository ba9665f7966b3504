//! What a user can do about an error.

use std::error::Error;
use std::io;

/// One or more lines that say what to do next, where there is something.
/// Looks through the whole chain of causes.
pub(crate) fn next_step(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(step) = for_io(io)
        {
            return Some(step);
        }
        cause = error.source();
    }
    None
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
