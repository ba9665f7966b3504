//! The ids of a container that the host gives only some: it is in a user namespace of the
//! host's, whose kernel translates what is on its file systems.

use std::fmt::Write as _;

use caisson_runtime_spec::IdMapping;
use rustix::io::Errno;

use super::user_namespace::Ids;

/// What `uidMappings` and `gidMappings` of its configuration say; empty: there are all.
#[derive(Clone, Debug, Default)]
pub struct OuterIds {
    /// Of users.
    pub users: Vec<IdMapping>,
    /// Of groups.
    pub groups: Vec<IdMapping>,
}

impl OuterIds {
    fn of(&self, ids: Ids) -> &[IdMapping] {
        match ids {
            Ids::Users => &self.users,
            Ids::Groups => &self.groups,
        }
    }

    /// Whether there are all.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// Whether there are as many from `first` on, given as one.
    #[must_use]
    pub(super) fn has(&self, ids: Ids, first: u32, count: u32) -> bool {
        let of = self.of(ids);
        let within = |range: &IdMapping| {
            let from = first.checked_sub(range.container_id);
            from.is_some_and(|from| u64::from(from) + u64::from(count) <= u64::from(range.size))
        };
        of.is_empty() || of.iter().any(within)
    }

    /// Whether there is an id.
    ///
    /// # Errors
    /// `EINVAL` if not.
    pub fn check(&self, ids: Ids, id: u32) -> Result<(), Errno> {
        if self.has(ids, id, 1) { Ok(()) } else { Err(Errno::INVAL) }
    }

    /// The same, where `u32::MAX` is none.
    ///
    /// # Errors
    /// The same.
    pub fn check_some(&self, ids: Ids, id: u32) -> Result<(), Errno> {
        if id == u32::MAX { Ok(()) } else { self.check(ids, id) }
    }

    /// `/proc/<pid>/uid_map`, if not all are there.
    #[must_use]
    pub fn text(&self, ids: Ids) -> Option<String> {
        let of = Some(self.of(ids)).filter(|of| !of.is_empty())?;
        let mut text = String::new();
        for IdMapping { container_id, host_id, size } in of {
            let _ = writeln!(text, "{container_id:10} {host_id:10} {size:10}");
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_were_given() {
        let users = vec![IdMapping { container_id: 5, host_id: 100_000, size: 10 }];
        let ids = OuterIds { users, groups: Vec::new() };
        for (id, there) in [(4, false), (5, true), (14, true), (15, false), (u32::MAX, false)] {
            assert_eq!(ids.check(Ids::Users, id).is_ok(), there, "{id}");
            assert!(ids.check(Ids::Groups, id).is_ok());
        }
        assert!(ids.has(Ids::Users, 5, 10) && !ids.has(Ids::Users, 6, 10));
        assert!(ids.has(Ids::Groups, 6, u32::MAX) && !ids.has(Ids::Users, 14, u32::MAX));
        assert!(ids.check_some(Ids::Users, u32::MAX).is_ok());
        assert_eq!(ids.text(Ids::Users).unwrap(), "         5     100000         10\n");
        assert_eq!(ids.text(Ids::Groups), None);
    }
}
