//! The socket's file.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(fail("look at")(error));
        }
        _ => {}
    }
    // Made where nobody else gets in before its mode is set, and there at once
    // in place of an old one. (A umask would be that of all threads.)
    let private = path.with_file_name(format!(".serve-{}", std::process::id()));
    let made = private.join("s");
    let _ = std::fs::remove_dir_all(&private);
    DirBuilder::new().mode(0o700).create(&private).map_err(fail("make a place for"))?;
    let listener = UnixListener::bind(&made).map_err(fail("make")).and_then(|listener| {
        let mode = std::fs::Permissions::from_mode(MODE);
        std::fs::set_permissions(&made, mode).map_err(fail("set the mode of"))?;
        std::fs::rename(&made, path).map_err(fail("put in its place"))?;
        Ok(listener)
    });
    let _ = std::fs::remove_dir_all(&private);
    listener
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
