//! Images that try to lead the runtime's path access elsewhere: links and
//! odd files at every place that the runtime mounts on, makes or reads (the
//! classes of CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642,
//! CVE-2025-31133, CVE-2025-52565, CVE-2025-52881, youki CVE-2025-62161 and
//! CVE-2025-62596, CVE-2023-25809, CVE-2024-45310). Needs root.
//!
//! Writes of labels are attacked in `caisson-rootpath`'s tests: they go
//! through its procfs handle, and few test machines run AppArmor or SELinux.

#![cfg(test)]

mod attacker;
mod bundle;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use attacker::after;
use bundle::{Bundle, cgroups_named};
use serde_json::json;

/// A directory of the host that nobody may touch, with a file in it.
struct Host {
    dir: PathBuf,
}

impl Host {
    fn beside(bundle: &Bundle) -> Self {
        let dir = bundle.path().join("host");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("file"), "untouched").unwrap();
        Self { dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.join("file")
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["file"]);
        assert_eq!(fs::read_to_string(self.file()).unwrap(), "untouched");
        let meta = fs::metadata(self.file()).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o7777, meta.nlink()), (0, 0o644, 1));
    }
}

/// Ways from inside a root file system to a host path, as images write them.
fn ways_to(host: &Path) -> [String; 2] {
    let path = host.to_str().unwrap();
    [path.to_owned(), format!("{}{path}", "../".repeat(20))]
}

fn without_mount(bundle: &mut Bundle, destination: &str) {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != destination);
}

fn replace(path: &Path, target: impl AsRef<Path>) {
    let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
    symlink(target, path).unwrap();
}

#[test]
fn proc_and_sys_are_not_mounted_where_a_link_leads() {
    for place in ["proc", "sys"] {
        for target in ["tmp", "/tmp", "../../tmp", "dev", "/nowhere"] {
            let bundle = Bundle::script("echo RAN");
            replace(&bundle.rootfs().join(place), target);
            let ended = bundle.run();
            assert!(!ended.stdout().contains("RAN"), "{place} -> {target}");
            assert!(ended.fails(1).contains("symbolic link"), "{place} -> {target}");
        }
    }
}

#[test]
fn nothing_is_mounted_inside_procfs() {
    let inside =
        ["/proc/self/attr", "/proc/1/attr", "/proc/sys/net", "/proc/self/fd", "/proc/version"];
    for target in inside {
        for kind in ["tmpfs", "bind"] {
            for by_link in [true, false] {
                let mut bundle = Bundle::script("echo RAN");
                let host = Host::beside(&bundle);
                let destination = if by_link { "/mnt/door" } else { target };
                if by_link {
                    symlink(target, bundle.rootfs().join("mnt/door")).unwrap();
                }
                let is_file = target.ends_with("version");
                let source = if is_file { host.file() } else { host.dir.clone() };
                if is_file && kind == "tmpfs" {
                    continue;
                }
                let mount = json!({"destination": destination, "type": kind, "source": source,
                    "options": if kind == "bind" { json!(["rbind"]) } else { json!([]) }});
                bundle.mount(mount);
                let ended = bundle.run();
                assert_ne!(ended.code(), 0, "{kind} at {target}, by link: {by_link}");
                assert!(!ended.stdout().contains("RAN"));
            }
        }
    }
}

#[test]
fn only_procfs_is_mounted_at_proc() {
    for (kind, before) in [("tmpfs", true), ("tmpfs", false), ("bind", true), ("bind", false)] {
        let mut bundle = Bundle::script("echo RAN");
        let host = Host::beside(&bundle);
        let options = if kind == "bind" { json!(["bind"]) } else { json!([]) };
        let mount = json!({"destination": "/x/../proc/.", "type": kind, "source": host.dir, "options": options});
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.insert(if before { 0 } else { mounts.len() }, mount);
        assert_ne!(bundle.run().code(), 0, "{kind}, before proc: {before}");
    }
}

