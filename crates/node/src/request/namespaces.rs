//! `--pid`, `--ipc`, `--uts`, `--userns`, `--cgroupns`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::OptionError;

/// Whose namespace a container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceMode {
    /// The default of that kind.
    #[default]
    Default,
    /// Its own.
    Private,
    /// The host's.
    Host,
    /// Another container's, by name or id.
    Container(String),
}

impl FromStr for NamespaceMode {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        match text {
            "" => Ok(Self::Default),
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            other => match other.strip_prefix("container:") {
                Some(id) if !id.is_empty() => Ok(Self::Container(id.to_owned())),
                _ => Err(OptionError::new(text, "it is private, host or container:NAME")),
            },
        }
    }
}

impl fmt::Display for NamespaceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Private => f.write_str("private"),
            Self::Host => f.write_str("host"),
            Self::Container(id) => write!(f, "container:{id}"),
        }
    }
}

/// Which namespaces are not simply the container's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceRequest {
    /// Processes.
    pub pid: NamespaceMode,
    /// System V IPC, POSIX queues and `/dev/shm`.
    pub ipc: NamespaceMode,
    /// Host name.
    pub uts: NamespaceMode,
    /// Users; the default is the host's.
    pub user: NamespaceMode,
    /// The root of cgroups; the default is private on cgroup v2, else the
    /// host's.
    pub cgroup: NamespaceMode,
}
