//! A compiled filter: what a runtime makes before it creates the container's
//! process, and installs in it.

use crate::arch::Machine;
use crate::compile::compile;
use crate::error::{SeccompError, Warning};
use crate::policy::Policy;
use caisson_runtime_spec::{Seccomp, SeccompAction, SeccompFlag};
use caisson_sys::seccomp::{FilterFlags, SockFilter, install};
use rustix::io;
use std::os::fd::OwnedFd;

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    program: Vec<SockFilter>,
    flags: FilterFlags,
    warnings: Vec<Warning>,
}

impl Filter {
    /// Compiles `linux.seccomp` for the machine that this program runs on.
    ///
    /// # Errors
    ///
    /// If the profile says something that runc or the kernel would reject.
    pub fn compile(seccomp: &Seccomp) -> Result<Self, SeccompError> {
        let machine = Machine::native().ok_or(SeccompError::UnsupportedMachine)?;
        Self::compile_for(seccomp, machine)
    }

    /// Compiles for any little-endian machine.
    ///
    /// # Errors
    ///
    /// As [`Filter::compile`].
    pub fn compile_for(seccomp: &Seccomp, machine: Machine) -> Result<Self, SeccompError> {
        let flags = filter_flags(seccomp)?;
        let policy = Policy::resolve(seccomp, machine)?;
        let program = compile(&policy)?;
        Ok(Self { program, flags, warnings: policy.warnings })
    }

    /// Filters the calling thread from here on, and what it starts. Allocates
    /// nothing. Returns the notification descriptor (close-on-exec) if
    /// [`Filter::needs_listener`].
    ///
    /// # Errors
    ///
    /// Those of seccomp(2): `EACCES` without `CAP_SYS_ADMIN` and
    /// `no_new_privs`, `EBUSY` if there is a listener already.
    pub fn install(&self) -> io::Result<Option<OwnedFd>> {
        install(&self.program, self.flags)
    }

    /// True if [`Filter::install`] will return a descriptor, which must reach
    /// the agent at `listenerPath`.
    #[must_use]
    pub const fn needs_listener(&self) -> bool {
        self.flags.contains(FilterFlags::NEW_LISTENER)
    }

    /// Flags for seccomp(2).
    #[must_use]
    pub const fn flags(&self) -> FilterFlags {
        self.flags
    }

    /// The instructions; the kernel checks them again.
    #[must_use]
    pub fn program(&self) -> &[SockFilter] {
        &self.program
    }

    /// Parts of the profile that have no effect.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// The flags of a profile, and whether there will be notifications; with the
/// rules about notifications.
fn filter_flags(seccomp: &Seccomp) -> Result<FilterFlags, SeccompError> {
    // As runc: without the field (an empty list is something else) containers
    // keep their speculation (Linux 4.17), which a filter used to cost them.
    let mut flags = match &seccomp.flags {
        None => FilterFlags::SPEC_ALLOW,
        Some(_) => FilterFlags::empty(),
    };
    for flag in seccomp.flags.iter().flatten() {
        flags |= match flag {
            // One thread exists when the filter is installed, and TSYNC with
            // a listener would need a further flag.
            SeccompFlag::Tsync => FilterFlags::empty(),
            SeccompFlag::Log => FilterFlags::LOG,
            SeccompFlag::SpecAllow => FilterFlags::SPEC_ALLOW,
            SeccompFlag::WaitKillableRecv => FilterFlags::WAIT_KILLABLE_RECV,
        };
    }
    if seccomp.default_action == SeccompAction::Notify {
        return Err(SeccompError::NotifyByDefault);
    }
    for (rule, syscall) in seccomp.syscalls.iter().enumerate() {
        if syscall.action != SeccompAction::Notify || syscall.names.is_empty() {
            continue;
        }
        if syscall.names.iter().any(|name| name == "write") {
            return Err(SeccompError::NotifyWrite { rule });
        }
        if seccomp.listener_path.is_none() {
            return Err(SeccompError::NoListenerPath { rule });
        }
        flags |= FilterFlags::NEW_LISTENER;
    }
    if flags.contains(FilterFlags::WAIT_KILLABLE_RECV) && !flags.contains(FilterFlags::NEW_LISTENER)
    {
        return Err(SeccompError::WaitKillableWithoutNotify);
    }
    Ok(flags)
}
