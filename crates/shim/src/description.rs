//! What an engine says of itself.

use caisson_runtime_spec::features::Features;
use serde::{Deserialize, Serialize};

/// An engine: ours, or a program that somebody else made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// What it calls itself; `None` if it does not say, or can't be asked.
    pub version: Option<String>,
    /// What it can do; `None` if it does not say.
    pub features: Option<Features>,
}

impl Description {
    /// Whether a mount can be read-only with all that is mounted below it.
    #[must_use]
    pub fn recursive_read_only_mounts(&self) -> bool {
        let features = self.features.as_ref();
        features.is_some_and(|it| it.mount_options.iter().any(|option| option == "rro"))
    }

    /// Whether containers can have user namespaces, and volumes in them.
    #[must_use]
    pub fn user_namespaces(&self) -> bool {
        let linux = self.features.as_ref().and_then(|features| features.linux.as_ref());
        linux.is_some_and(|linux| {
            let idmap = linux.mount_extensions.as_ref().and_then(|it| it.idmap.as_ref());
            linux.namespaces.iter().any(|kind| kind == "user")
                && idmap.is_some_and(|idmap| idmap.enabled == Some(true))
        })
    }

    /// Whether it filters system calls.
    #[must_use]
    pub fn seccomp(&self) -> bool {
        let linux = self.features.as_ref().and_then(|features| features.linux.as_ref());
        let seccomp = linux.and_then(|linux| linux.seccomp.as_ref());
        seccomp.is_some_and(|seccomp| seccomp.enabled == Some(true))
    }
}
