//! What a supervisor is told to run a handler's pods with.

use std::path::{Path, PathBuf};

use caisson_containerd::options::{OptionError, OptionValue, Options, encode};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{ForeignShim, Handler, HandlerError, HandlerKind, IsolatorKind};
use crate::paths::Paths;

/// The parts of [`caisson_shim::PodConfig`] that a handler decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineChoice {
    /// The isolator's name.
    pub isolator: &'static str,
    /// How, if it is the sentry.
    pub sentry: caisson_shim::SentryOptions,
    /// The runtime that the isolator `oci` calls.
    pub oci: Option<caisson_shim::OciRuntime>,
    /// The shim that the isolator `shim` runs.
    pub shim: Option<caisson_shim::ForeignShim>,
    /// Where the isolator keeps its state.
    pub state_root: PathBuf,
}

/// containerd's namespace, as foreign shims know our containers by.
const NAMESPACE: &str = "caisson";

impl Handler {
    /// The isolator that runs it in this build.
    ///
    /// # Errors
    /// [`HandlerError::NotInThisBuild`]; [`HandlerError::NoProgram`];
    /// [`HandlerError::NoShim`].
    pub fn isolator(&self) -> Result<IsolatorKind, HandlerError> {
        let what = match &self.kind {
            HandlerKind::Isolator(own @ (IsolatorKind::Native | IsolatorKind::Sentry)) => {
                return Ok(*own);
            }
            HandlerKind::Oci(_) => return self.program().map(|_| IsolatorKind::Oci),
            HandlerKind::Shim(_) => return self.program().map(|_| IsolatorKind::Shim),
            HandlerKind::Isolator(other) => format!("the {} isolator", other.as_str()),
        };
        Err(HandlerError::NotInThisBuild { name: self.name.clone(), what })
    }

    /// The program that somebody else made, if it is one's; it is there.
    ///
    /// # Errors
    /// [`HandlerError::NoProgram`]; [`HandlerError::NoShim`].
    pub fn program(&self) -> Result<Option<PathBuf>, HandlerError> {
        let path = match &self.kind {
            HandlerKind::Isolator(_) => return Ok(None),
            HandlerKind::Oci(runtime) => &runtime.path,
            HandlerKind::Shim(ForeignShim { path: Some(path), .. }) => path,
            HandlerKind::Shim(shim) => {
                let program = shim.program_name().unwrap_or_default();
                return match find(&program) {
                    Some(path) => Ok(Some(path)),
                    None => Err(HandlerError::NoShim { name: self.name.clone(), program }),
                };
            }
        };
        match look_at(path) {
            Ok(()) => Ok(Some(path.clone())),
            Err(cause) => {
                Err(HandlerError::NoProgram { name: self.name.clone(), path: path.clone(), cause })
            }
        }
    }

    /// What a supervisor of a pod is told, whose directory is `pod_dir`, with
    /// state below `paths`. `systemd`: that makes the cgroups.
    ///
    /// # Errors
    /// As [`Handler::isolator`].
    pub fn engine(
        &self,
        paths: &Paths,
        pod_dir: &Path,
        systemd: bool,
    ) -> Result<EngineChoice, HandlerError> {
        let isolator = self.isolator()?.as_str();
        let program = self.program()?.unwrap_or_default();
        let (sentry, state_root) = (self.sentry.clone(), paths.native());
        let choice = EngineChoice { isolator, sentry, oci: None, shim: None, state_root };
        match &self.kind {
            HandlerKind::Isolator(IsolatorKind::Sentry) => {
                Ok(EngineChoice { state_root: paths.sentry(), ..choice })
            }
            HandlerKind::Isolator(_) => Ok(choice),
            HandlerKind::Oci(runtime) => {
                let own = paths.oci(&self.name);
                let root = runtime.root.clone().unwrap_or_else(|| own.join("runtime"));
                let oci = caisson_shim::OciRuntime { program, args: runtime.args.clone(), root };
                Ok(EngineChoice { oci: Some(oci), state_root: own.join("containers"), ..choice })
            }
            HandlerKind::Shim(shim) => {
                let root = paths.shims(&self.name);
                let malformed = |error: OptionError| HandlerError::Malformed {
                    name: self.name.clone(),
                    reason: format!("options: {error}"),
                };
                let options = encode(&shim.options_with(&root, systemd)).map_err(malformed)?;
                let shim = caisson_shim::ForeignShim {
                    program,
                    namespace: NAMESPACE.to_owned(),
                    address: paths.socket().to_string_lossy().into_owned(),
                    options,
                };
                // One shim has all of a pod.
                Ok(EngineChoice { shim: Some(shim), state_root: pod_dir.join("shim"), ..choice })
            }
        }
    }
}

impl ForeignShim {
    /// The program of its type: the last two parts behind `containerd-shim`.
    pub(super) fn program_name(&self) -> Option<String> {
        let (rest, version) = self.kind.rsplit_once('.')?;
        let name = rest.rsplit_once('.')?.1;
        let is_part = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !part.is_empty() && part.chars().all(allowed)
        };
        (is_part(name) && is_part(version)).then(|| format!("containerd-shim-{name}-{version}"))
    }

    /// Its options, and for runc's what is not said: a state directory of ours,
    /// and the driver of cgroups that the engine has.
    fn options_with(&self, root: &Path, systemd: bool) -> Options {
        let mut options = self.options.clone();
        if self.program_name().is_some_and(|name| name.starts_with("containerd-shim-runc-")) {
            let text = root.to_string_lossy().into_owned();
            options.entry("Root".to_owned()).or_insert(OptionValue::Text(text));
            options.entry("SystemdCgroup".to_owned()).or_insert(OptionValue::Flag(systemd));
        }
        options
    }
}

/// A program beside ours, or on the PATH.
fn find(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    folders.map(|dir| dir.join(name)).find(|path| path.is_absolute() && look_at(path).is_ok())
}

fn look_at(path: &Path) -> Result<(), String> {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).map_err(|e| e.to_string())?;
    if path.is_file() { Ok(()) } else { Err("it is no file".to_owned()) }
}