#[test]
fn destinations_stay_inside_whatever_links_say() {
    for kind in ["tmpfs", "bind", "file"] {
        let probe = Bundle::new();
        let host = Host::beside(&probe);
        for way in ways_to(&host.dir) {
            let mut bundle = Bundle::new();
            let rootfs = bundle.rootfs();
            symlink(&way, rootfs.join("mnt/link")).unwrap();
            symlink(format!("{way}/new/deeper"), rootfs.join("mnt/dangling")).unwrap();
            symlink(format!("{way}/file"), rootfs.join("mnt/to-file")).unwrap();
            let source =
                if kind == "file" { json!("/etc/passwd") } else { json!("/var/empty-or-not") };
            let source = if kind == "bind" { json!(rootfs.join("tmp")) } else { source };
            let options = if kind == "tmpfs" { json!([]) } else { json!(["bind"]) };
            for destination in [
                "/mnt/link/made",
                "/mnt/dangling",
                "/mnt/to-file/../made2",
                "/mnt/link/../../../made3",
            ] {
                let kind = if kind == "tmpfs" { "tmpfs" } else { "bind" };
                bundle.mount(json!({"destination": destination, "type": kind, "source": source, "options": options}));
            }
            bundle.run().ok();
            host.assert_untouched();
        }
    }
}

/// What `/dev/null` is, the image does not decide: not for masked paths, and
/// not for the device.
#[test]
fn masked_paths_are_covered_by_the_real_null() {
    let probe = Bundle::new();
    let host = Host::beside(&probe);
    let [absolute, relative] = ways_to(&host.file());
    for null in
        [absolute.as_str(), &relative, "/etc/passwd", "/proc/sys/kernel/hostname", "FILE", "DIR"]
    {
        for own_dev in [true, false] {
            let script = "stat -c '%F %t:%T' /proc/version /secret; wc -c </secret; ls /hidden; echo x >/secret";
            let mut bundle = Bundle::script(script);
            let rootfs = bundle.rootfs();
            if own_dev {
                without_mount(&mut bundle, "/dev");
                without_mount(&mut bundle, "/dev/pts");
            }
            let place = rootfs.join("dev/null");
            match null {
                "FILE" => fs::write(place, "not null").unwrap(),
                "DIR" => fs::create_dir(place).unwrap(),
                link => symlink(link, place).unwrap(),
            }
            fs::write(rootfs.join("secret"), "secret").unwrap();
            fs::create_dir(rootfs.join("hidden")).unwrap();
            fs::write(rootfs.join("hidden/file"), "secret").unwrap();
            bundle.config["linux"]["maskedPaths"] =
                json!(["/proc/version", "/secret", "/hidden", "/absent"]);
            let ended = bundle.run();
            if own_dev {
                assert_ne!(ended.code(), 0, "{null}: a device that is none was accepted");
            } else {
                let said = ended.ok().stdout();
                let null = "character special file 1:3";
                assert_eq!(said.lines().collect::<Vec<_>>(), [null, null, "0"]);
            }
            host.assert_untouched();
        }
    }
}

/// CVE-2025-52565: where the terminal is mounted, an image may have a link.
#[test]
fn the_console_does_not_follow_a_link_out_or_into_procfs() {
    let probe = Bundle::new();
    let host = Host::beside(&probe);
    let [absolute, relative] = ways_to(&host.file());
    let links = [absolute.as_str(), &relative, "/proc/sys/kernel/core_pattern", "/proc/version"];
    for (index, link) in links.into_iter().enumerate() {
        let mut bundle = Bundle::script("sleep 1000");
        bundle.config["process"]["terminal"] = json!(true);
        without_mount(&mut bundle, "/dev");
        fs::create_dir(bundle.rootfs().join("dev/pts")).unwrap();
        symlink(link, bundle.rootfs().join("dev/console")).unwrap();
        let socket = bundle.path().join("tty");
        let _listener = UnixListener::bind(&socket).unwrap();
        let ended = bundle.create_with(&["--console-socket", socket.to_str().unwrap()]);
        host.assert_untouched();
        if index < 2 {
            ended.ok();
            let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", bundle.pid())).unwrap();
            let host = bundle.rootfs().join(host.file().strip_prefix("/").unwrap());
            assert!(host.exists(), "the link was not followed inside");
            assert!(mounts.contains("devpts"), "{mounts}");
        } else {
            ended.fails(1);
        }
    }
}

