//! Names of kernel parameters.

use std::path::PathBuf;

use crate::error::PathFault;

/// The path below `/proc/sys` of a kernel parameter.
///
/// As in sysctl(8): the first separator, `.` or `/`, decides. If it is `.`,
/// dots separate and a `/` stands for a dot inside a name
/// (`net.ipv4.conf.eth0/1.forwarding`); if it is `/`, the key is a path.
///
/// Errors: empty key, empty component, `.` or `..` as a component, NUL.
pub fn sysctl_path(key: &str) -> Result<PathBuf, PathFault> {
    let dotted = key.find(['.', '/']).is_some_and(|at| key[at..].starts_with('.'));
    let path: String = if dotted {
        key.chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect()
    } else {
        key.to_owned()
    };
    for component in path.split('/') {
        match component {
            "" => return Err(PathFault::BadPath("the key has an empty component")),
            "." | ".." => return Err(PathFault::BadPath("the key has a component . or ..")),
            _ if component.contains('\0') => {
                return Err(PathFault::BadPath("the key has a NUL byte"));
            }
            _ => {}
        }
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(key: &str) -> Option<String> {
        sysctl_path(key).ok().map(|p| p.to_string_lossy().into_owned())
    }

    #[test]
    fn first_separator_decides() {
        assert_eq!(path("net.ipv4.ip_forward").as_deref(), Some("net/ipv4/ip_forward"));
        assert_eq!(path("net/ipv4/ip_forward").as_deref(), Some("net/ipv4/ip_forward"));
        assert_eq!(
            path("net/ipv4/conf/eth0.1/forwarding").as_deref(),
            Some("net/ipv4/conf/eth0.1/forwarding")
        );
        assert_eq!(
            path("net.ipv4.conf.eth0/1.forwarding").as_deref(),
            Some("net/ipv4/conf/eth0.1/forwarding")
        );
        assert_eq!(path("kernel").as_deref(), Some("kernel"));
    }

    #[test]
    fn no_way_out() {
        for key in [
            "",
            ".",
            "..",
            "/",
            "/kernel",
            "kernel.",
            "kernel..hostname",
            "kernel//hostname",
            "kernel/../../1/mem",
            "../1/mem",
            "kernel///./x",
            "net.//.x",
            "./kernel",
            "a\0.b",
            "kernel/.",
            "kernel.//",
        ] {
            assert_eq!(path(key), None, "{key:?}");
        }
    }
}
