//! `--device` and `--device-cgroup-rule`.

use std::str::FromStr;

use caisson_runtime_spec::{DeviceCgroup, DeviceRuleKind};
use serde::{Deserialize, Serialize};

use super::OptionError;

/// A device of the host that the container gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// Its path on the host; a directory stands for the devices in it.
    pub host: String,
    /// Its path inside.
    pub container: String,
    /// Letters out of `rwm`.
    pub access: String,
}

fn is_access(text: &str) -> bool {
    !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| matches!(b, b'r' | b'w' | b'm'))
}

impl FromStr for DeviceRequest {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let fail = |reason: &str| OptionError::new(text, reason);
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, access) = match parts.as_slice() {
            [host] => (*host, *host, "rwm"),
            [host, access] if is_access(access) => (*host, *host, *access),
            [host, container] => (*host, *container, "rwm"),
            [host, container, access] => (*host, *container, *access),
            _ => return Err(fail("a device is HOST[:CONTAINER][:rwm]")),
        };
        if !host.starts_with('/') || !container.starts_with('/') {
            return Err(fail("paths of devices are absolute"));
        }
        if !is_access(access) {
            return Err(fail("the access to a device is letters out of rwm"));
        }
        Ok(Self {
            host: host.to_owned(),
            container: container.to_owned(),
            access: access.to_owned(),
        })
    }
}

/// `TYPE MAJOR:MINOR ACCESS`, as in `c 1:* rw`.
///
/// # Errors
/// If it is no such text.
pub fn parse_device_rule(text: &str) -> Result<DeviceCgroup, OptionError> {
    let fail = || OptionError::new(text, "a rule is a|b|c MAJOR:MINOR rwm, with * for any number");
    let mut words = text.split_ascii_whitespace();
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(fail());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(fail)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        _ => text.parse::<u32>().map(|n| Some(i64::from(n))).map_err(|_| fail()),
    };
    if !is_access(access) {
        return Err(fail());
    }
    Ok(DeviceCgroup {
        allow: true,
        kind: Some(DeviceRuleKind::from_name(kind).ok_or_else(fail)?),
        major: number(major)?,
        minor: number(minor)?,
        access: Some(access.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        let device: DeviceRequest = "/dev/null".parse().unwrap();
        assert_eq!((device.container.as_str(), device.access.as_str()), ("/dev/null", "rwm"));
        let device: DeviceRequest = "/dev/null:r".parse().unwrap();
        assert_eq!((device.container.as_str(), device.access.as_str()), ("/dev/null", "r"));
        let device: DeviceRequest = "/dev/null:/dev/x:rw".parse().unwrap();
        assert_eq!((device.container.as_str(), device.access.as_str()), ("/dev/x", "rw"));
        for bad in ["", "null", "/dev/null:x", "/dev/null:/dev/x:q", "/a:/b:r:w"] {
            assert!(bad.parse::<DeviceRequest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rules() {
        let rule = parse_device_rule("c 10:* rw").unwrap();
        assert_eq!((rule.major, rule.minor), (Some(10), None));
        for bad in ["", "c 10 rw", "x 1:1 rw", "c 1:1 q", "c 1:1 rw more", "c -1:1 r"] {
            assert!(parse_device_rule(bad).is_err(), "{bad}");
        }
    }
}
