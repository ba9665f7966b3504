//! Whom a container runs as.

use caisson_rootpath::Root;

use crate::oci_spec::user::{Identity, look_up};
use crate::pods::PodError;
use crate::pods::request::{RunAs, SupplementalGroupsPolicy};

/// The identity that `run_as` and the image's own `image_user` make. Its groups
/// begin with its own group, as those of a login do.
pub(super) fn identity(
    root: &Root,
    run_as: &RunAs,
    image_user: &str,
) -> Result<Identity, PodError> {
    let user = match (run_as.user, run_as.username.as_str()) {
        (Some(_), name) if !name.is_empty() => {
            let reason = "a number and a name are one too many";
            return Err(PodError::invalid("security_context.run_as_username", reason));
        }
        (Some(uid), _) => Some(id("run_as_user", uid)?.to_string()),
        (None, "") => None,
        (None, name) if name.contains(':') => {
            let reason = format!("{name:?} is no user name");
            return Err(PodError::invalid("security_context.run_as_username", reason));
        }
        (None, name) => Some(name.to_owned()),
    };
    let group = run_as.group.map(|gid| id("run_as_group", gid)).transpose()?;
    if group.is_some() && user.is_none() {
        let reason = "needs run_as_user or run_as_username";
        return Err(PodError::invalid("security_context.run_as_group", reason));
    }
    let name = user.as_deref().unwrap_or(image_user);
    let text = match group {
        Some(gid) => format!("{name}:{gid}"),
        None => name.to_owned(),
    };
    let fail = |error: String| PodError::invalid("security_context", error);
    let mut found = look_up(root, &text, &[]).map_err(|e| fail(e.to_string()))?;
    let mut groups = vec![found.gid];
    if run_as.groups_policy == SupplementalGroupsPolicy::Merge {
        if text.contains(':') {
            // A group that is named does not unmake the user's memberships.
            let alone = text.split(':').next().unwrap_or_default();
            let user = look_up(root, alone, &[]).map_err(|e| fail(e.to_string()))?;
            groups.extend(user.groups);
        } else {
            groups.append(&mut found.groups);
        }
    }
    for gid in &run_as.supplemental_groups {
        groups.push(id("supplemental_groups", *gid)?);
    }
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|group| seen.insert(*group));
    found.groups = groups;
    Ok(found)
}

/// The last id stands for "none" in system calls.
fn id(field: &str, value: i64) -> Result<u32, PodError> {
    u32::try_from(value).ok().filter(|id| *id != u32::MAX).ok_or_else(|| {
        let reason = format!("{value} is no id: 0 to 4294967294 are");
        PodError::invalid(format!("security_context.{field}"), reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let temp = tempfile::tempdir().unwrap();
        let etc = temp.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::fs::write(etc.join("passwd"), "root:x:0:0::/root:\nal:x:1000:1000::/home/al:\n")
            .unwrap();
        std::fs::write(etc.join("group"), "root:x:0:\nal:x:1000:\nextra:x:50000:al\n").unwrap();
        let root = Root::open(temp.path()).unwrap();
        (temp, root)
    }

    #[test]
    fn groups_by_both_policies() {
        let (_temp, root) = root();
        let mut run_as =
            RunAs { user: Some(1000), supplemental_groups: vec![1234], ..RunAs::default() };
        let groups = |run_as: &RunAs| identity(&root, run_as, "").unwrap().groups;
        assert_eq!(groups(&run_as), [1000, 50000, 1234]);
        run_as.groups_policy = SupplementalGroupsPolicy::Strict;
        assert_eq!(groups(&run_as), [1000, 1234]);
        run_as.groups_policy = SupplementalGroupsPolicy::Merge;
        run_as.group = Some(7);
        assert_eq!(groups(&run_as), [7, 50000, 1234]);
    }

    #[test]
    fn image_users_and_names() {
        let (_temp, root) = root();
        let found = identity(&root, &RunAs::default(), "al").unwrap();
        assert_eq!((found.uid, found.gid, found.home.as_str()), (1000, 1000, "/home/al"));
        let by_name = RunAs { username: "al".to_owned(), group: Some(9), ..RunAs::default() };
        let found = identity(&root, &by_name, "0").unwrap();
        assert_eq!((found.uid, found.gid), (1000, 9));
        for bad in [
            RunAs { group: Some(1), ..RunAs::default() },
            RunAs { user: Some(-1), ..RunAs::default() },
            RunAs { user: Some(i64::from(u32::MAX)), ..RunAs::default() },
            RunAs { user: Some(1 << 40), ..RunAs::default() },
            RunAs { username: "nobody-such".to_owned(), ..RunAs::default() },
            RunAs { username: "al:0".to_owned(), ..RunAs::default() },
            RunAs { supplemental_groups: vec![-5], ..RunAs::default() },
        ] {
            assert!(identity(&root, &bad, "").is_err(), "{bad:?}");
        }
    }
}
