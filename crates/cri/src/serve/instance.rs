//! One daemon for a state directory.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Why this may not be the daemon.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// There is one.
    #[error("a daemon works on {} already{}: stop it first", dir.display(), process(pid))]
    Running {
        /// The run directory.
        dir: PathBuf,
        /// Its process, if it wrote that down.
        pid: String,
    },
    /// The lock can't be had.
    #[error("cannot lock {}: {source}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn process(pid: &str) -> String {
    if pid.is_empty() { String::new() } else { format!(" (process {pid})") }
}

/// Makes this process the daemon of `dir` as long as the file is open.
pub(super) fn claim(dir: &Path) -> Result<File, InstanceError> {
    let path = dir.join("serve.lock");
    let fail = |source| InstanceError::Lock { path: path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(fail)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            // Without it the message is shorter.
            let _ = (&mut file).take(16).read_to_string(&mut pid);
            pid.retain(|c| c.is_ascii_digit());
            return Err(InstanceError::Running { dir: dir.to_owned(), pid });
        }
        Err(error) => return Err(fail(error.into())),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(fail)?;
    writeln!(file, "{}", std::process::id()).map_err(fail)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let first = claim(temp.path()).unwrap();
        let message = claim(temp.path()).unwrap_err().to_string();
        assert!(message.contains(&std::process::id().to_string()), "{message}");
        drop(first);
        claim(temp.path()).unwrap();
    }
}
