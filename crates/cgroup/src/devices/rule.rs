//! One device rule, and the rules that every container gets.

use crate::error::LimitError;
use caisson_runtime_spec::{DeviceCgroup, DeviceRuleKind};
use std::fmt;

/// Character or block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DeviceKind {
    Char,
    Block,
}

/// The devices a rule speaks of; `None` is any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceMatch {
    pub(crate) kind: DeviceKind,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
}

bitflags::bitflags! {
    /// Kinds of access, with the values of `BPF_DEVCG_ACC_*`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Access: u8 {
        const MKNOD = 1;
        const READ = 2;
        const WRITE = 4;
    }
}

/// One rule. `what` is `None` for "all devices, all access".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    pub(crate) what: Option<(DeviceMatch, Access)>,
}

impl Access {
    pub(crate) fn parse(text: &str) -> Option<Access> {
        let mut access = Access::empty();
        for letter in text.chars() {
            access |= match letter {
                'r' => Access::READ,
                'w' => Access::WRITE,
                'm' => Access::MKNOD,
                _ => return None,
            };
        }
        Some(access)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flag, letter) in [(Access::READ, "r"), (Access::WRITE, "w"), (Access::MKNOD, "m")] {
            if self.contains(flag) {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// `c 1:3`, as the files of the v1 controller have it.
impl fmt::Display for DeviceMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DeviceKind::Char => "c ",
            DeviceKind::Block => "b ",
        })?;
        match self.major {
            Some(major) => write!(f, "{major}:")?,
            None => f.write_str("*:")?,
        }
        match self.minor {
            Some(minor) => write!(f, "{minor}"),
            None => f.write_str("*"),
        }
    }
}

/// The rules of `linux.resources.devices`, checked, followed by the defaults.
pub(crate) fn effective(rules: &[DeviceCgroup]) -> Result<Vec<Rule>, LimitError> {
    let mut out = Vec::with_capacity(rules.len() + DEFAULTS.len());
    for (index, rule) in rules.iter().enumerate() {
        out.push(convert(index, rule)?);
    }
    out.extend(
        DEFAULTS.iter().map(|(what, access)| Rule { allow: true, what: Some((*what, *access)) }),
    );
    Ok(out)
}

fn convert(index: usize, rule: &DeviceCgroup) -> Result<Rule, LimitError> {
    let field = |name: &str| format!("linux.resources.devices[{index}].{name}");
    let Some(access) = rule.access.as_deref().filter(|access| !access.is_empty()) else {
        return Err(LimitError::invalid(field("access"), "must not be empty"));
    };
    let parsed = Access::parse(access).ok_or_else(|| {
        LimitError::invalid(field("access"), format!("{access:?} has letters other than r, w, m"))
    })?;
    let number = |name: &str, value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| LimitError::invalid(field(name), format!("{value} is out of range"))),
    };
    let major = number("major", rule.major)?;
    let minor = number("minor", rule.minor)?;
    let kind = match rule.kind {
        // Numbers and access of a rule for "all" don't count (as in the v1
        // controller, which knows only all or nothing there).
        None | Some(DeviceRuleKind::All) => return Ok(Rule { allow: rule.allow, what: None }),
        Some(DeviceRuleKind::Char) => DeviceKind::Char,
        Some(DeviceRuleKind::Block) => DeviceKind::Block,
    };
    Ok(Rule { allow: rule.allow, what: Some((DeviceMatch { kind, major, minor }, parsed)) })
}

const RWM: Access = Access::all();

const fn char_device(major: u32, minor: u32) -> (DeviceMatch, Access) {
    let what = DeviceMatch { kind: DeviceKind::Char, major: Some(major), minor: Some(minor) };
    (what, RWM)
}

const fn mknod_any(kind: DeviceKind) -> (DeviceMatch, Access) {
    (DeviceMatch { kind, major: None, minor: None }, Access::MKNOD)
}

/// What every container may use, as with runc: it can't be taken away by
/// configuration. Device numbers: Documentation/admin-guide/devices.txt.
const DEFAULTS: [(DeviceMatch, Access); 11] = [
    mknod_any(DeviceKind::Char),
    mknod_any(DeviceKind::Block),
    char_device(1, 3), // null
    char_device(1, 8), // random
    char_device(1, 7), // full
    char_device(5, 0), // tty
    char_device(1, 5), // zero
    char_device(1, 9), // urandom
    // UNIX98 terminals
    (DeviceMatch { kind: DeviceKind::Char, major: Some(136), minor: None }, RWM),
    char_device(5, 2),    // ptmx
    char_device(10, 200), // net/tun
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(access: &str, major: Option<i64>) -> DeviceCgroup {
        DeviceCgroup {
            allow: true,
            kind: Some(DeviceRuleKind::Char),
            major,
            minor: None,
            access: Some(access.to_owned()),
        }
    }

    #[test]
    fn bad_rules_name_their_field() {
        let message = |rule| effective(&[rule]).unwrap_err().to_string();
        assert_eq!(message(rule("", None)), "linux.resources.devices[0].access: must not be empty");
        assert!(message(rule("rx", None)).contains("\"rx\" has letters other than"));
        assert_eq!(
            message(rule("r", Some(-2))),
            "linux.resources.devices[0].major: -2 is out of range"
        );
        assert!(message(rule("r", Some(1 << 32))).contains("major"));
    }

    #[test]
    fn kernel_syntax() {
        let rules = effective(&[rule("wr", Some(7))]).unwrap();
        let (what, access) = rules[0].what.unwrap();
        assert_eq!(format!("{what} {access}"), "c 7:* rw");
        let (what, access) = rules[2].what.unwrap();
        assert_eq!(format!("{what} {access}"), "b *:* m");
    }
}
