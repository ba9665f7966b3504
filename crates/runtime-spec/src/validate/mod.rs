//! Checks of meaning: values that contradict the specification, the kernel or
//! each other.
//!
//! Nothing here looks at the host. What depends on it (does the root file
//! system exist, is the joined namespace the runtime's own, is SELinux
//! enabled) is the runtime's to check.

mod fault;
mod hooks;
mod identity;
mod linux;
mod mounts;
mod process;
mod resources;
mod rootless;
mod scheduling;
mod seccomp;
mod version;
mod warnings;

pub use warnings::warnings;

use crate::error::ConfigError;
use crate::linux::{Linux, NamespaceKind};
use crate::process::Process;
use crate::resources::Resources;
use crate::spec::Spec;
use fault::{Check, fault, text};

/// Longest host and domain name (`__NEW_UTS_LEN`, `sethostname(2)`).
const UTS_NAME_MAX: usize = 64;

/// Checks a whole configuration. A missing process is permitted, as `create`
/// does not need one.
///
/// # Errors
/// The first value found to be wrong.
pub fn validate(spec: &Spec) -> Result<(), ConfigError> {
    check(spec).map_err(|fault| fault.in_document("config.json"))
}

/// Checks a process alone, the input of `exec`; `document` names it in errors.
///
/// # Errors
/// The first value found to be wrong.
pub fn validate_process(process: &Process, document: &str) -> Result<(), ConfigError> {
    process::check(process).map_err(|fault| fault.in_document(document))
}

/// Checks resources alone, the input of `update`; `document` names them in errors.
///
/// # Errors
/// The first value found to be wrong.
pub fn validate_resources(resources: &Resources, document: &str) -> Result<(), ConfigError> {
    resources::check(resources).map_err(|fault| fault.in_document(document))
}

/// Checks in addition what a runtime without root privileges cannot do.
///
/// # Errors
/// The first value found to be wrong.
pub fn validate_rootless(spec: &Spec) -> Result<(), ConfigError> {
    rootless::check(spec).map_err(|fault| fault.in_document("config.json"))
}

fn check(spec: &Spec) -> Check {
    version::check(&spec.oci_version)?;
    let no_linux;
    let linux = match &spec.linux {
        Some(linux) => linux,
        None => {
            no_linux = Linux::default();
            &no_linux
        }
    };
    root(spec)?;
    let uts = linux.namespace(NamespaceKind::Uts).is_some();
    uts_name("hostname", spec.hostname.as_deref(), uts)?;
    uts_name("domainname", spec.domainname.as_deref(), uts)?;
    if let Some(process) = &spec.process {
        process::check(process).map_err(|fault| fault.under("process"))?;
    }
    mounts::check(&spec.mounts, linux)?;
    if let Some(hooks) = &spec.hooks {
        hooks::check(hooks).map_err(|fault| fault.under("hooks"))?;
    }
    if spec.annotations.contains_key("") {
        return fault("annotations", "has an empty key");
    }
    linux::check(linux).map_err(|fault| fault.under("linux"))?;
    match &spec.process {
        Some(process) => identity::user_is_mapped(&process.user, linux)
            .map_err(|fault| fault.under("process.user")),
        None => Ok(()),
    }
}

fn root(spec: &Spec) -> Check {
    let Some(root) = &spec.root else {
        return fault("root", "missing");
    };
    if root.path.is_empty() {
        return fault("root.path", "missing");
    }
    text("root.path", &root.path)
}

fn uts_name(path: &str, name: Option<&str>, has_namespace: bool) -> Check {
    let Some(name) = name else {
        return Ok(());
    };
    text(path, name)?;
    if !has_namespace {
        return fault(path, "cannot be set without a uts namespace in linux.namespaces");
    }
    if name.len() > UTS_NAME_MAX {
        let length = name.len();
        return fault(path, format!("is {length} bytes long, the kernel permits {UTS_NAME_MAX}"));
    }
    Ok(())
}
