//! AppArmor and SELinux, where the host has them.

use std::path::Path;

use caisson_rootpath::{ProcHandle, ProcScope};
use caisson_runtime_spec::{Linux, Process};

use crate::step::{Context, StepError};

/// Whether the host enforces or loads SELinux.
pub(crate) fn selinux_enabled() -> bool {
    // selinuxfs is mounted here on every host that has it (selinux(8)).
    const SELINUX_MAGIC: u64 = 0xf97c_ff8c;
    rustix::fs::statfs("/sys/fs/selinux")
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|magic| magic == SELINUX_MAGIC))
}

/// Whether the host's kernel runs AppArmor.
pub(crate) fn apparmor_enabled() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|content| content.first() == Some(&b'Y'))
}

/// Fails if a process names a label that the host can't give.
pub(crate) fn check(process: &Process) -> Result<(), StepError> {
    if process.apparmor_profile.as_deref().is_some_and(|profile| profile != "unconfined")
        && !apparmor_enabled()
    {
        return Err(StepError::new(
            "config.json: process.apparmorProfile",
            "this host's kernel does not run AppArmor; remove the profile",
        ));
    }
    if process.selinux_label.is_some() && !selinux_enabled() {
        return Err(StepError::new(
            "config.json: process.selinuxLabel",
            "this host's kernel does not run SELinux; remove the label",
        ));
    }
    Ok(())
}

/// Fails if mounts are to get a label that the host's kernel does not know.
pub(crate) fn check_mount_label(linux: &Linux) -> Result<(), StepError> {
    if linux.mount_label.as_deref().is_some_and(|label| !label.is_empty()) && !selinux_enabled() {
        return Err(StepError::new(
            "config.json: linux.mountLabel",
            "this host's kernel does not run SELinux; remove the label",
        ));
    }
    Ok(())
}

/// Asks the kernel to put the next program executed under these labels.
///
/// Through a procfs of our own: the container's may be covered with
/// something that swallows the label (CVE-2019-19921, CVE-2025-52881).
pub(crate) fn label_next_exec(process: &Labels) -> Result<(), StepError> {
    if process.apparmor.is_none() && process.selinux.is_none() {
        return Ok(());
    }
    let proc = ProcHandle::new(ProcScope::Pids).context(|| "get a procfs of our own")?;
    if let Some(profile) = &process.apparmor {
        let value = format!("exec {profile}");
        proc.write_self_attr(Path::new("apparmor/exec"), value.as_bytes())
            .or_else(|error| match error.is_not_found() {
                // Kernels before 5.8 know only the file that all LSMs share.
                true => proc.write_self_attr(Path::new("exec"), value.as_bytes()),
                false => Err(error),
            })
            .context(|| format!("apply AppArmor profile {profile:?}"))?;
    }
    if let Some(label) = &process.selinux {
        proc.write_self_attr(Path::new("exec"), label.as_bytes())
            .context(|| format!("apply SELinux label {label:?}"))?;
    }
    Ok(())
}

/// The labels that a process asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    apparmor: Option<String>,
    selinux: Option<String>,
}

impl From<&Process> for Labels {
    fn from(process: &Process) -> Self {
        Self {
            apparmor: process.apparmor_profile.clone().filter(|_| apparmor_enabled()),
            selinux: process.selinux_label.clone(),
        }
    }
}
