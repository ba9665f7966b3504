//! User namespaces: mappings, and who is mapped by them.

use super::fault::{Check, Fault, each, fault};
use crate::linux::{Linux, NamespaceKind};
use crate::mounts::IdMapping;
use crate::process::User;

/// Most lines of `/proc/<pid>/uid_map` (`user_namespaces(7)`, since Linux 4.15).
const MAPPINGS_MAX: usize = 340;

/// Checks `linux.uidMappings` and `linux.gidMappings`.
pub(super) fn check(linux: &Linux) -> Check {
    mappings("uidMappings", &linux.uid_mappings)?;
    mappings("gidMappings", &linux.gid_mappings)?;
    let sides = [("uidMappings", &linux.uid_mappings), ("gidMappings", &linux.gid_mappings)];
    match linux.namespace(NamespaceKind::User) {
        None => match sides.iter().find(|(_, list)| !list.is_empty()) {
            Some((name, _)) => fault(*name, "has no effect without a user namespace"),
            None => Ok(()),
        },
        // Clients give the mappings of a joined namespace too.
        Some(namespace) if namespace.path.is_some() => Ok(()),
        Some(_) => {
            for (name, list) in sides {
                if list.is_empty() {
                    return fault(name, "missing, a new user namespace needs it");
                }
                if !is_mapped(0, list) {
                    return fault(name, "does not map the container's id 0");
                }
            }
            Ok(())
        }
    }
}

/// Checks one list of mappings against the kernel's rules.
pub(super) fn mappings(name: &str, list: &[IdMapping]) -> Check {
    if list.len() > MAPPINGS_MAX {
        let count = list.len();
        return fault(name, format!("has {count} entries, the kernel permits {MAPPINGS_MAX}"));
    }
    each(name, list, |mapping| {
        if mapping.size == 0 {
            return fault("size", "0");
        }
        for (path, first) in [("containerID", mapping.container_id), ("hostID", mapping.host_id)] {
            if first.checked_add(mapping.size).is_none() {
                return fault(
                    path,
                    format!("{} ids from {first} on go beyond the highest id", mapping.size),
                );
            }
        }
        Ok(())
    })?;
    for (index, later) in list.iter().enumerate() {
        for (other, earlier) in list.iter().take(index).enumerate() {
            for (path, a, b) in [
                ("containerID", later.container_id, earlier.container_id),
                ("hostID", later.host_id, earlier.host_id),
            ] {
                if overlap(a, later.size, b, earlier.size) {
                    return Err(Fault::new(path, format!("overlaps with {name}[{other}]"))
                        .under(format_args!("{name}[{index}]")));
                }
            }
        }
    }
    Ok(())
}

/// Whether two ranges that do not wrap around have an id in common.
fn overlap(a: u32, a_size: u32, b: u32, b_size: u32) -> bool {
    a < b.saturating_add(b_size) && b < a.saturating_add(a_size)
}

/// Whether an id of the container is mapped.
pub(super) fn is_mapped(id: u32, list: &[IdMapping]) -> bool {
    list.iter().any(|mapping| {
        id.checked_sub(mapping.container_id).is_some_and(|offset| offset < mapping.size)
    })
}

/// Refuses the number that means "leave as it is" to `setresuid(2)` and
/// `chown(2)`: who asks for it would stay root.
pub(super) fn id(path: &str, id: u32) -> Check {
    if id == u32::MAX { fault(path, format!("{id} is no id")) } else { Ok(()) }
}

/// Checks `process.user`.
pub(super) fn user(user: &User) -> Check {
    id("uid", user.uid)?;
    id("gid", user.gid)?;
    each("additionalGids", &user.additional_gids, |gid| id("", *gid))
}

/// In a new user namespace, `setuid(2)` and `setgroups(2)` fail for ids that
/// are not mapped.
pub(super) fn user_is_mapped(user: &User, linux: &Linux) -> Check {
    let new =
        linux.namespace(NamespaceKind::User).is_some_and(|namespace| namespace.path.is_none());
    if !new {
        return Ok(());
    }
    if !is_mapped(user.uid, &linux.uid_mappings) {
        return fault("uid", format!("{} is not mapped by linux.uidMappings", user.uid));
    }
    if !is_mapped(user.gid, &linux.gid_mappings) {
        return fault("gid", format!("{} is not mapped by linux.gidMappings", user.gid));
    }
    each("additionalGids", &user.additional_gids, |gid| {
        if is_mapped(*gid, &linux.gid_mappings) {
            return Ok(());
        }
        fault("", format!("{gid} is not mapped by linux.gidMappings"))
    })
}