#[test]
fn images_with_odd_directories_stay_inside() {
    for way in 0..2 {
        let probe = Bundle::new();
        let host = Host::beside(&probe);
        let way = &ways_to(&host.dir)[way];
        let cases: [(&str, &str); 6] = [
            ("dev", "/"),
            ("dev", way),
            ("etc", way),
            ("tmp", way),
            ("mnt", "/proc/self/root"),
            ("dev/pts", way),
        ];
        for (place, target) in cases {
            let mut bundle = Bundle::script("true");
            if place.starts_with("dev") {
                without_mount(&mut bundle, "/dev");
            }
            if place == "mnt" {
                bundle.mount(json!({"destination": "/mnt/x", "type": "tmpfs", "source": "tmpfs"}));
            }
            replace(&bundle.rootfs().join(place), target);
            bundle.config["process"]["cwd"] = json!("/tmp/made/by/runtime");
            let ended = bundle.run();
            eprintln!("{place} -> {target}: exit {}", ended.code());
            host.assert_untouched();
        }
    }
}

#[test]
fn cgroup_mounts_and_paths_stay_inside() {
    let mut bundle = Bundle::script("cat /proc/self/cgroup");
    let host = Host::beside(&bundle);
    without_mount(&mut bundle, "/sys");
    fs::create_dir(bundle.rootfs().join("sys/fs")).unwrap();
    symlink(&ways_to(&host.dir)[1], bundle.rootfs().join("sys/fs/cgroup")).unwrap();
    bundle.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}));
    let climb = format!("/../../../../../..{}/made/{}", host.dir.display(), bundle.id);
    bundle.config["linux"]["cgroupsPath"] = json!(climb);
    bundle.run().ok();
    host.assert_untouched();
    let _ = cgroups_named(&bundle.id);
    let sleeper = Bundle::sleeper();
    sleeper.started();
    for way in ["..", "../..", "/../x", "a/../../..", "memory:../.."] {
        let ended = sleeper.exec_with(&["--cgroup", way], &["touch", "/tmp/ran"]);
        assert_ne!(ended.code(), 0, "--cgroup {way}");
    }
    assert!(!sleeper.rootfs().join("tmp/ran").exists());
    // Parents that the path of the first container made.
    remove_empty_cgroups(&host.dir);
}

fn remove_empty_cgroups(below: &Path) {
    let name = below.components().nth(2).unwrap().as_os_str().to_str().unwrap().to_owned();
    for found in cgroups_named(&name) {
        for dir in [found.join("host/made"), found.join("host"), found] {
            let _ = fs::remove_dir(dir);
        }
    }
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().filter_map(Result::ok) {
        let _ = fs::remove_dir(hierarchy.path().join("tmp"));
    }
}

/// CVE-2023-25809: a user without cgroups is shown the host's, which hold
/// other cgroups of the same user, without being able to change them.
#[test]
fn the_hosts_cgroups_are_read_only_to_users() {
    const USER: u32 = 4243;
    let hierarchies: Vec<_> = fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .filter(|line| line.contains(" - cgroup"))
        .map(|line| line.split(' ').nth(4).unwrap().to_owned())
        .collect();
    let delegated: Vec<PathBuf> = hierarchies
        .iter()
        .map(|h| Path::new(h).join(format!("caisson-delegated-{}", std::process::id())))
        .collect();
    for dir in &delegated {
        fs::create_dir(dir).unwrap();
        std::os::unix::fs::chown(dir, Some(USER), Some(USER)).unwrap();
    }
    let name = delegated[0].file_name().unwrap().to_str().unwrap().to_owned();
    let script = format!(
        "for d in $(find /sys/fs/cgroup -name {name}); do echo SEEN; mkdir $d/made && echo MADE; done; exit 0"
    );
    let mut bundle = Bundle::script(&script);
    bundle.namespace("user", None);
    bundle.without_namespace("cgroup");
    let map = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    bundle.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}));
    bundle.write_config();
    let owner = format!("{USER}:{USER}");
    Command::new("chown").args(["-R", &owner]).arg(bundle.path()).status().unwrap();
    let path = bundle.path().to_str().unwrap();
    let mut command = bundle.command(&["run", "-b", path, &bundle.id]);
    command.uid(USER).gid(USER);
    let ended = bundle.finish(command);
    for dir in &delegated {
        let _ = fs::remove_dir(dir.join("made"));
        fs::remove_dir(dir).unwrap();
    }
    let said = ended.ok().stdout();
    if !said.contains("SEEN") {
        println!("not shown on this machine: the user's container had cgroups of its own");
    }
    assert!(!said.contains("MADE"), "{said}");
}

