//! What the kernel has to offer.

use caisson_node::paths::Identity;

use super::Finding;
use crate::context::Context;
use crate::host;

/// The oldest kernel that makes containers; see docs/requirements.md.
const OLDEST: (u32, u32) = (5, 12);

pub(super) fn look(context: &Context) -> Vec<Finding> {
    vec![version(&host::kernel_release()), namespaces(), user_namespaces(context), seccomp()]
}

fn version(release: &str) -> Finding {
    match host::kernel_version(release) {
        Some(version) if version >= OLDEST => Finding::ok("kernel", release),
        _ => Finding::missing(
            "kernel",
            release,
            format!("Linux {}.{} or newer is needed", OLDEST.0, OLDEST.1),
        ),
    }
}

fn namespaces() -> Finding {
    let needed = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];
    let absent: Vec<_> = needed
        .into_iter()
        .filter(|name| !std::fs::exists(format!("/proc/self/ns/{name}")).unwrap_or(false))
        .collect();
    match absent.as_slice() {
        [] => Finding::ok("namespaces", needed.join(" ")),
        absent => Finding::missing(
            "namespaces",
            format!("the kernel has no {}", absent.join(", ")),
            "use a kernel with CONFIG_NAMESPACES and all of its parts",
        ),
    }
}

/// Without root nothing works without them; with root only `--userns` does not.
fn user_namespaces(context: &Context) -> Finding {
    let check = "user namespaces";
    let most = host::read("/proc/sys/user/max_user_namespaces");
    let switched_off = [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ];
    let fault = match most.as_deref() {
        None => {
            Some(("the kernel has none".to_owned(), "use a kernel with CONFIG_USER_NS".to_owned()))
        }
        Some("0") => Some((
            "user.max_user_namespaces is 0".to_owned(),
            "sysctl -w user.max_user_namespaces=15000".to_owned(),
        )),
        Some(_) => switched_off.iter().find_map(|(file, off, setting)| {
            let is_off =
                context.identity != Identity::System && host::read(file).as_deref() == Some(off);
            is_off.then(|| ("forbidden to users".to_owned(), format!("sysctl -w {setting}")))
        }),
    };
    match fault {
        None => Finding::ok(check, format!("at most {}", most.unwrap_or_default())),
        Some((found, advice)) if context.identity == Identity::System => {
            Finding::warning(check, found, advice)
        }
        Some((found, advice)) => Finding::missing(check, found, advice),
    }
}

fn seccomp() -> Finding {
    match host::read("/proc/sys/kernel/seccomp/actions_avail") {
        Some(actions) => {
            let notify = actions.split_whitespace().any(|action| action == "user_notif");
            Finding::ok("seccomp", if notify { "filters, notification" } else { "filters" })
        }
        None => Finding::warning(
            "seccomp",
            "the kernel has no filters",
            "use a kernel with CONFIG_SECCOMP_FILTER, or `--security-opt seccomp=unconfined`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::system::check::Verdict;

    #[test]
    fn old_kernels_are_missing_something() {
        assert_eq!(version("5.11.3").verdict, Verdict::Missing);
        assert_eq!(version("5.12.0-1").verdict, Verdict::Ok);
        assert_eq!(version("6.1").verdict, Verdict::Ok);
    }
}
