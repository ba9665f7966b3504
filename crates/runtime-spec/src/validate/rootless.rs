//! What a runtime without root privileges cannot do.

use super::fault::{Check, each, fault};
use super::identity::is_mapped;
use crate::linux::NamespaceKind;
use crate::mounts::IdMapping;
use crate::spec::Spec;

pub(super) fn check(spec: &Spec) -> Check {
    let Some((linux, namespace)) =
        spec.linux.as_ref().and_then(|linux| Some((linux, linux.namespace(NamespaceKind::User)?)))
    else {
        return fault("linux.namespaces", "has no user namespace, which rootless needs");
    };
    if !linux.net_devices.is_empty() {
        return fault("linux.netDevices", "cannot be moved by a rootless runtime");
    }
    let joined = namespace.path.is_some();
    each("mounts", &spec.mounts, |mount| {
        let options = mount.parsed_options();
        if options.idmap.is_some() || !mount.uid_mappings.is_empty() {
            return fault("options", "a rootless runtime cannot make idmapped mounts");
        }
        if joined {
            return Ok(());
        }
        for option in &options.data {
            for (prefix, list) in [("uid=", &linux.uid_mappings), ("gid=", &linux.gid_mappings)] {
                owner(option, prefix, list)?;
            }
        }
        Ok(())
    })
}

/// The kernel refuses `uid=` and `gid=` of ids that are not mapped.
fn owner(option: &str, prefix: &str, mappings: &[IdMapping]) -> Check {
    match option.strip_prefix(prefix).and_then(|id| id.parse().ok()) {
        Some(id) if !is_mapped(id, mappings) => {
            fault("options", format!("the id of {option:?} is not mapped"))
        }
        _ => Ok(()),
    }
}
