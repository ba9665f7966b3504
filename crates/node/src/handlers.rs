//! Handlers: what `--runtime` and a RuntimeClass name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::settings::{HandlerEntry, Settings};

/// Our own engines.
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
}

impl IsolatorKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Native, Self::Sentry, Self::Vm, Self::Wasm];

    /// The name in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Sentry => "sentry",
            Self::Vm => "vm",
            Self::Wasm => "wasm",
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
        }
    }
}

/// What runs a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerKind {
    /// One of our engines.
    Isolator(IsolatorKind),
    /// Somebody else's OCI runtime.
    Oci(PathBuf),
    /// Somebody else's shim, by its type.
    Shim(String),
}

/// A handler by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// The name under which it was asked for.
    pub name: String,
    /// What it runs.
    pub kind: HandlerKind,
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
    #[error("handler {name:?} needs {what}, which is not in this build; use --runtime native")]
    NotInThisBuild {
        /// The handler.
        name: String,
        /// What it would need.
        what: String,
    },
}

/// All handlers of a node.
#[derive(Clone, Debug)]
pub struct Handlers {
    by_name: BTreeMap<String, HandlerKind>,
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
                by_name.insert((*name).to_owned(), HandlerKind::Isolator(kind));
            }
        }
        for (name, entry) in &settings.runtime.handlers {
            by_name.insert(name.clone(), kind_of(name, entry)?);
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
            Some(kind) => Ok(Handler { name: name.to_owned(), kind: kind.clone() }),
            None => Err(HandlerError::Unknown {
                name: name.to_owned(),
                known: self.by_name.keys().cloned().collect(),
            }),
        }
    }

    /// Every handler, by name.
    pub fn iter(&self) -> impl Iterator<Item = Handler> + '_ {
        self.by_name.iter().map(|(name, kind)| Handler { name: name.clone(), kind: kind.clone() })
    }
}

impl Handler {
    /// The isolator that runs it in this build.
    ///
    /// # Errors
    /// [`HandlerError::NotInThisBuild`].
    pub fn isolator(&self) -> Result<IsolatorKind, HandlerError> {
        let what = match &self.kind {
            HandlerKind::Isolator(IsolatorKind::Native) => return Ok(IsolatorKind::Native),
            HandlerKind::Isolator(other) => format!("the {} isolator", other.as_str()),
            HandlerKind::Oci(path) => format!("support of OCI runtimes such as {}", path.display()),
            HandlerKind::Shim(kind) => format!("support of shims such as {kind}"),
        };
        Err(HandlerError::NotInThisBuild { name: self.name.clone(), what })
    }
}

fn kind_of(name: &str, entry: &HandlerEntry) -> Result<HandlerKind, HandlerError> {
    let malformed = |reason: String| HandlerError::Malformed { name: name.to_owned(), reason };
    match (entry.isolator.as_deref(), entry.kind.as_deref()) {
        (Some(isolator), None) => IsolatorKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == isolator)
            .map(HandlerKind::Isolator)
            .ok_or_else(|| {
                malformed(format!(
                    "no isolator is called {isolator:?}; known are: native, sentry, vm, wasm"
                ))
            }),
        (None, Some("oci")) => entry
            .runtime_path
            .clone()
            .map(HandlerKind::Oci)
            .ok_or_else(|| malformed("kind \"oci\" needs runtime_path".to_owned())),
        (None, Some("shim")) => entry
            .runtime_type
            .clone()
            .map(HandlerKind::Shim)
            .ok_or_else(|| malformed("kind \"shim\" needs runtime_type".to_owned())),
        (None, Some(other)) => {
            Err(malformed(format!("no kind is called {other:?}; known are: oci, shim")))
        }
        _ => Err(malformed("either isolator or kind is needed".to_owned())),
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
        for name in ["runsc", "gvisor", "kata", "kata-qemu", "wasmtime"] {
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
             [runtime.handlers.theirs]\nkind = \"oci\"\nruntime_path = \"/bin/x\"\n",
        )
        .unwrap();
        assert_eq!(known.get(None).unwrap().kind, HandlerKind::Isolator(IsolatorKind::Sentry));
        assert_eq!(known.get(Some("theirs")).unwrap().kind, HandlerKind::Oci("/bin/x".into()));
        for bad in [
            "[runtime]\ndefault_handler = \"nope\"\n",
            "[runtime.handlers.x]\nisolator = \"nope\"\n",
            "[runtime.handlers.x]\nkind = \"oci\"\n",
            "[runtime.handlers.x]\nkind = \"shim\"\n",
            "[runtime.handlers.x]\n",
        ] {
            assert!(handlers(bad).is_err(), "{bad}");
        }
    }
}
