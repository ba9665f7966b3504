//! What a command gets to work with.

use caisson_isolator::{Container, ContainerId, Isolator, SandboxError};

use crate::failure::CliError;
use crate::flags::Parsed;
use crate::log::Log;
use crate::runtime::{RootSource, Runtime, RuntimeOptions};

/// One command line, parsed.
pub(crate) struct Invocation<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) options: &'a RuntimeOptions,
    pub(crate) root: RootSource,
    pub(crate) log: &'a Log,
    pub(crate) flags: &'a Parsed<'a>,
}

impl Invocation<'_> {
    /// The container's name: the first positional argument.
    pub(crate) fn id(&self) -> Result<ContainerId, CliError> {
        let text = self.flags.positional(0).map(std::ffi::OsStr::to_string_lossy);
        match text.as_deref() {
            None | Some("") => Err(CliError::Refused("container id cannot be empty".to_owned())),
            Some(text) => text.parse().map_err(|e| SandboxError::InvalidId(e).into()),
        }
    }

    /// The engine.
    pub(crate) fn isolator(&self) -> Result<Box<dyn Isolator>, CliError> {
        Ok((self.runtime.open)(self.options)?)
    }

    /// The named container.
    pub(crate) fn container(&self) -> Result<Box<dyn Container>, CliError> {
        let id = self.id()?;
        Ok(self.isolator()?.open_sandbox(&id)?.container(&id)?)
    }

    /// Leaves the program's writable image; see [`Runtime::protect`].
    pub(crate) fn protect(&self) -> Result<(), CliError> {
        (self.runtime.protect)()
            .map_err(|e| CliError::io("execute the runtime from a protected image", e))
    }

    /// Makes the state directory below `$XDG_RUNTIME_DIR`, with the sticky bit
    /// that keeps the directory's cleaner away (XDG Base Directory spec).
    pub(crate) fn keep_user_root(&self) -> Result<(), CliError> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        if self.root != RootSource::UserRuntimeDir {
            return Ok(());
        }
        let root = &self.options.root;
        let failed = |e| CliError::io(format!("make state directory {}", root.display()), e);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
        std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o1700)).map_err(failed)
    }
}
