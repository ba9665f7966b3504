//! Device rules as `DevicePolicy=` and `DeviceAllow=` (systemd.resource-control(5)).

use super::property::UnitProperty;
use super::value::Value;
use crate::devices::rule::{DeviceKind, DeviceMatch, effective};
use crate::devices::set::DeviceSet;
use crate::dir::read_file;
use crate::error::LimitError;
use caisson_runtime_spec::DeviceCgroup;

/// systemd knows lists of allowed devices only. Rules that it can't express
/// leave the unit open for it, so that it does not deny what the runtime's own
/// rules, written afterwards, allow: on v2 both would have to agree.
pub(super) fn properties(
    rules: &[DeviceCgroup],
    version: u32,
) -> Result<Vec<UnitProperty>, LimitError> {
    let rules = effective(rules)?;
    let list = match DeviceSet::from_rules(&rules) {
        Ok(set) if !set.default_allow => set
            .exceptions
            .iter()
            .map(|(what, access)| Some((specifier(*what, version)?, access.to_string())))
            .collect::<Option<Vec<_>>>(),
        _ => None,
    };
    // The empty list clears what an existing unit has.
    let mut properties = vec![UnitProperty::new("DeviceAllow", Value::Pairs(Vec::new()))];
    let policy = if list.is_some() { "strict" } else { "auto" };
    properties.push(UnitProperty::new("DevicePolicy", Value::Str(policy.to_owned())));
    if let Some(list) = list {
        properties.push(UnitProperty::new("DeviceAllow", Value::Pairs(list)));
    }
    Ok(properties)
}

fn specifier(what: DeviceMatch, version: u32) -> Option<String> {
    let kind = match what.kind {
        DeviceKind::Char => "char",
        DeviceKind::Block => "block",
    };
    match (what.major, what.minor) {
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (Some(major), None) if version >= 240 => Some(format!("{kind}-{major}")),
        (Some(major), None) => group(kind, major),
        (None, None) => Some(format!("{kind}-*")),
        (None, Some(_)) => None,
    }
}

/// Before systemd 240 a major number had to be given by the driver's name.
fn group(kind: &str, major: u32) -> Option<String> {
    let text = read_file("/proc/devices").ok()?;
    let header = if kind == "char" { "Character devices:" } else { "Block devices:" };
    let section = text.split("\n\n").find(|section| section.trim_start().starts_with(header))?;
    section.lines().find_map(|line| {
        let (number, name) = line.trim().split_once(' ')?;
        (number.parse() == Ok(major)).then(|| format!("{kind}-{name}"))
    })
}

#[cfg(test)]
mod policy_tests {
    use super::*;
    use caisson_runtime_spec::DeviceRuleKind;

    fn rule(allow: bool, kind: DeviceRuleKind, minor: Option<i64>) -> DeviceCgroup {
        let major = (kind == DeviceRuleKind::Block && minor != Some(9)).then_some(8);
        DeviceCgroup { allow, kind: Some(kind), major, minor, access: Some("rw".into()) }
    }

    #[test]
    fn expressible_rules_are_strict() {
        let got = properties(&[rule(true, DeviceRuleKind::Block, Some(1))], 252).unwrap();
        assert_eq!(got[1].value, Value::Str("strict".into()));
        let Value::Pairs(list) = &got[2].value else { panic!("{got:?}") };
        assert_eq!(list[0], ("/dev/block/8:1".to_owned(), "rw".to_owned()));
        assert!(list.contains(&("char-*".to_owned(), "m".to_owned())));
        assert!(list.contains(&("char-136".to_owned(), "rwm".to_owned())));
    }

    #[test]
    fn others_are_left_to_the_runtime() {
        for rules in [
            vec![rule(true, DeviceRuleKind::All, None)],
            vec![rule(true, DeviceRuleKind::Block, Some(9))],
        ] {
            let got = properties(&rules, 252).unwrap();
            assert_eq!(got.len(), 2);
            assert_eq!(got[1].value, Value::Str("auto".into()));
        }
    }
}
