//! The state of a v1 `devices` cgroup: a default and exceptions from it.

use super::rule::{Access, DeviceKind, DeviceMatch, Rule};
use std::fmt::Write as _;

/// A default policy and its exceptions, which is all the v1 controller can hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeviceSet {
    pub(crate) default_allow: bool,
    pub(crate) exceptions: Vec<(DeviceMatch, Access)>,
}

/// A rule that takes part of a wildcard exception away: the kernel would
/// silently ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) index: usize,
    pub(crate) rule: DeviceMatch,
    pub(crate) wildcard: DeviceMatch,
}

/// One line for `devices.allow` or `devices.deny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) allow: bool,
    pub(crate) line: String,
}

impl DeviceSet {
    /// Applies rules in order to a cgroup that denies everything.
    pub(crate) fn from_rules(rules: &[Rule]) -> Result<DeviceSet, Hole> {
        let mut set = DeviceSet::default();
        for (index, rule) in rules.iter().enumerate() {
            match rule.what {
                None => set = DeviceSet { default_allow: rule.allow, exceptions: Vec::new() },
                Some((what, access)) if rule.allow == set.default_allow => {
                    set.remove(index, what, access)?;
                }
                Some((what, access)) => set.add(what, access),
            }
        }
        Ok(set)
    }

    /// Reads `devices.list`. Of a cgroup that allows by default the kernel does
    /// not tell the exceptions.
    pub(crate) fn from_list(list: &str) -> Option<DeviceSet> {
        let mut set = DeviceSet::default();
        for line in list.lines() {
            let mut fields = line.split([' ', ':']);
            let kind = match fields.next()? {
                "a" => return Some(DeviceSet { default_allow: true, exceptions: Vec::new() }),
                "c" => DeviceKind::Char,
                "b" => DeviceKind::Block,
                _ => return None,
            };
            let mut number = || match fields.next() {
                Some("*") => Some(None),
                Some(digits) => digits.parse().ok().map(Some),
                None => None,
            };
            let (major, minor) = (number()?, number()?);
            let access = Access::parse(fields.next()?)?;
            set.add(DeviceMatch { kind, major, minor }, access);
        }
        Some(set)
    }

    fn add(&mut self, what: DeviceMatch, access: Access) {
        match self.exceptions.iter_mut().find(|(known, _)| *known == what) {
            Some((_, known)) => *known |= access,
            None => self.exceptions.push((what, access)),
        }
    }

    fn remove(&mut self, index: usize, what: DeviceMatch, access: Access) -> Result<(), Hole> {
        let partly = |wildcard: &DeviceMatch| {
            *wildcard != what
                && wildcard.kind == what.kind
                && (wildcard.major.is_none() || wildcard.major == what.major)
                && (wildcard.minor.is_none() || wildcard.minor == what.minor)
        };
        let hit = self.exceptions.iter().find(|(w, a)| partly(w) && a.intersects(access));
        if let Some((wildcard, _)) = hit {
            return Err(Hole { index, rule: what, wildcard: *wildcard });
        }
        if let Some((_, known)) = self.exceptions.iter_mut().find(|(known, _)| *known == what) {
            *known &= !access;
        }
        self.exceptions.retain(|(_, access)| !access.is_empty());
        Ok(())
    }

    fn access_of(&self, what: DeviceMatch) -> Access {
        let found = self.exceptions.iter().find(|(known, _)| *known == what);
        found.map_or(Access::empty(), |(_, access)| *access)
    }

