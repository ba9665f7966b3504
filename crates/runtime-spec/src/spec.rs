//! The top level of config.json.

use crate::hooks::Hooks;
use crate::lenient::{empty_as_none, is_default, null_as_default};
use crate::linux::Linux;
use crate::mounts::Mount;
use crate::process::Process;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A container's config.json (OCI runtime-spec 1.3, config.md), its Linux part.
///
/// Parsing checks types and ranges only; [`crate::validate`] checks meaning.
/// Unknown fields, and the sections of other platforms, are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Version of the specification that the bundle follows; empty if absent.
    #[serde(default, deserialize_with = "null_as_default")]
    pub oci_version: String,
    /// The container's process; may be absent until `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The root file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Host name, set in the UTS namespace.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// NIS domain name, set in the UTS namespace.
    #[serde(default, deserialize_with = "empty_as_none", skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Mounts beyond the root, in the order of mounting.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Programs run at points of the life cycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Arbitrary metadata.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// What is specific to Linux.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// The container's root file system (config.md, Root).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    /// Absolute, or relative to the bundle; empty if absent.
    #[serde(default, deserialize_with = "null_as_default")]
    pub path: String,
    /// Whether the root file system is read-only inside the container.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub readonly: bool,
}
