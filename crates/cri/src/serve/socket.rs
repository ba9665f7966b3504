//! The socket's file.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::UnixListener;

/// Root, and the group that the administrator gives the file to.
const MODE: u32 = 0o660;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something else is there.
    #[error("{} is no socket: move it away, or set serve.socket", .0.display())]
    Occupied(PathBuf),
    /// It can't be made.
    #[error("cannot {what} socket {}: {source}", path.display())]
    Failed {
        /// What was tried.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Listens at `path`, in the current runtime. Only the one daemon may call this:
/// a socket that is there is of one that was killed.
pub(super) fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let fail = |what| {
        let path = path.to_owned();
        move |source| SocketError::Failed { what, path, source }
    };
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(fail("make the directory of"))?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::Occupied(path.to_owned()));
        }
        Ok(_) => std::fs::remove_file(path).map_err(fail("remove the old"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail("look at")(error)),
    }
    // Nobody else gets in before its mode is set.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener.map_err(fail("make"))?;
    let mode = std::fs::Permissions::from_mode(MODE);
    std::fs::set_permissions(path, mode).map_err(fail("set the mode of"))?;
    Ok(listener)
}

/// Takes the file away. What is left is replaced by the next daemon.
pub(super) fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_old_socket_is_replaced_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b.sock");
        drop(bind(&path).unwrap());
        let _again = bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let file = temp.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(matches!(bind(&file), Err(SocketError::Occupied(_))));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "x");
    }
}
