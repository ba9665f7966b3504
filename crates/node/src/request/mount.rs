//! `-v`, `--mount` and `--tmpfs`.

use serde::{Deserialize, Serialize};

use super::{OptionError, parse_size};

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "type", content = "source")]
pub enum MountSource {
    /// A path of the host.
    Bind(String),
    /// A named volume, or one without a name that ends with the container.
    Volume(Option<String>),
    /// Memory.
    Tmpfs,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// What.
    #[serde(flatten)]
    pub source: MountSource,
    /// Where, absolute inside the container.
    pub destination: String,
    /// Whether it can't be written.
    #[serde(default)]
    pub read_only: bool,
    /// Further mount options, such as `rslave`, `noexec` or `size=1m`.
    #[serde(default)]
    pub options: Vec<String>,
    /// A bind's missing source is made as a directory (`-v` does, `--mount`
    /// does not).
    #[serde(default)]
    pub create_source: bool,
    /// A new volume starts without what the image has at that place.
    #[serde(default)]
    pub no_copy: bool,
}

/// Options that go through to a bind mount as they are.
const BIND_OPTIONS: [&str; 22] = [
    "private",
    "rprivate",
    "slave",
    "rslave",
    "shared",
    "rshared",
    "unbindable",
    "runbindable",
    "bind",
    "rbind",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "noatime",
    "relatime",
    "sync",
    "async",
    "nosymfollow",
    "strictatime",
];

impl MountRequest {
    fn new(source: MountSource, destination: &str) -> Self {
        Self {
            source,
            destination: destination.to_owned(),
            read_only: false,
            options: Vec::new(),
            create_source: false,
            no_copy: false,
        }
    }
}

/// Whether `name` may name a volume: it is one path component that starts with
/// a letter or digit.
#[must_use]
pub fn is_volume_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    first
        && name.len() > 1
        && name.len() <= 255
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn check_destination(text: &str, destination: &str) -> Result<(), OptionError> {
    if !destination.starts_with('/') {
        return Err(OptionError::new(text, "the path inside the container has to be absolute"));
    }
    if destination.contains('\0') || std::path::Path::new(destination) == std::path::Path::new("/")
    {
        return Err(OptionError::new(text, "the path inside the container can't be the root"));
    }
    Ok(())
}

/// `[SOURCE:]DESTINATION[:OPTIONS]`, as after `-v`. A source that starts with
/// `/`, `./` or `~`-free `.` is a path of the host, made absolute against
/// `current`; another is the name of a volume.
///
/// # Errors
/// If it is no such text.
pub fn parse_volume(text: &str, current: &std::path::Path) -> Result<MountRequest, OptionError> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, options) = match parts.as_slice() {
        [destination] => (None, *destination, ""),
        [source, destination] => (Some(*source), *destination, ""),
        [source, destination, options] => (Some(*source), *destination, *options),
        _ => {
            return Err(OptionError::new(text, "a volume is [SOURCE:]DESTINATION[:OPTIONS]"));
        }
    };
    check_destination(text, destination)?;
    let source = match source {
        None => MountSource::Volume(None),
        Some(path) if path.starts_with('/') => MountSource::Bind(path.to_owned()),
        Some(path) if path == "." || path == ".." || path.contains('/') => {
            let path = current.join(path);
            MountSource::Bind(path.to_string_lossy().into_owned())
        }
        Some(name) if is_volume_name(name) => MountSource::Volume(Some(name.to_owned())),
        Some(_) => {
            return Err(OptionError::new(
                text,
                "the source is neither an absolute path nor a volume's name (two or more of A-Z a-z 0-9 _ . -)",
            ));
        }
    };
    let mut mount = MountRequest::new(source, destination);
    mount.create_source = true;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "nocopy" => mount.no_copy = true,
            "copy" => mount.no_copy = false,
            // SELinux relabelling, which means nothing where there is none.
            "z" | "Z" => mount.options.push(option.to_owned()),
            other if BIND_OPTIONS.contains(&other) => mount.options.push(other.to_owned()),
            other => {
                return Err(OptionError::new(text, format!("unknown option {other:?}")));
            }
        }
    }
    Ok(mount)
}

