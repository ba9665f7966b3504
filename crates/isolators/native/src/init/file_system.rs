//! New file systems: proc, sysfs, tmpfs, devpts, mqueue, overlay and others.

use std::os::fd::OwnedFd;
use std::path::Path;

use caisson_rootpath::{Root, same_inode};
use caisson_runtime_spec::Mount;
use caisson_runtime_spec::mount_options::MountOptions;
use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::attach::{Shape, attach, mount_point, propagate, set_attributes};
use super::copy_up;
use crate::step::{Cause as _, Context, StepError};

/// Longest value that fsconfig(2) takes.
const MAX_VALUE: usize = 255;

/// Kinds whose super block others mount too, or that are filled first: `ro`
/// there would bind them as well, so it goes to the mount alone.
const SHARED: [&str; 7] = ["proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "tmpfs"];

/// Mounts a new file system of this kind at `path`.
pub(super) fn mount(
    root: &Root,
    kind: &str,
    mount: &Mount,
    options: &MountOptions<'_>,
    path: &Path,
    mount_label: Option<&str>,
) -> Result<(), StepError> {
    if path == Path::new("/proc") && kind != "proc" {
        return Err(StepError::new("mount", "only procfs may be mounted at /proc"));
    }
    let inherits = kind == "tmpfs" && covers_something(root, path, options);
    let target = mount_point(root, path, Shape::Directory)?;
    if matches!(kind, "proc" | "sysfs") {
        refuse_link(root, kind, path, &target)?;
    }
    let source = mount.source.as_deref().unwrap_or(kind);
    let label = mount_label.filter(|_| !matches!(kind, "proc" | "sysfs" | "mqueue"));
    if options.data.iter().any(|option| option.len() > MAX_VALUE) {
        mount_by_path(kind, source, options, &target, label)?;
        let mounted = root.resolve(path).context(|| "find the new mount")?;
        set_attributes(&mounted, options)?;
        return propagate(&mounted, &options.propagation);
    }
    let mode = if inherits { Some(mode_of(&target)?) } else { None };
    let tree = make(kind, source, options, mode.as_deref(), label)?;
    if options.copy_up {
        copy_up::copy(root, path, &tree)?;
    }
    set_attributes(&tree, options)?;
    attach(&tree, &target)?;
    propagate(&tree, &options.propagation)
}

/// An image must not decide where proc and sysfs come to lie: what is done in
/// them later is done by name (CVE-2019-16884, CVE-2019-19921).
///
/// Asked of what was opened, so that nobody can swap a link in between.
fn refuse_link(root: &Root, kind: &str, path: &Path, target: &OwnedFd) -> Result<(), StepError> {
    let step = || format!("mount {kind}");
    let named = root.resolve_no_follow_last(path).context(step)?;
    let same = same_inode(&named, target).map_err(|fault| fault.to_string()).context(step)?;
    if !same {
        return Err(StepError::new(
            step(),
            "must be mounted on ordinary directory, not on a symbolic link",
        ));
    }
    Ok(())
}

/// A tmpfs without a mode takes that of the directory it covers, if there is
/// one already, as in runc.
fn covers_something(root: &Root, path: &Path, options: &MountOptions<'_>) -> bool {
    !options.data.iter().any(|option| option.starts_with("mode=")) && root.resolve(path).is_ok()
}

fn mode_of(target: &OwnedFd) -> Result<String, StepError> {
    let stat = fstat(target).context(|| "stat the mount point")?;
    Ok(format!("{:o}", stat.st_mode & 0o7777))
}

/// A detached file system.
pub(super) fn make(
    kind: &str,
    source: &str,
    options: &MountOptions<'_>,
    mode: Option<&str>,
    label: Option<&str>,
) -> Result<OwnedFd, StepError> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .context(|| format!("file system type {kind:?}"))?;
    let told = |error: Errno, what: &str| {
        let why = kernel_message(&context).unwrap_or_else(|| error.cause());
        StepError::new(what, why)
    };
    let set = |key: &str, value: &str| {
        fsconfig_set_string(&context, key, value)
            .map_err(|error| told(error, &format!("option \"{key}={value}\"")))
    };
    if source != "none" {
        set("source", source)?;
    }
    for option in &options.data {
        match option.split_once('=') {
            Some((key, value)) => set(key, value)?,
            None => fsconfig_set_flag(&context, *option)
                .map_err(|error| told(error, &format!("option {option:?}")))?,
        }
    }
    if let Some(mode) = mode {
        set("mode", mode)?;
    }
    if let Some(label) = label {
        set("context", label)?;
    }
    for flag in options.fsconfig_flags() {
        if flag != "ro" || !SHARED.contains(&kind) {
            let result = fsconfig_set_flag(&context, flag);
            if flag == "iversion" && result == Err(Errno::INVAL) {
                // By mount(2), file systems without it ignore it.
                let _ = kernel_message(&context);
                continue;
            }
            result.map_err(|error| told(error, &format!("option {flag:?}")))?;
        }
    }
    fsconfig_create(&context).map_err(|error| told(error, &format!("mount {kind}")))?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .map_err(|error| told(error, &format!("mount {kind}")))
}

/// The first thing that the kernel says of a file system context.
fn kernel_message(context: &OwnedFd) -> Option<String> {
    let mut buffer = [0_u8; 512];
    let length = rustix::io::read(context, &mut buffer).ok()?;
    let text = String::from_utf8_lossy(buffer.get(..length)?).into_owned();
    let text = text.trim().strip_prefix("e ").map(str::to_owned);
    text.filter(|text| !text.is_empty())
}

/// The old way, for options that fsconfig(2) has no room for.
fn mount_by_path(
    kind: &str,
    source: &str,
    options: &MountOptions<'_>,
    target: &OwnedFd,
    label: Option<&str>,
) -> Result<(), StepError> {
    // /proc is still the runtime's own: the container's is below its root.
    let path = caisson_sys::descriptors::proc_path(std::os::fd::AsFd::as_fd(target));
    let mut data = options.data_string();
    if let Some(label) = label {
        data.push_str(&format!(",context=\"{label}\""));
    }
    let data = std::ffi::CString::new(data)
        .map_err(|_| "it holds a NUL byte")
        .context(|| "mount options")?;
    let flags = MountFlags::from_bits_retain(options.mount_flags().bits());
    rustix::mount::mount(source, path, kind, flags, Some(data.as_c_str()))
        .context(|| format!("mount {kind}"))
}
