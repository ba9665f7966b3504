//! Profiles in docker's form: rules that hold with or without a capability, on
//! some architectures, from some kernel version on.

use caisson_runtime_spec::{
    Capability, CapabilitySet, Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompFlag,
    Syscall,
};
use serde::Deserialize;

/// Why a profile can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is no profile.
    #[error("the seccomp profile is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It names both a list of architectures and a map.
    #[error("the seccomp profile has both architectures and archMap: use one")]
    TwoArchitectures,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: SeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<SeccompArch>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchitectureEntry>>,
    #[serde(default)]
    flags: Option<Vec<SeccompFlag>>,
    #[serde(default)]
    listener_path: Option<String>,
    #[serde(default)]
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchitectureEntry {
    architecture: SeccompArch,
    #[serde(default)]
    sub_architectures: Option<Vec<SeccompArch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: SeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<SeccompArg>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// What holds here of the profile `text` for a container with these
/// capabilities.
pub(crate) fn resolve(text: &str, bounding: &CapabilitySet) -> Result<Seccomp, ProfileError> {
    let profile: Profile = serde_json::from_str(text)?;
    let architectures = match (profile.architectures, profile.arch_map) {
        (Some(list), Some(map)) if !list.is_empty() && !map.is_empty() => {
            return Err(ProfileError::TwoArchitectures);
        }
        (_, Some(map)) if !map.is_empty() => map
            .into_iter()
            .find(|entry| Some(entry.architecture) == native())
            .map(|entry| {
                let mut list = vec![entry.architecture];
                list.extend(entry.sub_architectures.unwrap_or_default());
                list
            })
            .unwrap_or_default(),
        (list, _) => list.unwrap_or_default(),
    };
    let here = Here { bounding, kernel: kernel() };
    let rules = profile.syscalls.unwrap_or_default().into_iter();
    Ok(Seccomp {
        default_action: profile.default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures,
        flags: profile.flags,
        listener_path: profile.listener_path,
        listener_metadata: profile.listener_metadata,
        syscalls: rules
            .filter(|rule| {
                rule.includes.as_ref().is_none_or(|filter| here.has_all(filter))
                    && !rule.excludes.as_ref().is_some_and(|filter| here.has_any(filter))
            })
            .map(|rule| Syscall {
                names: rule.names.into_iter().flatten().chain(rule.name).collect(),
                action: rule.action,
                errno_ret: rule.errno_ret,
                args: rule.args.unwrap_or_default(),
            })
            .filter(|rule| !rule.names.is_empty())
            .collect(),
    })
}

struct Here<'a> {
    bounding: &'a CapabilitySet,
    kernel: (u32, u32),
}

impl Here<'_> {
    /// Every capability is there, this is one of the architectures, and the
    /// kernel is new enough.
    fn has_all(&self, filter: &Filter) -> bool {
        filter.caps.iter().flatten().all(|name| self.has(name))
            && filter.arches.as_ref().is_none_or(|list| list.is_empty() || is_here(list))
            && filter.min_kernel.as_deref().is_none_or(|version| self.is_at_least(version))
    }

    /// Any of it is so.
    fn has_any(&self, filter: &Filter) -> bool {
        filter.caps.iter().flatten().any(|name| self.has(name))
            || filter.arches.as_deref().is_some_and(is_here)
            || filter.min_kernel.as_deref().is_some_and(|version| self.is_at_least(version))
    }

    fn has(&self, name: &str) -> bool {
        Capability::from_name(name).is_some_and(|capability| self.bounding.contains(capability))
    }

    fn is_at_least(&self, version: &str) -> bool {
        parse_version(version).is_some_and(|version| self.kernel >= version)
    }
}

fn is_here(list: &[String]) -> bool {
    let names: &[&str] = match std::env::consts::ARCH {
        "x86_64" => &["amd64", "x86", "x32"],
        "aarch64" => &["arm64", "arm"],
        other => &[other],
    };
    list.iter().any(|name| names.contains(&name.as_str()))
}

fn native() -> Option<SeccompArch> {
    match std::env::consts::ARCH {
        "x86_64" => Some(SeccompArch::X86_64),
        "aarch64" => Some(SeccompArch::Aarch64),
        "riscv64" => Some(SeccompArch::Riscv64),
        "s390x" => Some(SeccompArch::S390X),
        "powerpc64" => Some(SeccompArch::Ppc64Le),
        _ => None,
    }
}

fn kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    parse_version(&release).unwrap_or_default()
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null},
            {"name": "write", "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["old"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
            {"names": ["s390_pci"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390"]}}
        ]}"#;

    #[test]
    fn rules_hold_where_they_say() {
        let names = |caps: &CapabilitySet| -> Vec<String> {
            resolve(TEXT, caps).unwrap().syscalls.into_iter().flat_map(|r| r.names).collect()
        };
        assert_eq!(names(&CapabilitySet::default()), ["read", "write", "clone", "old"]);
        let admin = [Capability::SysAdmin].into_iter().collect();
        assert_eq!(names(&admin), ["read", "write", "mount", "old"]);
        assert_eq!(resolve(TEXT, &admin).unwrap().architectures.len(), 2);
    }

    #[test]
    fn malformed_profiles_are_refused() {
        for bad in ["", "{}", r#"{"defaultAction": "NOPE"}"#] {
            assert!(resolve(bad, &CapabilitySet::default()).is_err(), "{bad}");
        }
    }
}