/// `type=…,source=…,target=…,…`, as after `--mount`.
///
/// # Errors
/// If it is no such text; names the key.
pub fn parse_mount(text: &str, current: &std::path::Path) -> Result<MountRequest, OptionError> {
    let mut kind = "volume";
    let (mut source, mut destination) = (None, None);
    let mut mount = MountRequest::new(MountSource::Tmpfs, "");
    let flag = |value: Option<&str>, key: &str| match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(_) => Err(OptionError::new(text, format!("{key} is true or false"))),
    };
    for field in text.split(',') {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        let needed = || value.ok_or_else(|| OptionError::new(text, format!("{key} needs a value")));
        match key {
            "type" => kind = needed()?,
            "source" | "src" => source = Some(needed()?),
            "target" | "dst" | "destination" => destination = Some(needed()?),
            "readonly" | "ro" => mount.read_only = flag(value, key)?,
            "bind-propagation" => mount.options.push(needed()?.to_owned()),
            "bind-nonrecursive" => {
                if flag(value, key)? {
                    mount.options.push("bind".to_owned());
                }
            }
            "volume-nocopy" => mount.no_copy = flag(value, key)?,
            "tmpfs-size" => mount.options.push(format!("size={}", parse_size(needed()?)?)),
            "tmpfs-mode" => mount.options.push(format!("mode={}", needed()?)),
            "consistency" => {}
            _ => return Err(OptionError::new(text, format!("unknown key {key:?}"))),
        }
    }
    destination
        .ok_or_else(|| OptionError::new(text, "target is missing"))?
        .clone_into(&mut mount.destination);
    check_destination(text, &mount.destination)?;
    mount.source = match (kind, source) {
        ("bind", Some(path)) => {
            MountSource::Bind(current.join(path).to_string_lossy().into_owned())
        }
        ("bind", None) => return Err(OptionError::new(text, "a bind needs a source")),
        ("volume", None) => MountSource::Volume(None),
        ("volume", Some(name)) if is_volume_name(name) => {
            MountSource::Volume(Some(name.to_owned()))
        }
        ("volume", Some(_)) => {
            return Err(OptionError::new(text, "the source is no name of a volume"));
        }
        ("tmpfs", None) => MountSource::Tmpfs,
        ("tmpfs", Some(_)) => return Err(OptionError::new(text, "a tmpfs has no source")),
        _ => return Err(OptionError::new(text, "type is bind, volume or tmpfs")),
    };
    let bind = matches!(mount.source, MountSource::Bind(_));
    let unknown =
        mount.options.iter().find(|option| bind && !BIND_OPTIONS.contains(&option.as_str()));
    match unknown {
        Some(option) => Err(OptionError::new(text, format!("{option:?} does not fit a bind"))),
        None => Ok(mount),
    }
}

/// `DESTINATION[:OPTIONS]`, as after `--tmpfs`.
///
/// # Errors
/// If it is no such text.
pub fn parse_tmpfs(text: &str) -> Result<MountRequest, OptionError> {
    let (destination, options) = text.split_once(':').unwrap_or((text, ""));
    check_destination(text, destination)?;
    let mut mount = MountRequest::new(MountSource::Tmpfs, destination);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            other => mount.options.push(other.to_owned()),
        }
    }
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn volume(text: &str) -> Result<MountRequest, OptionError> {
        parse_volume(text, Path::new("/here"))
    }

    fn mount(text: &str) -> Result<MountRequest, OptionError> {
        parse_mount(text, Path::new("/here"))
    }

    #[test]
    fn volumes() {
        let bind = volume("/a:/b:ro,rslave").unwrap();
        assert_eq!(bind.source, MountSource::Bind("/a".to_owned()));
        assert!(bind.read_only && bind.create_source);
        assert_eq!(bind.options, ["rslave"]);
        assert_eq!(volume("./x:/b").unwrap().source, MountSource::Bind("/here/./x".to_owned()));
        assert_eq!(volume("data:/b").unwrap().source, MountSource::Volume(Some("data".to_owned())));
        assert_eq!(volume("/b").unwrap().source, MountSource::Volume(None));
        for bad in
            ["", "a:b", "/a:b", "/a:/b:nope", "/a:/b:ro:x", "-x:/b", "/a:/", "a\0:/b", "x:/b"]
        {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts() {
        let bind = mount("type=bind,source=/a,target=/b,readonly").unwrap();
        assert!(bind.read_only && !bind.create_source);
        let tmpfs = mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
        assert_eq!(tmpfs.options, ["size=1048576", "mode=1770"]);
        assert_eq!(
            mount("src=data,dst=/d,volume-nocopy=true").unwrap().source,
            MountSource::Volume(Some("data".to_owned()))
        );
        for bad in [
            "type=bind,target=/b",
            "type=bind,source=/a",
            "type=nope,target=/b",
            "type=tmpfs,source=x,target=/b",
            "colour=red,target=/b",
            "type=bind,source=/a,target=/b,ro=maybe",
            "type=bind,source=/a,target=/b,tmpfs-size=1m",
        ] {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn temporary_file_systems() {
        let tmpfs = parse_tmpfs("/t:ro,size=1m,noexec").unwrap();
        assert!(tmpfs.read_only);
        assert_eq!(tmpfs.options, ["size=1m", "noexec"]);
        assert!(parse_tmpfs("t").is_err());
    }
}