/// Without a mount namespace nothing but chroot keeps processes inside.
#[test]
fn without_a_mount_namespace_exec_stays_in_the_root() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    bundle.config["mounts"] = json!([]);
    bundle.without_namespace("mount");
    let host = Host::beside(&bundle);
    bundle.started();
    let ended = bundle.exec(&["cat", host.file().to_str().unwrap()]);
    assert_ne!(ended.code(), 0, "the host's file was read: {}", ended.stdout());
    bundle.exec(&["touch", "/tmp/inside"]).ok();
    assert!(bundle.rootfs().join("tmp/inside").exists());
}

/// Files that the runtime reads from an image: no hang, no memory, no escape.
#[test]
fn passwd_may_be_anything() {
    let probe = Bundle::new();
    let host = Host::beside(&probe);
    fs::write(host.dir.join("file"), "untouched").unwrap();
    for kind in ["fifo", "sparse", "directory", "zero", "link-out", "long-line"] {
        let bundle = Bundle::script("echo home is $HOME");
        let passwd = bundle.rootfs().join("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        match kind {
            "fifo" => {
                Command::new("mkfifo").arg(&passwd).status().unwrap();
            }
            "sparse" => fs::File::create(&passwd).unwrap().set_len(10 << 30).unwrap(),
            "directory" => fs::create_dir(&passwd).unwrap(),
            "zero" => symlink("/dev/zero", &passwd).unwrap(),
            "link-out" => symlink(&ways_to(&host.file())[1], &passwd).unwrap(),
            _ => fs::write(&passwd, vec![b':'; 2 << 20]).unwrap(),
        }
        bundle.write_config();
        let path = bundle.path().to_str().unwrap();
        let begun = Instant::now();
        let args = ["run", "-b", path, &bundle.id];
        let said = bundle.finish(after(&bundle, "ulimit -v 100000", &args)).ok().stdout();
        assert_eq!(said.trim(), "home is /", "{kind}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{kind}");
    }
}

/// Sysctls go to the container's namespaces whatever its /proc looks like.
#[test]
fn sysctls_are_those_of_the_container() {
    let read = || fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
    let before = read();
    let mut bundle = Bundle::script("cat /proc/sys/net/ipv4/ip_default_ttl");
    let fake = bundle.rootfs().join("proc/sys/net/ipv4");
    fs::create_dir_all(&fake).unwrap();
    fs::write(fake.join("ip_default_ttl"), "0").unwrap();
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_default_ttl": "77"});
    assert_eq!(bundle.run().ok().stdout().trim(), "77");
    assert_eq!(read(), before);
    assert_eq!(fs::read_to_string(fake.join("ip_default_ttl")).unwrap(), "0");
}

/// `tmpcopyup` copies what is there, and follows nothing.
#[test]
fn copying_up_follows_no_links() {
    let mut bundle =
        Bundle::script("readlink /mnt/out; cat /mnt/out/file /mnt/file; ls /mnt/dir; true");
    let host = Host::beside(&bundle);
    let mnt = bundle.rootfs().join("mnt");
    symlink(&host.dir, mnt.join("out")).unwrap();
    symlink(host.file(), mnt.join("file")).unwrap();
    fs::create_dir(mnt.join("dir")).unwrap();
    Command::new("mkfifo").arg(mnt.join("fifo")).status().unwrap();
    fs::set_permissions(mnt.join("dir"), PermissionsExt::from_mode(0o700)).unwrap();
    bundle.mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
    let said = bundle.run().ok().stdout();
    assert_eq!(said.trim(), host.dir.to_str().unwrap());
    host.assert_untouched();
}

/// Who can write state decides what `delete` runs and removes as root.
#[test]
fn the_state_is_nobody_elses_whatever_the_callers_umask() {
    let mut bundle = Bundle::sleeper();
    bundle.prelude = Some("umask 0".to_owned());
    bundle.globals = vec!["--root".to_owned(), format!("{}/new/state", bundle.path().display())];
    bundle.create().ok();
    let root = bundle.path().join("new/state");
    let own = root.join(&bundle.id);
    for (dir, others) in [(bundle.path().join("new"), 0o11), (root, 0o11), (own, 0)] {
        let mode = fs::metadata(&dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, others, "{}: {mode:o}", dir.display());
    }
    bundle.call(&["delete", "--force", &bundle.id]).ok();
}
