//! What a supervisor is told to run a handler's pods with.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Handler, HandlerError, HandlerKind, IsolatorKind};
use crate::paths::Paths;

/// The parts of [`caisson_shim::PodConfig`] that a handler decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineChoice {
    /// The isolator's name.
    pub isolator: &'static str,
    /// The runtime that the isolator `oci` calls.
    pub oci: Option<caisson_shim::OciRuntime>,
    /// Where the isolator keeps its state.
    pub state_root: PathBuf,
}

impl Handler {
    /// The isolator that runs it in this build.
    ///
    /// # Errors
    /// [`HandlerError::NotInThisBuild`]; [`HandlerError::NoProgram`].
    pub fn isolator(&self) -> Result<IsolatorKind, HandlerError> {
        let what = match &self.kind {
            HandlerKind::Isolator(kind @ (IsolatorKind::Native | IsolatorKind::Oci)) => {
                return Ok(*kind);
            }
            HandlerKind::Oci(runtime) => {
                self.look_for(&runtime.path)?;
                return Ok(IsolatorKind::Oci);
            }
            HandlerKind::Isolator(other) => format!("the {} isolator", other.as_str()),
            HandlerKind::Shim(kind) => {
                format!("support of kind \"shim\" (runtime_type {kind:?})")
            }
        };
        Err(HandlerError::NotInThisBuild { name: self.name.clone(), what })
    }

    fn look_for(&self, path: &Path) -> Result<(), HandlerError> {
        let fail = |cause: String| HandlerError::NoProgram {
            name: self.name.clone(),
            path: path.to_owned(),
            cause,
        };
        accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).map_err(|e| fail(e.to_string()))?;
        match path.is_file() {
            true => Ok(()),
            false => Err(fail("it is no file".to_owned())),
        }
    }

    /// What a supervisor of its pods is told, with state below `paths`.
    ///
    /// # Errors
    /// As [`Handler::isolator`].
    pub fn engine(&self, paths: &Paths) -> Result<EngineChoice, HandlerError> {
        let isolator = self.isolator()?.as_str();
        let HandlerKind::Oci(runtime) = &self.kind else {
            return Ok(EngineChoice { isolator, oci: None, state_root: paths.native() });
        };
        let own = paths.oci(&self.name);
        let oci = Some(caisson_shim::OciRuntime {
            program: runtime.path.clone(),
            args: runtime.args.clone(),
            root: runtime.root.clone().unwrap_or_else(|| own.join("runtime")),
        });
        Ok(EngineChoice { isolator, oci, state_root: own.join("containers") })
    }
}
