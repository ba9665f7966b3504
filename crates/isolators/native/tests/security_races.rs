//! Volumes and root file systems that change while containers are made on
//! them: another container swaps directories and links as fast as it can (the
//! classes of CVE-2021-30465, CVE-2024-45310, CVE-2025-31133, CVE-2025-52565,
//! CVE-2026-41579). Needs root. Each race lasts three seconds.
//!
//! The swapping is done by a thread of the test on the shared directory: the
//! kernel does not tell it from a container's process with the volume mounted.
//!
//! Not claimed: that what is mounted stays at its name if two *running*
//! containers share one root file system. A rename from outside the mount
//! namespace takes a mount along with its directory (Linux 3.18 and newer).

#![cfg(test)]

mod attacker;
mod bundle;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bundle::Bundle;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

const RACE: Duration = Duration::from_secs(3);

/// Swaps two names until dropped.
struct Swapper {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Swapper {
    fn start(one: PathBuf, other: PathBuf) -> Self {
        let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (theirs, count) = (Arc::clone(&stop), Arc::clone(&swaps));
        let thread = std::thread::spawn(move || {
            while !theirs.load(Ordering::Relaxed) {
                if renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, swaps, thread: Some(thread) }
    }

    fn count(&self) -> u64 {
        self.swaps.load(Ordering::Relaxed)
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn host_directory(bundle: &Bundle) -> PathBuf {
    let dir = bundle.path().join("host");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("file"), "untouched").unwrap();
    dir
}

#[track_caller]
fn assert_untouched(dir: &Path) {
    let names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["file"], "something was made on the host");
    assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "untouched");
}

/// Mounts on a volume whose directories turn into links to the host and back.
/// A hook in the container's mount namespace, which still sees the host then,
/// looks where everything was mounted.
#[test]
fn a_shared_volume_that_changes_gets_nothing_mounted_on_the_host() {
    let mut bundle = Bundle::script("cat /proc/self/mountinfo");
    let host = host_directory(&bundle);
    let volume = bundle.path().join("volume");
    fs::create_dir_all(volume.join("a/b")).unwrap();
    let out = format!("{}{}", "../".repeat(24), host.display());
    symlink(&out, volume.join("link")).unwrap();
    fs::create_dir_all(volume.join("x/y")).unwrap();
    symlink(&host, volume.join("absolute")).unwrap();
    let hook = bundle.path().join("hook");
    fs::write(
        &hook,
        format!(
            "#!/bin/sh\ncat >/dev/null\ncat /proc/self/mountinfo >{}/seen\n",
            bundle.path().display()
        ),
    )
    .unwrap();
    fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    bundle.config["hooks"] = json!({"createContainer": [{"path": hook}]});
    bundle.mount(
        json!({"destination": "/mnt", "type": "bind", "source": volume, "options": ["rbind"]}),
    );
    for destination in ["/mnt/a", "/mnt/a/new", "/mnt/x/y/../../x/deep/er"] {
        bundle.mount(json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]}));
    }
    bundle.mount(json!({"destination": "/mnt/a/file", "type": "bind", "source": "/etc/passwd", "options": ["bind"]}));
    // Later mounts must not hide what earlier ones did.
    bundle.config["mounts"].as_array_mut().unwrap().swap(5, 6);
    let swappers = [
        Swapper::start(volume.join("a"), volume.join("link")),
        Swapper::start(volume.join("x"), volume.join("absolute")),
    ];
    let begun = Instant::now();
    let (mut made, mut refused) = (0, 0);
    let rootfs = bundle.rootfs();
    while begun.elapsed() < RACE {
        let _ = fs::remove_file(bundle.path().join("seen"));
        let ended = bundle.run();
        if ended.code() == 0 {
            made += 1;
        } else {
            refused += 1;
        }
        assert_untouched(&host);
        let seen = fs::read_to_string(bundle.path().join("seen")).unwrap_or_default();
        let astray = seen.lines().find(|line| {
            let at = Path::new(line.split(' ').nth(4).unwrap_or_default());
            at.starts_with(bundle.path()) && !at.starts_with(&rootfs)
        });
        assert_eq!(astray, None, "mounted on the host's tree");
        let inside = ended.stdout();
        let shows_host =
            |line: &str| line.split(' ').nth(3).is_some_and(|root| root.contains("/host"));
        assert!(
            !inside.lines().any(shows_host),
            "the host's directory is mounted inside: {inside}"
        );
    }
    let swaps: u64 = swappers.iter().map(Swapper::count).sum();
    drop(swappers);
    eprintln!("{made} made, {refused} refused, {swaps} swaps");
    assert!(made > 0 && swaps > 1000, "no race: {made} made, {refused} refused, {swaps} swaps");
    assert_untouched(&host);
}

