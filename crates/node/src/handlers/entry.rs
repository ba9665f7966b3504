//! From `[runtime.handlers.NAME]` to a handler.

use std::path::PathBuf;

use super::{HandlerError, HandlerKind, IsolatorKind, OciRuntime};
use crate::settings::HandlerEntry;

/// Longest name of a handler: it is a folder's name, and a label of Kubernetes.
const LONGEST_NAME: usize = 63;

/// What the entry called `name` asks for.
pub(super) fn kind_of(name: &str, entry: &HandlerEntry) -> Result<HandlerKind, HandlerError> {
    let malformed = |reason: String| HandlerError::Malformed { name: name.to_owned(), reason };
    if !is_name(name) {
        let most = LONGEST_NAME;
        return Err(malformed(format!(
            "a handler's name is 1 to {most} of A-Z a-z 0-9 - _ . and starts with a letter or digit"
        )));
    }
    let (what, allowed): (&str, &[&str]) = match (&entry.isolator, entry.kind.as_deref()) {
        (Some(_), None) => ("isolator", &[]),
        (None, Some("oci")) => ("kind \"oci\"", &["runtime_path", "runtime_root", "runtime_args"]),
        (None, Some("shim")) => ("kind \"shim\"", &["runtime_type"]),
        (None, Some(other)) => {
            return Err(malformed(format!("no kind is called {other:?}; known are: oci, shim")));
        }
        _ => return Err(malformed("either isolator or kind is needed".to_owned())),
    };
    let set = [
        ("runtime_path", entry.runtime_path.is_some()),
        ("runtime_root", entry.runtime_root.is_some()),
        ("runtime_args", entry.runtime_args.is_some()),
        ("runtime_type", entry.runtime_type.is_some()),
    ];
    if let Some((key, _)) = set.iter().find(|(key, is_set)| *is_set && !allowed.contains(key)) {
        return Err(malformed(format!("{key} does not go with {what}")));
    }
    let needed = |key: &str| malformed(format!("{what} needs {key}"));
    match (&entry.isolator, &entry.runtime_path, &entry.runtime_type) {
        (Some(isolator), _, _) => {
            let known = IsolatorKind::ALL.into_iter().find(|kind| kind.as_str() == isolator);
            known.map(HandlerKind::Isolator).ok_or_else(|| {
                malformed(format!(
                    "no isolator is called {isolator:?}; known are: native, sentry, vm, wasm"
                ))
            })
        }
        (None, Some(path), _) => {
            absolute(name, "runtime_path", path)?;
            if let Some(root) = &entry.runtime_root {
                absolute(name, "runtime_root", root)?;
            }
            Ok(HandlerKind::Oci(OciRuntime {
                path: path.clone(),
                root: entry.runtime_root.clone(),
                args: entry.runtime_args.clone().unwrap_or_default(),
            }))
        }
        (None, None, Some(kind)) => Ok(HandlerKind::Shim(kind.clone())),
        (None, None, None) if entry.kind.as_deref() == Some("oci") => Err(needed("runtime_path")),
        (None, None, None) => Err(needed("runtime_type")),
    }
}

fn absolute(name: &str, key: &str, path: &PathBuf) -> Result<(), HandlerError> {
    match path.is_absolute() {
        true => Ok(()),
        false => Err(HandlerError::Malformed {
            name: name.to_owned(),
            reason: format!("{key} {path:?} is no absolute path"),
        }),
    }
}

fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    name.len() <= LONGEST_NAME
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(inner)
}
