//! Which crate may use which: arrows point down only.

/// Each crate of the workspace with all the crates of the workspace that it
/// may use. A row may name only rows above it, so no cycle can be written.
pub const LAYERS: [(&str, &[&str]); 23] = [
    ("caisson-tidy", &[]),
    ("caisson-sys", &[]),
    ("caisson-runtime-spec", &["caisson-sys"]),
    ("caisson-rootpath", &["caisson-sys"]),
    ("caisson-overlay", &["caisson-sys"]),
    ("caisson-cgroup", &["caisson-sys", "caisson-runtime-spec"]),
    // The seam speaks of cgroup figures in the cgroup crate's own types.
    ("caisson-isolator", &["caisson-sys", "caisson-runtime-spec", "caisson-cgroup"]),
    ("caisson-seccomp", &["caisson-sys", "caisson-runtime-spec"]),
    // `events` prints those figures.
    (
        "caisson-oci-cli",
        &["caisson-sys", "caisson-runtime-spec", "caisson-cgroup", "caisson-isolator"],
    ),
    (
        "caisson-native",
        &[
            "caisson-sys",
            "caisson-runtime-spec",
            "caisson-isolator",
            "caisson-rootpath",
            "caisson-cgroup",
            "caisson-seccomp",
            "caisson-oci-cli",
        ],
    ),
    // Its messages carry counters.
    ("caisson-containerd", &["caisson-cgroup"]),
    (
        "caisson-foreign",
        &["caisson-sys", "caisson-runtime-spec", "caisson-cgroup", "caisson-isolator"],
    ),
    // Its containers are native ones, but for what runs in them.
    (
        "caisson-sentry",
        &[
            "caisson-sys",
            "caisson-runtime-spec",
            "caisson-cgroup",
            "caisson-isolator",
            "caisson-seccomp",
            "caisson-oci-cli",
            "caisson-native",
            "caisson-foreign",
        ],
    ),
    (
        "caisson-oci-runtime",
        &[
            "caisson-sys",
            "caisson-runtime-spec",
            "caisson-cgroup",
            "caisson-isolator",
            "caisson-foreign",
        ],
    ),
    (
        "caisson-foreign-shim",
        &[
            "caisson-sys",
            "caisson-runtime-spec",
            "caisson-cgroup",
            "caisson-isolator",
            "caisson-containerd",
            "caisson-foreign",
        ],
    ),
    ("caisson-image", &["caisson-sys", "caisson-runtime-spec", "caisson-rootpath"]),
    ("caisson-net", &["caisson-sys"]),
    // The supervisor's program holds the engines that it can run.
    (
        "caisson-shim",
        &[
            "caisson-sys",
            "caisson-runtime-spec",
            "caisson-overlay",
            "caisson-cgroup",
            "caisson-isolator",
            "caisson-native",
            "caisson-sentry",
            "caisson-containerd",
            "caisson-oci-runtime",
            "caisson-foreign-shim",
        ],
    ),
    (
        "caisson-node",
        &[
            "caisson-sys",
            "caisson-runtime-spec",
            "caisson-rootpath",
            "caisson-overlay",
            "caisson-cgroup",
            "caisson-isolator",
            "caisson-seccomp",
            "caisson-image",
            "caisson-net",
            // The names of shims' options.
            "caisson-containerd",
            "caisson-shim",
        ],
    ),
    // Knows protocols, not containers: crates/cri joins it to the engine.
    ("caisson-streaming", &[]),
    ("caisson-cri", &["caisson-sys", "caisson-image", "caisson-node", "caisson-streaming"]),
    (
        "caisson",
        &[
            "caisson-sys",
            "caisson-runtime-spec",
            "caisson-isolator",
            "caisson-image",
            "caisson-node",
            "caisson-cri",
        ],
    ),
    // Drives binaries, ours and others', all by the same means.
    ("caisson-bench", &["caisson-sys"]),
];

/// Crates from outside that only some of ours may use, and which.
pub const GUARDED: [(&str, &[&str]); 4] = [
    ("libc", &["caisson-sys", "caisson-sentry"]),
    ("anyhow", &[]),
    ("nix", &["caisson-bench"]),
    ("libseccomp", &["caisson-seccomp"]),
];

/// A dependency as `cargo metadata` tells it.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The crate that depends.
    pub from: String,
    /// The crate it depends on.
    pub to: String,
    /// Whether only its tests do.
    pub dev: bool,
}

/// Complaints about `members` and `edges`, measured by the tables.
#[must_use]
pub fn check(members: &[String], edges: &[Edge]) -> Vec<String> {
    let mut wrong = Vec::new();
    for member in members {
        if !LAYERS.iter().any(|(name, _)| name == member) {
            wrong.push(format!("{member} has no row in LAYERS: give it its place"));
        }
    }
    for (name, _) in LAYERS {
        if !members.iter().any(|member| member == name) {
            wrong.push(format!("{name} has a row in LAYERS but is no member: remove the row"));
        }
    }
    for Edge { from, to, dev } in edges {
        let row = LAYERS.iter().find(|(name, _)| name == from);
        let ours = members.contains(to);
        if ours && !row.is_some_and(|(_, below)| below.contains(&to.as_str())) {
            wrong.push(format!("{from} may not depend on {to}: arrows point down only"));
        }
        let guard = GUARDED.iter().find(|(name, _)| name == to);
        if let Some((_, holders)) = guard
            && !dev
            && !holders.contains(&from.as_str())
        {
            wrong.push(format!("{from} may not depend on {to}, which is kept to {holders:?}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Vec<String> {
        LAYERS.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn edge(from: &str, to: &str) -> Edge {
        Edge { from: from.to_owned(), to: to.to_owned(), dev: false }
    }

    #[test]
    fn rows_name_only_rows_above() {
        for (i, (name, below)) in LAYERS.iter().enumerate() {
            for lower in *below {
                let found = LAYERS.iter().position(|(n, _)| n == lower);
                assert!(
                    found.is_some_and(|j| j < i),
                    "{name} names {lower}, which is not above it"
                );
            }
        }
    }

    #[test]
    fn upward_arrows_are_refused() {
        let edges = [edge("caisson-sys", "caisson-cgroup"), edge("caisson-cgroup", "caisson-sys")];
        assert_eq!(check(&members(), &edges).len(), 1);
    }

    #[test]
    fn strangers_and_ghosts_are_refused() {
        let mut crates = members();
        crates.push("caisson-new".to_owned());
        assert_eq!(check(&crates, &[]).len(), 1);
        let fewer: Vec<_> = members().into_iter().skip(1).collect();
        assert_eq!(check(&fewer, &[]).len(), 1);
    }

    #[test]
    fn guarded_crates_stay_where_they_are() {
        let edges = [edge("caisson-native", "libc"), edge("caisson-sys", "libc")];
        assert_eq!(check(&members(), &edges).len(), 1);
    }
}
