//! What is permitted but will not do what it seems to.

use crate::capabilities::Capabilities;
use crate::linux::{Linux, NamespaceKind};
use crate::spec::Spec;

/// One line for each value that is accepted for compatibility, but ignored or
/// read in an unexpected way; each names the JSON path.
#[must_use]
pub fn warnings(spec: &Spec) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, mount) in spec.mounts.iter().enumerate() {
        let destination = &mount.destination;
        if !destination.starts_with('/') {
            lines.push(format!(
                "mounts[{index}].destination: {destination:?} is not absolute, taken as relative to /"
            ));
        }
    }
    if let Some(sets) = spec.process.as_ref().and_then(|process| process.capabilities.as_ref()) {
        capabilities(sets, &mut lines);
    }
    if let Some(section) = &spec.linux {
        linux(section, &mut lines);
    }
    lines
}

fn capabilities(sets: &Capabilities, lines: &mut Vec<String>) {
    for (name, set) in [
        ("bounding", &sets.bounding),
        ("effective", &sets.effective),
        ("inheritable", &sets.inheritable),
        ("permitted", &sets.permitted),
        ("ambient", &sets.ambient),
    ] {
        for unknown in set.unknown() {
            lines.push(format!("process.capabilities.{name}: ignoring unknown {unknown:?}"));
        }
    }
    for capability in sets.ambient.iter() {
        if !sets.permitted.contains(capability) || !sets.inheritable.contains(capability) {
            lines.push(format!(
                "process.capabilities.ambient: ignoring {capability}, it is not both permitted and inheritable"
            ));
        }
    }
}

fn linux(linux: &Linux, lines: &mut Vec<String>) {
    if linux.personality.as_ref().is_some_and(|personality| !personality.flags.is_empty()) {
        lines.push("linux.personality.flags: ignored, the specification defines none".to_owned());
    }
    if let Some(memory) = linux.resources.as_ref().and_then(|limits| limits.memory.as_ref())
        && (memory.kernel.is_some() || memory.kernel_tcp.is_some())
    {
        lines.push("linux.resources.memory.kernel: kernel memory limits are ignored".to_owned());
    }
    let joins =
        linux.namespace(NamespaceKind::User).is_some_and(|namespace| namespace.path.is_some());
    if joins && !(linux.uid_mappings.is_empty() && linux.gid_mappings.is_empty()) {
        lines.push(
            "linux.uidMappings: ignored, the user namespace is joined by path and has its own"
                .to_owned(),
        );
    }
}
