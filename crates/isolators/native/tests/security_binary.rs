//! The runtime's binary is never writable from a container (the class of
//! CVE-2019-5736). Needs root; sizes of races are bounded.
//!
//! A container that has CAP_SYS_PTRACE over the host (no user namespace) *and*
//! shares the host's PID namespace owns the host by other ways; it is not
//! among the attackers here.

#![cfg(test)]

mod attacker;
mod bundle;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use attacker::{ALL, figure};
use bundle::{Bundle, RUNTIME, eventually};
use caisson_sys::mount_attr::{MountAttr, mount_setattr};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{OpenTreeFlags, open_tree};
use serde_json::json;

/// A copy of the runtime that may be damaged.
struct Victim {
    path: PathBuf,
    content: Vec<u8>,
    _dir: tempfile::TempDir,
}

impl Victim {
    fn new(mode: u32, owner: u32) -> Self {
        let dir = tempfile::Builder::new().prefix("caisson-victim-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let path = dir.path().join("caisson-native");
        std::fs::copy(RUNTIME, &path).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let content = std::fs::read(&path).unwrap();
        Self { path, content, _dir: dir }
    }

    fn command(&self, bundle: &Bundle, args: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--root").arg(bundle.state_root()).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    #[track_caller]
    fn assert_whole(&self, mode: u32) {
        assert!(std::fs::read(&self.path).unwrap() == self.content, "the binary was changed");
        assert_eq!(std::fs::metadata(&self.path).unwrap().mode() & 0o7777, mode);
    }
}

/// Keeps handles of the runtime's image and tries to write through them, also
/// when nobody executes it any more (ETXTBSY).
fn overwrite() {
    let (mut grabbed, mut written, mut handles) = (0, 0, Vec::new());
    let mut out = File::create("/tmp/started").unwrap();
    out.write_all(b"x").unwrap();
    attacker::repeat(4.0, || {
        for pid in attacker::others() {
            let exe = format!("/proc/{pid}/exe");
            // Whatever is not the image's; a protected one has no name here.
            let Ok(name) = std::fs::read_link(&exe) else { continue };
            if name.starts_with("/attacker") || name.starts_with("/bin") {
                continue;
            }
            let Ok(fd) = openat(CWD, &exe, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
                continue;
            };
            // It may have executed the image's program since its name was read.
            let opened = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let Ok(opened) = std::fs::read_link(opened) else { continue };
            if !opened.to_string_lossy().contains("busybox") {
                grabbed += 1;
                handles.push(fd);
            }
        }
        if handles.len() > 64 {
            handles.drain(..32);
        }
        written += handles.iter().filter(|fd| write_through(fd)).count();
    });
    attacker::repeat(0.5, || written += handles.iter().filter(|fd| write_through(fd)).count());
    attacker::report(&format!("grabbed={grabbed} written={written} "));
}

fn write_through(fd: &std::os::fd::OwnedFd) -> bool {
    const RDONLY: u64 = 1;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // Make the mount writable, and a copy of it.
    let writable = MountAttr { clear: RDONLY, ..MountAttr::default() };
    let _ = mount_setattr(fd.as_fd(), &writable, false);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH;
    if let Ok(copy) = open_tree(fd, "", flags) {
        let _ = mount_setattr(copy.as_fd(), &writable, false);
        let copy = format!("/proc/self/fd/{}", copy.as_raw_fd());
        if OpenOptions::new().write(true).open(copy).is_ok_and(spoil) {
            return true;
        }
    }
    let _ = std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777));
    OpenOptions::new().write(true).open(&path).is_ok_and(spoil)
}

fn spoil(mut file: File) -> bool {
    file.write_all(b"#!/bin/spoilt\n").is_ok()
}

#[test]
#[ignore = "a role inside a container"]
fn inside() {
    if attacker::role() == "overwrite" {
        overwrite();
    }
}

fn overwriting(configure: impl Fn(&mut Bundle)) -> Bundle {
    let mut bundle = Bundle::new();
    attacker::install(&bundle);
    attacker::play(&mut bundle, "overwrite");
    bundle.capabilities(&ALL);
    bundle.config["process"]["noNewPrivileges"] = json!(false);
    std::fs::write(bundle.rootfs().join("script"), "#!/proc/self/exe\n").unwrap();
    std::fs::set_permissions(bundle.rootfs().join("script"), PermissionsExt::from_mode(0o755))
        .unwrap();
    configure(&mut bundle);
    bundle
}

/// `exec`s of several kinds for as long as the attack takes. Returns what the
/// attacker counted.
fn exec_under_attack(
    victim: &Victim,
    bundle: &Bundle,
    command: impl Fn(&[&str]) -> Command,
) -> String {
    let tmp = bundle.rootfs().join("tmp");
    eventually("the attack begins", || tmp.join("started").exists());
    let deadline = Instant::now() + Duration::from_secs(8);
    let id = &bundle.id;
    while !tmp.join("result").exists() && Instant::now() < deadline {
        for program in ["/bin/true", "/proc/self/exe", "/script"] {
            let _ = command(&["exec", id, program, "--version"]).status();
        }
    }
    let said = std::fs::read_to_string(tmp.join("result")).unwrap();
    eprintln!("{}: {said}", victim.path.display());
    said
}