/// `/dev/null` of the image turns into a link to a host file and back, and
/// into another file, while paths are masked.
#[test]
fn a_null_that_changes_masks_nothing_but_itself() {
    let mut bundle = Bundle::script("stat -c %t:%T /secret; echo x >/secret");
    let host = host_directory(&bundle);
    let rootfs = bundle.rootfs();
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    fs::write(rootfs.join("secret"), "s").unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/secret"]);
    bundle.run().ok();
    // What the link leads to inside.
    let scoped = rootfs.join(host.strip_prefix("/").unwrap());
    fs::create_dir_all(&scoped).unwrap();
    fs::write(scoped.join("file"), "").unwrap();
    symlink(format!("{}{}", "../".repeat(24), host.join("file").display()), rootfs.join("dev/out"))
        .unwrap();
    let swapper = Swapper::start(rootfs.join("dev/null"), rootfs.join("dev/out"));
    let begun = Instant::now();
    let (mut made, mut refused) = (0, 0);
    while begun.elapsed() < RACE {
        let ended = bundle.run();
        assert_untouched(&host);
        match ended.code() {
            0 => {
                made += 1;
                assert_eq!(ended.stdout().trim(), "1:3");
            }
            _ => refused += 1,
        }
    }
    eprintln!("{made} made, {refused} refused, {} swaps", swapper.count());
    assert!(made > 0 && refused > 0, "no race: {made} made, {refused} refused");
}

/// `/dev/console` turns into links to the host and into procfs.
#[test]
fn a_console_that_changes_stays_the_containers() {
    for target in ["host", "/proc/self/attr/exec"] {
        let mut bundle = Bundle::script("sleep 1000");
        let host = host_directory(&bundle);
        let rootfs = bundle.rootfs();
        bundle.config["process"]["terminal"] = json!(true);
        bundle.config["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| mount["destination"] != "/dev");
        fs::create_dir(rootfs.join("dev/pts")).unwrap();
        fs::write(rootfs.join("dev/console"), "").unwrap();
        let target = match target {
            "host" => format!("{}{}", "../".repeat(24), host.join("file").display()),
            other => other.to_owned(),
        };
        symlink(target, rootfs.join("dev/out")).unwrap();
        let socket = bundle.path().join("tty");
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let swapper = Swapper::start(rootfs.join("dev/console"), rootfs.join("dev/out"));
        let begun = Instant::now();
        let (mut made, mut refused) = (0, 0);
        while begun.elapsed() < RACE / 2 {
            let ended = bundle.create_with(&["--console-socket", socket.to_str().unwrap()]);
            drop(listener.accept());
            if ended.code() == 0 {
                made += 1;
                let mounts =
                    fs::read_to_string(format!("/proc/{}/mountinfo", bundle.pid())).unwrap();
                let mut at = mounts.lines().map(|line| line.split(' ').nth(4).unwrap());
                assert!(at.all(|at| !at.contains("/attr")), "{mounts}");
                bundle.call(&["delete", "--force", &bundle.id]).ok();
            } else {
                refused += 1;
            }
            assert_untouched(&host);
        }
        eprintln!("{made} made, {refused} refused, {} swaps", swapper.count());
        assert!(made > 0, "no race: {made} made, {refused} refused");
    }
}

/// `/proc` turns into a link to a directory of the image and back. Either the
/// container is refused, or procfs was mounted at what was `/proc` then: never
/// at the link's target.
#[test]
fn a_proc_that_changes_is_never_mounted_behind_a_link() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    let rootfs = bundle.rootfs();
    fs::create_dir(rootfs.join("fake")).unwrap();
    symlink("/fake", rootfs.join("link")).unwrap();
    let swapper = Swapper::start(rootfs.join("proc"), rootfs.join("link"));
    let begun = Instant::now();
    let (mut made, mut refused) = (0, 0);
    while begun.elapsed() < RACE {
        if bundle.create().code() == 0 {
            made += 1;
            let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", bundle.pid())).unwrap();
            assert!(
                !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/fake")),
                "{mounts}"
            );
            bundle.call(&["delete", "--force", &bundle.id]).ok();
        } else {
            refused += 1;
        }
    }
    eprintln!("{made} made, {refused} refused, {} swaps", swapper.count());
    assert!(made > 0 && refused > 0, "no race: {made} made, {refused} refused");
}
