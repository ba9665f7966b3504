//! From `[runtime.handlers.NAME]` to a handler.

use std::path::PathBuf;

use caisson_containerd::options::encode;
use caisson_shim::SentryOptions;

use super::{ForeignShim, HandlerError, HandlerKind, IsolatorKind, OciRuntime};
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
        (Some(of), None) if of == "sentry" => ("isolator \"sentry\"", &["network"]),
        (Some(_), None) => ("isolator", &[]),
        (None, Some("oci")) => ("kind \"oci\"", &["runtime_path", "runtime_root", "runtime_args"]),
        (None, Some("shim")) => {
            ("kind \"shim\"", &["runtime_type", "runtime_path", "options", "sandbox_container"])
        }
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
        ("options", entry.options.is_some()),
        ("sandbox_container", entry.sandbox_container.is_some()),
        ("network", entry.network.is_some()),
    ];
    if let Some((key, _)) = set.iter().find(|(key, is_set)| *is_set && !allowed.contains(key)) {
        return Err(malformed(format!("{key} does not go with {what}")));
    }
    match &entry.isolator {
        Some(isolator) => {
            let known = IsolatorKind::ALL.into_iter().find(|kind| kind.as_str() == isolator);
            known.map(HandlerKind::Isolator).ok_or_else(|| {
                malformed(format!(
                    "no isolator is called {isolator:?}; known are: native, sentry, vm, wasm"
                ))
            })
        }
        None if entry.kind.as_deref() == Some("oci") => oci(name, entry).map(HandlerKind::Oci),
        None => shim(name, entry).map(HandlerKind::Shim),
    }
}

/// What the entry says of the sentry.
pub(super) fn sentry_options(
    name: &str,
    entry: &HandlerEntry,
) -> Result<SentryOptions, HandlerError> {
    match entry.network.as_deref() {
        None | Some("sandbox") => Ok(SentryOptions::default()),
        Some("host-sockets") => Ok(SentryOptions { host_sockets: true }),
        Some(other) => Err(HandlerError::Malformed {
            name: name.to_owned(),
            reason: format!("network {other:?} is neither \"sandbox\" nor \"host-sockets\""),
        }),
    }
}

fn oci(name: &str, entry: &HandlerEntry) -> Result<OciRuntime, HandlerError> {
    let path = entry.runtime_path.as_ref().ok_or_else(|| HandlerError::Malformed {
        name: name.to_owned(),
        reason: "kind \"oci\" needs runtime_path".to_owned(),
    })?;
    absolute(name, "runtime_path", path)?;
    if let Some(root) = &entry.runtime_root {
        absolute(name, "runtime_root", root)?;
    }
    Ok(OciRuntime {
        path: path.clone(),
        root: entry.runtime_root.clone(),
        args: entry.runtime_args.clone().unwrap_or_default(),
    })
}

fn shim(name: &str, entry: &HandlerEntry) -> Result<ForeignShim, HandlerError> {
    let malformed = |reason: String| HandlerError::Malformed { name: name.to_owned(), reason };
    let kind = entry.runtime_type.clone();
    let kind = kind.ok_or_else(|| malformed("kind \"shim\" needs runtime_type".to_owned()))?;
    if let Some(path) = &entry.runtime_path {
        absolute(name, "runtime_path", path)?;
    }
    let shim = ForeignShim {
        kind,
        path: entry.runtime_path.clone(),
        options: entry.options.clone().unwrap_or_default(),
        sandbox_container: entry.sandbox_container.unwrap_or(false),
    };
    if shim.program_name().is_none() {
        return Err(malformed(format!(
            "runtime_type {:?} is none; one looks like io.containerd.runc.v2",
            shim.kind
        )));
    }
    encode(&shim.options).map_err(|error| malformed(format!("options: {error}")))?;
    Ok(shim)
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
