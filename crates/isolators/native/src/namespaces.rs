//! Which namespaces a container gets, and which it joins.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use caisson_runtime_spec::{Namespace, NamespaceKind};
use caisson_sys::clone::CloneFlags;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::step::{Context, StepError};

/// A namespace that exists already.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) kind: NamespaceKind,
    path: String,
    fd: OwnedFd,
}

impl Join {
    fn open(namespace: &Namespace, path: &str) -> Result<Self, StepError> {
        let fd = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .context(|| format!("open {} namespace {path:?}", namespace.kind.as_str()))?;
        Ok(Self { kind: namespace.kind, path: path.to_owned(), fd })
    }

    fn try_enter(&self) -> Result<(), Errno> {
        move_into_link_name_space(self.fd.as_fd(), Some(link_type(self.kind)))
    }

    /// Moves the caller (its later children, for a PID namespace) into it.
    pub(crate) fn enter(&self) -> Result<(), StepError> {
        self.try_enter()
            .context(|| format!("join {} namespace {:?}", self.kind.as_str(), self.path))
    }
}

fn link_type(kind: NamespaceKind) -> LinkNameSpaceType {
    match kind {
        NamespaceKind::Pid => LinkNameSpaceType::ProcessID,
        NamespaceKind::Network => LinkNameSpaceType::Network,
        NamespaceKind::Mount => LinkNameSpaceType::Mount,
        NamespaceKind::Ipc => LinkNameSpaceType::InterProcessCommunication,
        NamespaceKind::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        NamespaceKind::User => LinkNameSpaceType::User,
        NamespaceKind::Cgroup => LinkNameSpaceType::ControlGroup,
        NamespaceKind::Time => LinkNameSpaceType::Time,
    }
}

/// The container's namespaces, sorted by what is to be done with them.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// Made by clone3(2).
    pub(crate) new: CloneFlags,
    /// A new cgroup namespace, made only once the process is in its cgroup.
    pub(crate) new_cgroup: bool,
    /// A new time namespace, made by unshare(2) for its offsets.
    pub(crate) new_time: bool,
    /// Joined by path.
    pub(crate) joins: Vec<Join>,
}

impl Namespaces {
    /// Opens what is to be joined.
    pub(crate) fn open(namespaces: &[Namespace]) -> Result<Self, StepError> {
        let mut all = Self::default();
        for namespace in namespaces {
            if let Some(path) = &namespace.path {
                all.joins.push(Join::open(namespace, path)?);
                continue;
            }
            match namespace.kind {
                NamespaceKind::Cgroup => all.new_cgroup = true,
                NamespaceKind::Time => all.new_time = true,
                NamespaceKind::Pid => all.new |= CloneFlags::NEWPID,
                NamespaceKind::Network => all.new |= CloneFlags::NEWNET,
                NamespaceKind::Mount => all.new |= CloneFlags::NEWNS,
                NamespaceKind::Ipc => all.new |= CloneFlags::NEWIPC,
                NamespaceKind::Uts => all.new |= CloneFlags::NEWUTS,
                NamespaceKind::User => all.new |= CloneFlags::NEWUSER,
            }
        }
        Ok(all)
    }

    /// The user namespace that is joined.
    pub(crate) fn joined_user(&self) -> Option<BorrowedFd<'_>> {
        self.joins(NamespaceKind::User).map(|join| join.fd.as_fd())
    }

    fn joins(&self, kind: NamespaceKind) -> Option<&Join> {
        self.joins.iter().find(|join| join.kind == kind)
    }

    /// The new ones that clone3(2) is to make. An IPC namespace's message
    /// queues belong to whoever makes it, so with mapped ids that must be the
    /// mapped root.
    pub(crate) fn at_clone(&self) -> CloneFlags {
        match self.has_user() {
            true => self.new.difference(CloneFlags::NEWIPC),
            false => self.new,
        }
    }

    /// Whether the container gets its own mount namespace, or joins one.
    pub(crate) fn has_mount(&self) -> bool {
        self.new.contains(CloneFlags::NEWNS) || self.joins(NamespaceKind::Mount).is_some()
    }

    /// Whether ids are mapped, by a new user namespace or a joined one.
    pub(crate) fn has_user(&self) -> bool {
        self.new.contains(CloneFlags::NEWUSER) || self.joins(NamespaceKind::User).is_some()
    }

    /// The PID namespace to be joined.
    pub(crate) fn pid_join(&self) -> Option<&Join> {
        self.joins(NamespaceKind::Pid)
    }

    /// Whether joining and making must be split over two processes: what is
    /// joined must be joined with the rights of the old user namespace, what
    /// is made must belong to the new or joined one.
    pub(crate) fn needs_intermediate(&self) -> bool {
        self.joins(NamespaceKind::User).is_some()
            || (self.new.contains(CloneFlags::NEWUSER) && !self.joins.is_empty())
    }

    /// Joins all, the user namespace as early as the others allow. With
    /// `children_too`, the PID namespace as well, for the next fork.
    pub(crate) fn enter_joined(&self, children_too: bool) -> Result<(), StepError> {
        let others = self.joins.iter().filter(|join| {
            join.kind != NamespaceKind::User && (children_too || join.kind != NamespaceKind::Pid)
        });
        let Some(user) = self.joins(NamespaceKind::User) else {
            for join in others {
                join.enter()?;
            }
            return Ok(());
        };
        // Those of the old user namespace need its rights, those of the
        // joined one need to be in it.
        let mut later = Vec::new();
        for join in others {
            if join.try_enter().is_err() {
                later.push(join);
            }
        }
        user.enter()?;
        for join in later {
            join.enter()?;
        }
        Ok(())
    }
}
