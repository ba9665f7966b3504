//! Images as volumes: their files at a path, read-only, or those of one folder.

use std::path::{Component, Path, PathBuf};

use caisson_runtime_spec::Mount;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fgetxattr, openat, statat};
use rustix::io::Errno;

use crate::pods::PodError;
use crate::pods::request::ContainerMount;

/// Layers that make up a volume, the topmost first.
pub(in crate::pods) type VolumeLayers = Vec<PathBuf>;

/// An image volume that was looked up.
#[derive(Clone, Debug)]
pub(in crate::pods) struct Volume {
    /// Its layers.
    pub(in crate::pods) layers: VolumeLayers,
    /// The image as a pull names it, to be told.
    pub(in crate::pods) image_ref: String,
}

/// The layers of the folder `sub_path` of an image with these layers.
///
/// What overlay would show is worked out layer by layer, without following any
/// link: the sub-path is a pod's, the links in it are a stranger's.
pub(in crate::pods) fn volume(
    layers: &[PathBuf],
    sub_path: &str,
) -> Result<VolumeLayers, PodError> {
    if sub_path.is_empty() {
        return Ok(layers.to_vec());
    }
    let refuse = |reason: &str| {
        let reason = format!("{sub_path:?} {reason}");
        Err(PodError::invalid("mounts.image_sub_path", reason))
    };
    let mut parts = Vec::new();
    for part in Path::new(sub_path).components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::CurDir => {}
            _ => return refuse("climbs out of the image"),
        }
    }
    let mut found = Vec::new();
    for layer in layers {
        match walk(layer, &parts).map_err(|errno| {
            PodError::io(format!("look for {sub_path:?} in {}", layer.display()), errno)
        })? {
            Seen::Absent => {}
            Seen::Hidden => break,
            Seen::Link => return refuse("leads over a symbolic link"),
            Seen::Other if found.is_empty() => return refuse("is no folder of the image"),
            Seen::Other => break,
            Seen::Folder { path, last } => {
                found.push(path);
                if last {
                    break;
                }
            }
        }
    }
    if found.is_empty() { refuse("is not in the image") } else { Ok(found) }
}

enum Seen {
    /// This layer says nothing about it.
    Absent,
    /// This layer takes away what lower ones have.
    Hidden,
    Link,
    /// Something that is no folder.
    Other,
    Folder {
        path: PathBuf,
        /// Whether lower layers do not count.
        last: bool,
    },
}

fn walk(layer: &Path, parts: &[&std::ffi::OsStr]) -> Result<Seen, Errno> {
    let mut path = layer.to_owned();
    let mut opaque = is_opaque(&path)?;
    for part in parts {
        path.push(part);
        let stat = match statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) if opaque => return Ok(Seen::Hidden),
            Err(Errno::NOENT) => return Ok(Seen::Absent),
            Err(error) => return Err(error),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => opaque |= is_opaque(&path)?,
            FileType::Symlink => return Ok(Seen::Link),
            // Overlay's mark of what is removed.
            FileType::CharacterDevice if stat.st_rdev == 0 => return Ok(Seen::Hidden),
            _ => return Ok(Seen::Other),
        }
    }
    Ok(Seen::Folder { path, last: opaque })
}

fn is_opaque(dir: &Path) -> Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(CWD, dir, flags, Mode::empty())?;
    let mut value = [0_u8; 8];
    match fgetxattr(&fd, "trusted.overlay.opaque", &mut value[..]) {
        Ok(length) => Ok(value.get(..length) == Some(b"y")),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Err(Errno::RANGE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The mount of a volume with these layers. `mapped` tells whether the
/// container is in a user namespace, which can't stack layers itself.
pub(super) fn mount(
    asked: &ContainerMount,
    layers: &VolumeLayers,
    mapped: bool,
) -> Result<Mount, PodError> {
    if !asked.readonly {
        return Err(PodError::invalid("mounts.readonly", "an image volume is read-only"));
    }
    let mut mount = Mount {
        destination: asked.container_path.clone(),
        options: ["ro", "nosuid", "nodev"].map(str::to_owned).to_vec(),
        ..Mount::default()
    };
    mount.options.extend(asked.options.iter().cloned());
    match layers.as_slice() {
        [only] => {
            mount.kind = Some("bind".to_owned());
            mount.source = Some(only.to_string_lossy().into_owned());
            mount.options.push("bind".to_owned());
            mount.options.push("rprivate".to_owned());
        }
        _ if mapped => {
            let what = "an image volume of several layers in a pod with a user namespace";
            return Err(PodError::Unsupported(what.to_owned()));
        }
        several => {
            mount.kind = Some("overlay".to_owned());
            mount.source = Some("overlay".to_owned());
            for layer in several {
                mount.options.push(format!("lowerdir+={}", layer.display()));
            }
        }
    }
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_paths_are_what_overlay_would_show() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: needs root");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let layer = |name: &str| temp.path().join(name);
        for path in ["top/a/b", "middle/a/b", "middle/x", "low/a/b", "low/x/y", "low/gone"] {
            std::fs::create_dir_all(layer(path)).unwrap();
        }
        std::fs::write(layer("low/file"), "").unwrap();
        std::os::unix::fs::symlink("/etc", layer("low/link")).unwrap();
        let mode = Mode::from_raw_mode(0);
        rustix::fs::mknodat(CWD, layer("top/gone"), FileType::CharacterDevice, mode, 0).unwrap();
        rustix::fs::setxattr(
            layer("middle/a"),
            "trusted.overlay.opaque",
            b"y",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        let layers = [layer("top"), layer("middle"), layer("low")];
        let of = |sub: &str| volume(&layers, sub);
        assert_eq!(of("").unwrap(), layers);
        assert_eq!(of("a/b").unwrap(), [layer("top/a/b"), layer("middle/a/b")]);
        assert_eq!(of("x/y").unwrap(), [layer("low/x/y")]);
        for bad in ["gone", "file", "link", "link/passwd", "../etc", "/etc", "none", "a/none"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
