//! Handlers: what `--runtime` and a RuntimeClass name.

mod describe;
mod engine;
mod entry;
mod overhead;

use std::collections::BTreeMap;
use std::path::PathBuf;

use caisson_containerd::options::Options;
use caisson_shim::SentryOptions;

use crate::settings::Settings;

pub use caisson_shim::Description;
pub use describe::Descriptions;
pub use engine::EngineChoice;

/// What a supervisor holds: our own engines, and the one for others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolatorKind {
    /// Namespaces, cgroups, seccomp.
    Native,
    /// A kernel in user space.
    Sentry,
    /// A virtual machine per pod.
    Vm,
    /// WebAssembly inside the native wall.
    Wasm,
    /// An OCI runtime that somebody else made.
    Oci,
    /// A shim that somebody else made.
    Shim,
}

impl IsolatorKind {
    /// All of our own.
    pub const ALL: [Self; 4] = [Self::Native, Self::Sentry, Self::Vm, Self::Wasm];

    /// The name in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Sentry => "sentry",
            Self::Vm => "vm",
            Self::Wasm => "wasm",
            Self::Oci => "oci",
            Self::Shim => "shim",
        }
    }

    /// Names of handlers that lead here without any settings, the first one
    /// being the handler itself.
    #[must_use]
    pub const fn built_in_names(self) -> &'static [&'static str] {
        match self {
            Self::Native => &["native", "runc", "crun"],
            Self::Sentry => &["runsc", "gvisor", "sentry"],
            Self::Vm => &["kata", "vm", "kata-qemu"],
            Self::Wasm => &["wasm", "wasmtime"],
            Self::Oci | Self::Shim => &[],
        }
    }
}

/// What runs a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerKind {
    /// One of our engines.
    Isolator(IsolatorKind),
    /// Somebody else's OCI runtime.
    Oci(OciRuntime),
    /// Somebody else's shim.
    Shim(ForeignShim),
}

/// A shim that somebody else made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignShim {
    /// Its type, such as `io.containerd.runc.v2`.
    pub kind: String,
    /// The program, absolute; `None`: by its type, beside our own program or on
    /// the PATH.
    pub path: Option<PathBuf>,
    /// Options of its runtime.
    pub options: Options,
    /// Whether a pod begins with a container that runs nothing, which some
    /// shims want to make their sandbox for.
    pub sandbox_container: bool,
}

/// An OCI runtime that somebody else made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciRuntime {
    /// The program, absolute.
    pub path: PathBuf,
    /// Where it keeps its state; `None`: in a folder of ours.
    pub root: Option<PathBuf>,
    /// Arguments that come before all others.
    pub args: Vec<String>,
}

/// A handler by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// The name under which it was asked for.
    pub name: String,
    /// What it runs.
    pub kind: HandlerKind,
    /// How, if it is the sentry.
    pub sentry: SentryOptions,
}

