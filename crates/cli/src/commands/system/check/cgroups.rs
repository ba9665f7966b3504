//! Whether resources can be limited.

use caisson_node::paths::Identity;

use super::Finding;
use crate::context::Context;
use crate::host::{self, Cgroups};

/// What `--memory`, `--cpus` and `--pids-limit` need.
const WANTED: [&str; 3] = ["cpu", "memory", "pids"];

pub(super) fn look(context: &Context) -> Vec<Finding> {
    let cgroups = Cgroups::here();
    let available = match context.identity {
        Identity::User { .. } if cgroups == Cgroups::V2 => delegated(),
        Identity::User { .. } => Vec::new(),
        Identity::System => host::controllers(cgroups),
    };
    vec![version(cgroups, context.identity), controllers(&available, context.identity)]
}

fn version(cgroups: Cgroups, identity: Identity) -> Finding {
    match (cgroups, identity) {
        (Cgroups::None, Identity::System) => Finding::warning(
            "cgroups",
            "none are mounted below /sys/fs/cgroup",
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        ),
        _ => Finding::ok("cgroups", cgroups.name()),
    }
}

fn controllers(available: &[String], identity: Identity) -> Finding {
    let has = |name: &str| available.iter().any(|found| found == name);
    let (there, absent): (Vec<&str>, Vec<&str>) = WANTED.into_iter().partition(|name| has(name));
    if absent.is_empty() {
        return Finding::ok("controllers", there.join(" "));
    }
    let found = format!("no limits of {}", absent.join(", "));
    let advice = match identity {
        Identity::System => "use a kernel with these controllers, and mount them",
        Identity::User { .. } => {
            "limits without root need cgroup v2 and a delegation: with systemd, \
             `Delegate=cpu memory pids` in a drop-in of user@.service"
        }
    };
    Finding::warning("controllers", found, advice)
}

/// Controllers of the cgroup this user's processes are in.
fn delegated() -> Vec<String> {
    let own = host::read("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    let file = format!("/sys/fs/cgroup{path}/cgroup.controllers");
    let folder = format!("/sys/fs/cgroup{path}");
    if rustix::fs::access(folder.as_str(), rustix::fs::Access::WRITE_OK).is_err() {
        return Vec::new();
    }
    host::read(&file).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::system::check::Verdict;

    #[test]
    fn what_is_absent_is_named() {
        let some = ["cpu".to_owned(), "pids".to_owned()];
        let finding = controllers(&some, Identity::System);
        assert_eq!(
            (finding.verdict, finding.found.as_str()),
            (Verdict::Warning, "no limits of memory")
        );
        let all = WANTED.map(str::to_owned);
        assert_eq!(controllers(&all, Identity::System).verdict, Verdict::Ok);
    }
}