    /// The fewest lines that turn `self` into `target`, without denying anything
    /// meanwhile that both allow, where the kernel makes that possible.
    ///
    /// A cgroup that allows by default has unknown exceptions, so it is reset
    /// first. That holds for a new cgroup as well, which inherits its parent's
    /// state: after the reset the parent's state does not matter.
    pub(crate) fn changes_to(&self, target: &DeviceSet) -> Vec<Change> {
        let mut changes = Vec::with_capacity(target.exceptions.len() + 1);
        let reset = self.default_allow || self.default_allow != target.default_allow;
        let empty = DeviceSet::default();
        let old = if reset {
            changes.push(Change { allow: target.default_allow, line: "a".to_owned() });
            &empty
        } else {
            self
        };
        for (what, access) in &old.exceptions {
            let dropped = access.difference(target.access_of(*what));
            if !dropped.is_empty() {
                changes.push(change(target.default_allow, *what, dropped));
            }
        }
        for (what, access) in &target.exceptions {
            let gained = access.difference(old.access_of(*what));
            if !gained.is_empty() {
                changes.push(change(!target.default_allow, *what, gained));
            }
        }
        changes
    }
}

fn change(allow: bool, what: DeviceMatch, access: Access) -> Change {
    let mut line = String::with_capacity(24);
    // Writing to a String can't fail.
    let _ = write!(line, "{what} {access}");
    Change { allow, line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::rule::effective;
    use caisson_runtime_spec::{DeviceCgroup, DeviceRuleKind};

    fn spec(allow: bool, kind: DeviceRuleKind, numbers: (i64, i64), access: &str) -> DeviceCgroup {
        DeviceCgroup {
            allow,
            kind: Some(kind),
            major: Some(numbers.0),
            minor: Some(numbers.1),
            access: Some(access.to_owned()),
        }
    }

    fn lines(changes: &[Change]) -> Vec<String> {
        let sign = |allow: bool| if allow { '+' } else { '-' };
        changes.iter().map(|c| format!("{}{}", sign(c.allow), c.line)).collect()
    }

    #[test]
    fn default_spec_on_a_new_cgroup() {
        let deny_all = spec(false, DeviceRuleKind::All, (-1, -1), "rwm");
        let target = DeviceSet::from_rules(&effective(&[deny_all]).unwrap()).unwrap();
        let inherited = DeviceSet::from_list("a *:* rwm\n").unwrap();
        let lines = lines(&inherited.changes_to(&target));
        assert_eq!(lines.len(), 12);
        assert_eq!(lines[..4], ["-a", "+c *:* m", "+b *:* m", "+c 1:3 rwm"]);
    }

    #[test]
    fn update_writes_differences_only() {
        let old = DeviceSet::from_list("c 1:3 rwm\nb 8:0 rw\nc *:* m\n").unwrap();
        let rules = [
            spec(true, DeviceRuleKind::Char, (1, 3), "rwm"),
            spec(true, DeviceRuleKind::Block, (8, 0), "r"),
            spec(true, DeviceRuleKind::Char, (-1, -1), "m"),
            spec(true, DeviceRuleKind::Block, (8, 1), "rw"),
        ];
        let rules = effective(&rules).unwrap();
        let target = DeviceSet::from_rules(&rules[..4]).unwrap();
        assert_eq!(lines(&old.changes_to(&target)), ["-b 8:0 w", "+b 8:1 rw"]);
        assert!(target.changes_to(&target).is_empty());
    }

    #[test]
    fn holes_are_refused() {
        let rules = [
            spec(true, DeviceRuleKind::Char, (1, -1), "rwm"),
            spec(false, DeviceRuleKind::Char, (1, 5), "w"),
        ];
        let hole = DeviceSet::from_rules(&effective(&rules).unwrap()).unwrap_err();
        assert_eq!(hole.index, 1);
    }

    #[test]
    fn allow_all_turns_denials_into_exceptions() {
        let rules = [
            spec(true, DeviceRuleKind::All, (-1, -1), "rwm"),
            spec(false, DeviceRuleKind::Block, (8, 0), "rw"),
        ];
        let set = DeviceSet::from_rules(&effective(&rules).unwrap()).unwrap();
        assert!(set.default_allow);
        assert_eq!(set.exceptions.len(), 1);
        let all = DeviceSet::from_list("a *:* rwm").unwrap();
        assert_eq!(lines(&all.changes_to(&set)), ["+a", "-b 8:0 rw"]);
    }
}