/// Why there is no such handler.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// Nothing has that name.
    #[error("no handler is called {name:?}; known are: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The settings of a handler make no sense.
    #[error("handler {name:?}: {reason}")]
    Malformed {
        /// The handler.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// This build cannot run that kind.
    #[error("handler {name:?} needs {what}, which is not in this build; use another handler")]
    NotInThisBuild {
        /// The handler.
        name: String,
        /// What it would need.
        what: String,
    },
    /// The program of a `shim` handler is nowhere.
    #[error(
        "handler {name:?}: there is no {program} beside caisson or on the PATH; \
         install it, or set runtime_path in [runtime.handlers.{name}]"
    )]
    NoShim {
        /// The handler.
        name: String,
        /// The program's name.
        program: String,
    },
    /// The program of an `oci` handler is not there.
    #[error(
        "handler {name:?}: its runtime {path:?} is no program that can be executed ({cause}); \
         install it, or set runtime_path in [runtime.handlers.{name}]"
    )]
    NoProgram {
        /// The handler.
        name: String,
        /// The program.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

/// All handlers of a node.
#[derive(Clone, Debug)]
pub struct Handlers {
    by_name: BTreeMap<String, (HandlerKind, SentryOptions)>,
    default: String,
}

impl Handlers {
    /// The built-in handlers and those of `settings`, which win.
    ///
    /// # Errors
    /// [`HandlerError::Malformed`]; [`HandlerError::Unknown`] for the default.
    pub fn new(settings: &Settings) -> Result<Self, HandlerError> {
        let mut by_name = BTreeMap::new();
        for kind in IsolatorKind::ALL {
            for name in kind.built_in_names() {
                let kind = HandlerKind::Isolator(kind);
                by_name.insert((*name).to_owned(), (kind, SentryOptions::default()));
            }
        }
        for (name, entry) in &settings.runtime.handlers {
            let kind = entry::kind_of(name, entry)?;
            by_name.insert(name.clone(), (kind, entry::sentry_options(name, entry)?));
        }
        let default =
            settings.runtime.default_handler.clone().unwrap_or_else(|| "native".to_owned());
        let handlers = Self { by_name, default };
        handlers.get(None)?;
        Ok(handlers)
    }

    /// The handler called `name`, or the default one.
    ///
    /// # Errors
    /// [`HandlerError::Unknown`], which lists the known ones.
    pub fn get(&self, name: Option<&str>) -> Result<Handler, HandlerError> {
        let name = name.unwrap_or(&self.default);
        match self.by_name.get(name) {
            Some((kind, sentry)) => {
                let (name, kind, sentry) = (name.to_owned(), kind.clone(), sentry.clone());
                Ok(Handler { name, kind, sentry })
            }
            None => Err(HandlerError::Unknown {
                name: name.to_owned(),
                known: self.by_name.keys().cloned().collect(),
            }),
        }
    }

    /// Every handler, by name.
    pub fn iter(&self) -> impl Iterator<Item = Handler> + '_ {
        self.by_name.iter().map(|(name, (kind, sentry))| {
            let (name, kind, sentry) = (name.clone(), kind.clone(), sentry.clone());
            Handler { name, kind, sentry }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handlers(text: &str) -> Result<Handlers, HandlerError> {
        Handlers::new(&toml::from_str(text).unwrap())
    }

    #[test]
    fn built_in_names_work_without_settings() {
        let handlers = handlers("").unwrap();
        for name in [None, Some("native"), Some("runc"), Some("crun")] {
            assert_eq!(handlers.get(name).unwrap().isolator(), Ok(IsolatorKind::Native));
        }
        for name in ["runsc", "gvisor", "sentry"] {
            let handler = handlers.get(Some(name)).unwrap();
            assert_eq!(handler.isolator(), Ok(IsolatorKind::Sentry));
        }
        for name in ["kata", "kata-qemu", "wasmtime"] {
            let error = handlers.get(Some(name)).unwrap().isolator().unwrap_err();
            assert!(error.to_string().contains("not in this build"), "{error}");
        }
        let message = handlers.get(Some("nope")).unwrap_err().to_string();
        assert!(message.contains("nope") && message.contains("kata-qemu"), "{message}");
    }

    #[test]
    fn settings_add_handlers_and_choose_the_default() {
        let known = handlers(
            "[runtime]\ndefault_handler = \"safe\"\n[runtime.handlers.safe]\nisolator = \"sentry\"\n\
             [runtime.handlers.fast]\nisolator = \"sentry\"\nnetwork = \"host-sockets\"\n\
             [runtime.handlers.theirs]\nkind = \"oci\"\nruntime_path = \"/bin/x\"\n",
        )
        .unwrap();
        assert_eq!(known.get(None).unwrap().kind, HandlerKind::Isolator(IsolatorKind::Sentry));
        let theirs = OciRuntime { path: "/bin/x".into(), root: None, args: Vec::new() };
        assert_eq!(known.get(Some("theirs")).unwrap().kind, HandlerKind::Oci(theirs));
        assert!(known.get(Some("fast")).unwrap().sentry.host_sockets);
        assert!(!known.get(Some("safe")).unwrap().sentry.host_sockets);
        for bad in [
            "[runtime]\ndefault_handler = \"nope\"\n",
            "[runtime.handlers.x]\nisolator = \"nope\"\n",
            "[runtime.handlers.x]\nkind = \"oci\"\n",
            "[runtime.handlers.x]\nkind = \"shim\"\n",
            "[runtime.handlers.x]\nkind = \"shim\"\nruntime_type = \"runc\"\n",
            "[runtime.handlers.x]\nkind = \"shim\"\nruntime_type = \"a.../x.v2\"\n",
            "[runtime.handlers.x]\nkind = \"shim\"\nruntime_type = \"a.b.c\"\nruntime_path = \"x\"\n",
            "[runtime.handlers.x]\nkind = \"shim\"\nruntime_type = \"a.b.c\"\noptions = { Colour = 1 }\n",
            "[runtime.handlers.x]\n",
            "[runtime.handlers.x]\nisolator = \"sentry\"\nnetwork = \"host\"\n",
            "[runtime.handlers.x]\nkind = \"oci\"\nruntime_path = \"relative\"\n",
            "[runtime.handlers.\"../x\"]\nkind = \"oci\"\nruntime_path = \"/bin/x\"\n",
        ] {
            assert!(handlers(bad).is_err(), "{bad}");
        }
    }
    #[test]
    fn a_key_that_belongs_to_another_kind_is_named() {
        for (text, key) in [
            ("isolator = \"native\"\nruntime_root = \"/x\"", "runtime_root"),
            ("isolator = \"native\"\nnetwork = \"host-sockets\"", "network"),
            ("isolator = \"native\"\nruntime_type = \"a.b.c\"", "runtime_type"),
            ("kind = \"oci\"\nruntime_path = \"/x\"\nruntime_type = \"a.b.c\"", "runtime_type"),
            ("kind = \"shim\"\nruntime_type = \"a.b.c\"\nruntime_args = []", "runtime_args"),
        ] {
            let error = handlers(&format!("[runtime.handlers.x]\n{text}\n")).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("\"x\"") && message.contains(key), "{message}");
        }
        let unknown: Result<Settings, _> =
            toml::from_str("[runtime.handlers.x]\nruntime_pth = \"/x\"");
        assert!(unknown.unwrap_err().to_string().contains("runtime_pth"));
    }

    #[test]
    fn what_is_missing_is_told_with_its_path() {
        let known = handlers(
            "[runtime.handlers.gone]\nkind = \"oci\"\nruntime_path = \"/no/such/runtime\"\n\
             [runtime.handlers.upstream]\nkind = \"shim\"\nruntime_type = \"io.containerd.no-such.v1\"\n",
        )
        .unwrap();
        let message = known.get(Some("gone")).unwrap().isolator().unwrap_err().to_string();
        assert!(message.contains("/no/such/runtime") && message.contains("gone"), "{message}");
        let message = known.get(Some("upstream")).unwrap().isolator().unwrap_err().to_string();
        assert!(message.contains("containerd-shim-no-such-v1"), "{message}");
    }
}
