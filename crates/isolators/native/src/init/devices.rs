//! `/dev` inside the container (config-linux.md, "Devices").

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use caisson_rootpath::{Node, NodeKind, Root, RootPathError};
use caisson_runtime_spec::{DEFAULT_DEVICES, DEVICE_LINKS, Device, DeviceKind, Spec, clean_path};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, major, minor, statat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::attach::attach;
use crate::step::{Context, StepError};

/// Makes devices and links, unless `/dev` is the host's.
pub(super) fn create(
    spec: &Spec,
    devices: &[Device],
    root: &Root,
    by_bind: bool,
) -> Result<(), StepError> {
    if spec.mounts.iter().any(|mount| {
        mount.parsed_options().bind.is_some() && clean_path(&mount.destination) == Path::new("/dev")
    }) {
        return Ok(());
    }
    let dev =
        root.mkdir_all(Path::new("/dev"), Mode::from_raw_mode(0o755)).context(|| "make /dev")?;
    for (name, major, minor) in DEFAULT_DEVICES {
        if devices.iter().any(|device| clean_path(&device.path) == Path::new("/dev").join(name)) {
            continue;
        }
        let node = Node {
            kind: NodeKind::Char { major, minor },
            mode: Mode::from_raw_mode(0o666),
            uid: Uid::ROOT,
            gid: Gid::ROOT,
        };
        let step = || format!("create device /dev/{name}");
        let path = Path::new("/dev").join(name);
        let in_dev = || root.mknod_in(dev.as_fd(), OsStr::new(name), &node);
        make_or_bind(root, &path, &node, by_bind, in_dev, step)?;
    }
    // /dev/ptmx is the container's own devpts', whatever is asked for.
    for device in devices.iter().filter(|device| clean_path(&device.path) != Path::new("/dev/ptmx"))
    {
        create_one(root, device, by_bind)?;
    }
    for (name, target) in DEVICE_LINKS {
        link(root, &dev, name, target)?;
    }
    link(root, &dev, "ptmx", "pts/ptmx")?;
    if statat(CWD, "/proc/kcore", AtFlags::empty()).is_ok() {
        link(root, &dev, "core", "/proc/kcore")?;
    }
    Ok(())
}

/// What an image has there stays, but for a ptmx that is not our devpts'.
fn link(root: &Root, dev: &OwnedFd, name: &str, target: &str) -> Result<(), StepError> {
    let made = root.symlink_in(dev.as_fd(), OsStr::new(name), Path::new(target));
    let step = || format!("link /dev/{name}");
    match made {
        Err(error) if error.is_conflict() && name == "ptmx" => {
            root.remove(Path::new("/dev/ptmx")).context(step)?;
            root.symlink_in(dev.as_fd(), OsStr::new(name), Path::new(target)).context(step)
        }
        Err(error) if error.is_conflict() => Ok(()),
        other => other.context(step),
    }
}

fn create_one(root: &Root, device: &Device, by_bind: bool) -> Result<(), StepError> {
    let path = clean_path(&device.path);
    let step = || format!("create device {}", device.path);
    let number = |value: i64, what: &str| {
        u32::try_from(value).map_err(|_| format!("{what} {value} is out of range")).context(step)
    };
    let (major, minor) = (number(device.major, "major")?, number(device.minor, "minor")?);
    let kind = match device.kind {
        DeviceKind::Char | DeviceKind::UnbufferedChar => NodeKind::Char { major, minor },
        DeviceKind::Block => NodeKind::Block { major, minor },
        DeviceKind::Fifo => NodeKind::Fifo,
    };
    let node = Node {
        kind,
        mode: Mode::from_raw_mode(device.permissions()),
        uid: Uid::from_raw(device.uid.unwrap_or(0)),
        gid: Gid::from_raw(device.gid.unwrap_or(0)),
    };
    let by_bind = by_bind && kind != NodeKind::Fifo;
    make_or_bind(root, &path, &node, by_bind, || root.mknod(&path, &node), step)
}

/// Makes a node, or binds the host's where the kernel refuses: the runtime may
/// be root of no more than a user namespace itself.
fn make_or_bind(
    root: &Root,
    path: &Path,
    node: &Node,
    by_bind: bool,
    make: impl FnOnce() -> Result<OwnedFd, RootPathError>,
    step: impl Fn() -> String,
) -> Result<(), StepError> {
    if by_bind {
        return bind_host_device(root, path, node, step);
    }
    match make() {
        Err(error) if error.errno() == Some(Errno::PERM) && node.kind != NodeKind::Fifo => {
            bind_host_device(root, path, node, step)
        }
        other => other.map(drop).context(step),
    }
}

/// Where devices can't be made (user namespaces), the host's node of the same
/// name is shown instead, if it is the same device.
fn bind_host_device(
    root: &Root,
    path: &Path,
    node: &Node,
    step: impl Fn() -> String,
) -> Result<(), StepError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags)
        .context(|| format!("{}: bind the host's device of this name", step()))?;
    let stat = rustix::fs::fstat(&tree).context(&step)?;
    let found = (major(stat.st_rdev), minor(stat.st_rdev));
    let file_type = FileType::from_raw_mode(stat.st_mode);
    let same = match node.kind {
        NodeKind::Char { major, minor } => {
            file_type == FileType::CharacterDevice && found == (major, minor)
        }
        NodeKind::Block { major, minor } => {
            file_type == FileType::BlockDevice && found == (major, minor)
        }
        NodeKind::Fifo => false,
    };
    if !same {
        return Err(StepError::new(step(), "the host's node of this name is another device"));
    }
    let target = root.create_file_at(path, Mode::from_raw_mode(0o644)).context(&step)?;
    attach(&tree, &target).context(step)
}
