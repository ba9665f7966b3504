//! Root file systems as containerd describes them: mounts, one after the other.

use std::ffi::CString;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use caisson_runtime_spec::mount_options::MountOptions;
use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, MountPropagationFlags, mount};

use super::rootfs::attach_overlay;
use super::step::{Context as _, StepError};
use crate::{MountRequest, RootfsMount};

/// mount(2) takes a page of options, some of which we may have to add.
const LONGEST_DATA: usize = 4000;

/// Makes them at `point`.
pub(super) fn attach(mounts: &[MountRequest], point: &Path) -> Result<(), StepError> {
    for request in mounts {
        let target = match request.target.trim_start_matches('/') {
            "" => point.to_owned(),
            below if below.split('/').all(|part| part != "..") => point.join(below),
            outside => return Err(StepError::new(format!("mount at {outside}"), "it leads out")),
        };
        attach_one(request, &target)?;
    }
    Ok(())
}

fn attach_one(request: &MountRequest, target: &Path) -> Result<(), StepError> {
    let MountRequest { kind, source, .. } = request;
    let step = || format!("mount {kind} {source} at {}", target.display());
    let options = MountOptions::parse(request.options.iter().map(String::as_str));
    let data = options.data_string();
    if kind == "overlay" && data.len() > LONGEST_DATA {
        attach_overlay(&long_overlay(&options)?, target, None)?;
    } else {
        let mut flags = MountFlags::from_bits_retain(options.mount_flags().bits());
        flags.set(MountFlags::BIND, options.bind.is_some() || kind == "bind");
        let data = CString::new(data).context(step)?;
        let data = (!data.is_empty()).then_some(data.as_c_str());
        mount(source.as_str(), target, kind.as_str(), flags, data).context(step)?;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mounted = openat(CWD, target, flags, Mode::empty()).context(step)?;
    // A bind mount takes no attributes when it is made.
    let attr = MountAttr {
        set: options.attrs.set.bits(),
        clear: options.attrs.clear.bits(),
        propagation: u64::from(MountPropagationFlags::PRIVATE.bits()),
        ..MountAttr::default()
    };
    mount_setattr(mounted.as_fd(), &attr, false).context(step)
}

/// An overlay with more layers than fit in the options of mount(2).
fn long_overlay(options: &MountOptions<'_>) -> Result<RootfsMount, StepError> {
    let step = || "read the options of an overlay";
    let (mut lowers, mut upper, mut work) = (Vec::new(), None, None);
    let (mut userxattr, mut volatile) = (false, false);
    for option in &options.data {
        match option.split_once('=').unwrap_or((option, "")) {
            ("lowerdir", list) => lowers = list.split(':').map(PathBuf::from).collect(),
            ("upperdir", path) => upper = Some(PathBuf::from(path)),
            ("workdir", path) => work = Some(PathBuf::from(path)),
            ("userxattr", _) => userxattr = true,
            ("volatile", _) => volatile = true,
            // The default.
            ("index", "off") => {}
            _ => return Err(StepError::new(step(), format!("{option} with so many layers"))),
        }
    }
    let read_only = options.is_readonly();
    Ok(RootfsMount::Overlay {
        lowers,
        upper: upper.zip(work),
        read_only,
        userxattr,
        volatile,
        mapped: false,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn binds_and_overlays_are_mounted_in_their_order() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["lower", "upper", "work", "point", "bound/below"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("lower/file"), "x").unwrap();
        let request = |kind: &str, source: &Path, target: &str, options: &[String]| MountRequest {
            kind: kind.to_owned(),
            source: source.to_str().unwrap().to_owned(),
            target: target.to_owned(),
            options: options.to_vec(),
        };
        let layer = |key: &str, name: &str| format!("{key}={}", path(name).display());
        let overlay = [
            "index=off".to_owned(),
            layer("lowerdir", "lower"),
            layer("upperdir", "upper"),
            layer("workdir", "work"),
        ];
        let many = vec![path("lower").display().to_string(); 1];
        let long = format!(
            "lowerdir={}{}",
            many.join(":"),
            format!(":{}", path("bound").display()).repeat(80)
        );
        // In a thread: the namespace is its own.
        let test = || {
            super::super::rootfs::enter_namespace().unwrap();
            super::super::rootfs::isolate(&path("point")).unwrap();
            fs::create_dir(path("lower/inside")).unwrap();
            let both = [
                request("overlay", Path::new("overlay"), "", &overlay),
                request("bind", &path("bound"), "/inside", &["rbind".into(), "ro".into()]),
            ];
            attach(&both, &path("point")).unwrap();
            assert!(path("point/file").exists() && path("point/inside/below").exists());
            assert!(fs::write(path("point/inside/new"), "").is_err());
            fs::write(path("point/new"), "").unwrap();
            assert!(path("upper/new").exists());
            let out = request("bind", &path("bound"), "/../x", &["bind".into()]);
            assert!(attach(&[out], &path("point")).is_err());
            super::super::rootfs::detach(&path("point"));
            assert_eq!(fs::read_dir(path("point")).unwrap().count(), 0);
            let options = MountOptions::parse([long.as_str()]);
            let RootfsMount::Overlay { lowers, .. } = long_overlay(&options).unwrap() else {
                panic!()
            };
            assert_eq!(lowers.len(), 81);
        };
        std::thread::scope(|scope| scope.spawn(test).join().unwrap());
    }
}