#[test]
fn no_process_inside_can_write_the_binary() {
    let victim = Victim::new(0o755, 0);
    let bundle = overwriting(|_| {});
    bundle.write_config();
    let path = bundle.path().to_str().unwrap();
    assert!(
        victim.command(&bundle, &["create", "-b", path, &bundle.id]).status().unwrap().success()
    );
    assert!(victim.command(&bundle, &["start", &bundle.id]).status().unwrap().success());
    let said = exec_under_attack(&victim, &bundle, |args| victim.command(&bundle, args));
    assert!(figure(&said, "grabbed") > 0, "the attack had nothing to attack: {said}");
    victim.assert_whole(0o755);
    assert_eq!(figure(&said, "written"), 0);
}

#[test]
fn no_container_that_shares_pids_can_write_the_binary() {
    let victim = Victim::new(0o755, 0);
    let attacking = overwriting(|_| {});
    attacking.started();
    let mut other = Bundle::new();
    other.namespace("pid", Some(&format!("/proc/{}/ns/pid", attacking.pid())));
    other.write_config();
    let path = other.path().to_str().unwrap();
    let tmp = attacking.rootfs().join("tmp");
    eventually("the attack begins", || tmp.join("started").exists());
    while !tmp.join("result").exists() {
        let _ = victim.command(&other, &["run", "-b", path, &other.id]).status();
    }
    let said = std::fs::read_to_string(tmp.join("result")).unwrap();
    assert!(figure(&said, "grabbed") > 0, "the attack had nothing to attack: {said}");
    victim.assert_whole(0o755);
    assert_eq!(figure(&said, "written"), 0);
}

#[test]
fn the_waiting_process_runs_from_what_nobody_can_write() {
    for entry in [json!(["/proc/self/exe", "--version"]), json!(["/script"]), json!(["true"])] {
        let bundle = overwriting(|bundle| bundle.config["process"]["args"] = entry.clone());
        bundle.create().ok();
        let exe = format!("/proc/{}/exe", bundle.pid());
        // Without the protection: ETXTBSY now, and a success once it has ended.
        let error = OpenOptions::new().write(true).truncate(true).open(exe).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(30), "not EROFS: {error}");
        let _ = bundle.start();
    }
}

/// Without root there is no mount to protect with: a sealed copy in memory,
/// also where the mode forbids writing, as the owner may change the mode.
#[test]
fn a_users_own_binary_runs_from_a_sealed_copy() {
    const USER: u32 = 4242;
    for mode in [0o755, 0o555] {
        let victim = Victim::new(mode, USER);
        let bundle = overwriting(|bundle| {
            bundle.namespace("user", None);
            bundle.without_namespace("cgroup");
            let map = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
            bundle.config["linux"]["uidMappings"] = map.clone();
            bundle.config["linux"]["gidMappings"] = map;
        });
        bundle.write_config();
        let owner = format!("{USER}:{USER}");
        assert!(
            Command::new("chown")
                .args(["-R", &owner])
                .arg(bundle.path())
                .status()
                .unwrap()
                .success()
        );
        let as_user = |args: &[&str]| {
            let mut command = victim.command(&bundle, args);
            command.uid(USER).gid(USER);
            command
        };
        let path = bundle.path().to_str().unwrap();
        let created =
            as_user(&["create", "-b", path, &bundle.id]).stderr(Stdio::inherit()).status();
        assert!(created.unwrap().success());
        let pid = bundle.pid();
        assert_is_sealed(Path::new(&format!("/proc/{pid}/exe")), &victim);
        assert!(as_user(&["start", &bundle.id]).status().unwrap().success());
        let said = exec_under_attack(&victim, &bundle, as_user);
        assert_eq!(figure(&said, "written"), 0);
        victim.assert_whole(mode);
    }
}

#[track_caller]
fn assert_is_sealed(exe: &Path, victim: &Victim) {
    let mut image = File::open(exe).unwrap();
    let own = std::fs::metadata(&victim.path).unwrap();
    let meta = image.metadata().unwrap();
    assert_ne!((meta.dev(), meta.ino()), (own.dev(), own.ino()), "it runs from the file itself");
    let mut content = Vec::new();
    image.read_to_end(&mut content).unwrap();
    assert!(content == victim.content, "not a copy of it");
    let seals = rustix::fs::fcntl_get_seals(&image).unwrap();
    use rustix::fs::SealFlags;
    assert!(
        seals.contains(SealFlags::WRITE | SealFlags::SEAL | SealFlags::GROW | SealFlags::SHRINK)
    );
}
