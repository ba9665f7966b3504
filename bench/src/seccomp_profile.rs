//! Turns a seccomp profile in docker's format into `linux.seccomp`.
//!
//! Docker's format adds to OCI's: `archMap` instead of `architectures`, and
//! per rule `includes`/`excludes` by capability, architecture and kernel
//! version. A profile already in OCI's format passes unchanged.

use std::path::Path;

use serde_json::{Value, json};

use crate::bundle::read_json;
use crate::error::BenchError;

/// Where Debian's containers-common puts a profile of the same format.
const FALLBACK: &str = "/usr/share/containers/seccomp.json";

/// Reads the profile, or the engines' one where it does not exist; `None`
/// where there is neither.
pub(crate) fn load(path: &Path) -> Result<Option<Value>, BenchError> {
    let Some(path) = [path, Path::new(FALLBACK)].into_iter().find(|p| p.exists()) else {
        return Ok(None);
    };
    println!("seccomp profile: {}", path.display());
    Ok(Some(convert(&read_json(path)?)))
}

/// Resolves docker's additions for this machine and for a container without
/// any capability that the profile asks about.
fn convert(profile: &Value) -> Value {
    let mut oci = json!({"defaultAction": profile["defaultAction"]});
    for key in ["defaultErrnoRet", "architectures", "flags"] {
        if !profile[key].is_null() {
            oci[key] = profile[key].clone();
        }
    }
    let (docker_arch, scmp_arch) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", "SCMP_ARCH_X86_64"),
        "aarch64" => ("arm64", "SCMP_ARCH_AARCH64"),
        other => (other, ""),
    };
    if let Some(map) = profile["archMap"].as_array() {
        let entry = map.iter().find(|e| e["architecture"] == scmp_arch);
        let mut architectures = vec![json!(scmp_arch)];
        if let Some(more) = entry.and_then(|e| e["subArchitectures"].as_array()) {
            architectures.extend(more.iter().cloned());
        }
        oci["architectures"] = Value::Array(architectures);
    }
    let empty = Vec::new();
    let rules = profile["syscalls"].as_array().unwrap_or(&empty);
    let kept = rules.iter().filter(|r| applies(r, docker_arch)).map(|rule| {
        let mut kept = json!({"names": rule["names"], "action": rule["action"]});
        if rule["names"].is_null() {
            kept["names"] = json!([rule["name"]]);
        }
        for key in ["errnoRet", "args"] {
            let empty = rule[key].as_array().is_some_and(Vec::is_empty);
            if !rule[key].is_null() && !empty {
                kept[key] = rule[key].clone();
            }
        }
        kept
    });
    oci["syscalls"] = kept.collect();
    oci
}

fn applies(rule: &Value, arch: &str) -> bool {
    let names =
        |list: &Value, name: &str| list.as_array().is_some_and(|l| l.iter().any(|v| v == name));
    let (includes, excludes) = (&rule["includes"], &rule["excludes"]);
    let empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    (empty(&includes["caps"]))
        && (empty(&includes["arches"]) || names(&includes["arches"], arch))
        && !names(&excludes["arches"], arch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_resolved() {
        let oci = convert(&json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}},
                {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}},
                {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["breakpoint"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm"]}},
            ],
        }));
        let names: Vec<&Value> =
            oci["syscalls"].as_array().unwrap().iter().map(|r| &r["names"][0]).collect();
        assert_eq!(names, ["read", "clone"]);
        assert_eq!(oci["architectures"].as_array().unwrap().len(), 2);
        assert!(oci["syscalls"][0].get("args").is_none());
        assert!(oci.get("archMap").is_none());
    }
}
