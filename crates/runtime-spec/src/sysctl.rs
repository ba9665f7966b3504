//! Names of kernel parameters, and which of them belong to a namespace.

use crate::linux::{Linux, NamespaceKind};

/// Parameters of the IPC namespace outside of `fs/mqueue`.
const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

/// The file of a parameter, relative to `/proc/sys`.
///
/// Either separator may be used; the first one that occurs decides, and the
/// other one is then part of a name (`sysctl(8)`): `net.ipv4.conf.eth0/1.forwarding`
/// is `net/ipv4/conf/eth0.1/forwarding`. `None` for names that are no such
/// file: with components that are empty, `.` or `..`, or with NUL.
#[must_use]
pub fn path(name: &str) -> Option<String> {
    let dots_separate = name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('.'));
    let path: String = if dots_separate {
        name.chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect()
    } else {
        name.to_owned()
    };
    let sound = path.contains('/')
        && !path.contains('\0')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    sound.then_some(path)
}

/// Whether the parameter belongs to a namespace of the container's own; if
/// not, the reason.
///
/// A namespace that is joined by path counts as the container's own: whether
/// it is the runtime's is for the runtime to see.
pub(crate) fn check(name: &str, linux: &Linux) -> Result<(), String> {
    let Some(path) = path(name) else {
        return Err("is not the name of a kernel parameter".to_owned());
    };
    let has = |kind| linux.namespace(kind).is_some();
    let needs = |kind: NamespaceKind| {
        if has(kind) {
            Ok(())
        } else {
            Err(format!("would change the host: the container has no {kind} namespace of its own"))
        }
    };
    if IPC.contains(&path.as_str()) || path.starts_with("fs/mqueue/") {
        return needs(NamespaceKind::Ipc);
    }
    if path.starts_with("net/") {
        return needs(NamespaceKind::Network);
    }
    if path.starts_with("user/") {
        return needs(NamespaceKind::User);
    }
    match path.as_str() {
        "kernel/domainname" => needs(NamespaceKind::Uts),
        "kernel/hostname" => Err("is set by the hostname field, not as a parameter".to_owned()),
        _ => Err("belongs to no namespace and would change the host".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_decides() {
        for (name, expected) in [
            ("net.ipv4.ip_forward", Some("net/ipv4/ip_forward")),
            ("net/ipv4/ip_forward", Some("net/ipv4/ip_forward")),
            ("net.ipv4.conf.eno2/100.rp_filter", Some("net/ipv4/conf/eno2.100/rp_filter")),
            ("net/ipv4/conf/eno2.100/rp_filter", Some("net/ipv4/conf/eno2.100/rp_filter")),
            ("net/../kernel/panic", None),
            ("net.//.kernel.panic", None),
            ("net..ipv4", None),
            ("/net/ipv4", None),
            ("", None),
            ("net", None),
            ("net.a\0b", None),
        ] {
            assert_eq!(path(name).as_deref(), expected, "{name}");
        }
    }
}
