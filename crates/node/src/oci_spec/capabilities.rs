//! Which capabilities a container has.

use caisson_runtime_spec::{Capability, CapabilitySet};

use crate::request::SecurityRequest;

/// Docker's default set.
const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::SysChroot,
    Capability::Mknod,
    Capability::AuditWrite,
    Capability::Setfcap,
];

/// A capability that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no capability is called {0:?}; capabilities(7) lists them, ALL stands for all")]
pub struct CapabilityError(String);

/// The bounding set: docker's default, or everything for a privileged
/// container, with what is added, without what is dropped. `available` are
/// those that the host can give.
///
/// `--cap-add ALL --cap-drop X` and `--cap-drop ALL --cap-add X` mean what they
/// say; otherwise what is dropped by name stays dropped.
///
/// # Errors
/// [`CapabilityError`].
pub fn bounding_set(
    security: &SecurityRequest,
    available: &CapabilitySet,
) -> Result<CapabilitySet, CapabilityError> {
    let add = names(&security.cap_add)?;
    let drop = names(&security.cap_drop)?;
    let base: Vec<Capability> = if security.privileged || add.all {
        Capability::ALL.to_vec()
    } else if drop.all {
        Vec::new()
    } else {
        DEFAULT.to_vec()
    };
    Ok(Capability::ALL
        .iter()
        .copied()
        .filter(|capability| available.contains(*capability))
        .filter(|capability| {
            let dropped = drop.some.contains(capability);
            let wanted = add.some.contains(capability);
            if security.privileged {
                return true;
            }
            if drop.all && add.all {
                return !dropped;
            }
            (base.contains(capability) || wanted) && !dropped
        })
        .collect())
}

struct Names {
    all: bool,
    some: Vec<Capability>,
}

fn names(list: &[String]) -> Result<Names, CapabilityError> {
    let mut names = Names { all: false, some: Vec::new() };
    for text in list.iter().flat_map(|item| item.split(',')) {
        let upper = text.trim().to_ascii_uppercase();
        if matches!(upper.as_str(), "ALL" | "CAP_ALL") {
            names.all = true;
            continue;
        }
        let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        match Capability::from_name(&name) {
            Some(capability) => names.some.push(capability),
            None => return Err(CapabilityError(text.to_owned())),
        }
    }
    Ok(names)
}

/// Every capability that we know.
#[must_use]
pub fn all_capabilities() -> CapabilitySet {
    Capability::ALL.iter().copied().collect()
}

/// What this process may hand on: its own bounding set. Asking for more would
/// fail at the container's start.
#[must_use]
pub(crate) fn available() -> CapabilitySet {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bits = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(u64::MAX);
    Capability::ALL.iter().copied().filter(|capability| bits & capability.bit() != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(privileged: bool, add: &[&str], drop: &[&str]) -> Vec<Capability> {
        let strings = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let security = SecurityRequest {
            privileged,
            cap_add: strings(add),
            cap_drop: strings(drop),
            ..SecurityRequest::default()
        };
        let all = Capability::ALL.iter().copied().collect();
        bounding_set(&security, &all).unwrap().iter().collect()
    }

    #[test]
    fn dockers_rules() {
        let mut default = DEFAULT.to_vec();
        default.sort();
        assert_eq!(set(false, &[], &[]), default);
        assert_eq!(set(true, &[], &["chown"]).len(), Capability::ALL.len());
        assert_eq!(set(false, &["ALL"], &[]).len(), Capability::ALL.len());
        assert!(set(false, &[], &["all"]).is_empty());
        assert_eq!(set(false, &["net_admin", "CAP_CHOWN"], &["ALL"]).len(), 2);
        assert_eq!(set(false, &["ALL"], &["CAP_SYS_ADMIN"]).len(), Capability::ALL.len() - 1);
        assert!(set(false, &["SYS_TIME"], &[]).contains(&Capability::SysTime));
        assert!(!set(false, &[], &["NET_RAW,MKNOD"]).contains(&Capability::Mknod));
    }

    #[test]
    fn what_the_host_lacks_is_left_out() {
        let few = [Capability::Chown].into_iter().collect();
        let privileged = SecurityRequest { privileged: true, ..SecurityRequest::default() };
        assert_eq!(bounding_set(&privileged, &few).unwrap(), few);
        let unknown = SecurityRequest { cap_add: vec!["NOPE".to_owned()], ..privileged };
        assert!(bounding_set(&unknown, &few).is_err());
    }
}
