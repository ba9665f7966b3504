//! `linux.namespaces`, `linux.uidMappings`, `linux.gidMappings` and
//! `linux.netDevices` of `config.json`.

#![cfg(test)]

mod bundle;

use std::collections::BTreeMap;
use std::process::{Child, Command};

use bundle::{Bundle, Census, eventually};
use serde_json::json;

const NAMES: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
    ("user", "user"),
    ("time", "time"),
];

const REPORT: &str = "for n in pid net ipc uts mnt cgroup user time; do \
    echo $n $(readlink /proc/self/ns/$n); done";

fn reported(lines: &[String]) -> BTreeMap<String, String> {
    let pairs = lines.iter().filter_map(|line| line.split_once(' '));
    pairs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
}

fn own() -> BTreeMap<String, String> {
    NAMES
        .iter()
        .map(|(_, file)| {
            let id = std::fs::read_link(format!("/proc/self/ns/{file}")).unwrap();
            ((*file).to_owned(), id.display().to_string())
        })
        .collect()
}

/// A process in namespaces of its own, to be joined.
struct Holder(Child);

impl Holder {
    fn new(flags: &[&str]) -> Self {
        let child = Command::new("unshare").args(flags).args(["sleep", "1000"]).spawn().unwrap();
        let holder = Self(child);
        let comm = format!("/proc/{}/comm", holder.0.id());
        eventually("sleep runs", || std::fs::read_to_string(&comm).is_ok_and(|c| c == "sleep\n"));
        holder
    }

    fn path(&self, file: &str) -> String {
        format!("/proc/{}/ns/{file}", self.0.id())
    }

    fn id(&self, file: &str) -> String {
        std::fs::read_link(self.path(file)).unwrap().display().to_string()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn asked_for_namespaces_are_new_and_the_others_the_runtimes() {
    let own = own();
    for (kind, file) in NAMES {
        if kind == "mount" || kind == "user" {
            continue;
        }
        let mut bundle = Bundle::script(REPORT);
        bundle.namespace(kind, None);
        let new = reported(&bundle.run().lines());
        assert_ne!(new[file], own[file], "{kind} is new");
        bundle.without_namespace(kind);
        if kind == "uts" {
            bundle.config.as_object_mut().unwrap().remove("hostname");
        }
        if kind == "network" {
            // sysfs shows the network namespace that it is mounted in.
            let mounts = bundle.config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["type"] != "sysfs");
        }
        let old = reported(&bundle.run().lines());
        assert_eq!(old[file], own[file], "{kind} is the runtime's");
    }
}

#[test]
fn a_container_without_a_mount_namespace_gets_a_changed_root() {
    let mut bundle = Bundle::script("ls /");
    bundle.without_namespace("mount");
    let before = Census::take(&bundle);
    bundle.config["mounts"] = json!([]);
    assert!(bundle.run().lines().contains(&"bin".to_owned()));
    bundle.config["mounts"] = json!([{"destination": "/proc", "type": "proc", "source": "proc"}]);
    bundle.config["process"]["args"] = json!(["cat", "/proc/self/comm"]);
    assert_eq!(bundle.run().lines(), ["cat"]);
    assert_eq!(Census::take(&bundle), before, "mounts on the host are taken away");
}

#[test]
fn every_kind_of_namespace_can_be_joined_by_path() {
    let holder = Holder::new(&["--net", "--ipc", "--uts", "--cgroup"]);
    for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup")] {
        let mut bundle = Bundle::script(REPORT);
        bundle.namespace(kind, Some(&holder.path(file)));
        if kind == "uts" {
            bundle.config.as_object_mut().unwrap().remove("hostname");
        }
        assert_eq!(reported(&bundle.run().lines())[file], holder.id(file), "{kind}");
    }
}

#[test]
fn a_time_namespace_can_be_joined() {
    let mut first = Bundle::sleeper();
    first.namespace("time", None);
    first.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 7_000_000, "nanosecs": 0}});
    first.started();
    let mut bundle = Bundle::script("cat /proc/uptime");
    bundle.namespace("time", Some(&format!("/proc/{}/ns/time", first.pid())));
    let lines = bundle.run().lines();
    let uptime: f64 = lines[0].split(' ').next().unwrap().parse().unwrap();
    assert!(uptime > 7_000_000.0, "{uptime}");
}

#[test]
fn a_pid_namespace_can_be_joined() {
    let first = Bundle::sleeper();
    first.started();
    let pid = first.pid();
    let mut second =
        Bundle::script("readlink /proc/self/ns/pid; cat /proc/1/cmdline | tr '\\0' ' '");
    second.namespace("pid", Some(&format!("/proc/{pid}/ns/pid")));
    let lines = second.run().lines();
    let wanted = std::fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap();
    assert_eq!(lines[0], wanted.display().to_string());
    assert!(lines[1].starts_with("sh -c trap"), "PID 1 is the other's: {lines:?}");
    // Hooks of a container that joins run where the runtime runs.
    let mut third = Bundle::sleeper();
    third.namespace("pid", Some(&format!("/proc/{pid}/ns/pid")));
    third.started();
    assert_eq!(third.exec(&["readlink", "/proc/self/ns/pid"]).lines(), [lines[0].as_str()]);
    third.kill("KILL").ok();
    third.await_status("stopped");
    assert_eq!(first.status(), "running");
}

#[test]
fn a_mount_namespace_can_be_joined() {
    let holder = Holder::new(&["--mount"]);
    let mut bundle = Bundle::script("readlink /proc/self/ns/mnt");
    bundle.namespace("mount", Some(&holder.path("mnt")));
    assert_eq!(bundle.run().lines(), [holder.id("mnt")]);
}

#[test]
fn a_path_that_is_no_namespace_of_this_kind_is_refused() {
    for (path, word) in [
        ("/no/such/namespace", "no such file or directory"),
        ("/proc/self/ns/uts", "invalid argument"),
        ("/etc/passwd", "invalid argument"),
    ] {
        let mut bundle = Bundle::new();
        bundle.namespace("network", Some(path));
        bundle.run().refused(&["network", path, word]);
    }
}

#[test]
fn ids_are_mapped_as_said() {
    let mut bundle = Bundle::script(
        "cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c %u /bin/busybox; stat -c %u /proc/1",
    );
    bundle.user_namespace(200_000);
    bundle.config["linux"]["uidMappings"] = json!([
        {"containerID": 0, "hostID": 200_000, "size": 1000},
        {"containerID": 1000, "hostID": 300_000, "size": 10}]);
    bundle.config["linux"]["gidMappings"] =
        json!([{"containerID": 0, "hostID": 210_000, "size": 5}]);
    let lines: Vec<String> = bundle
        .run()
        .lines()
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(lines, ["0 200000 1000", "1000 300000 10", "0 210000 5", "0", "0", "0"]);
}

#[test]
fn a_process_in_a_user_namespace_has_the_mapped_ids_outside() {
    let mut bundle = Bundle::sleeper();
    bundle.user_namespace(200_000);
    bundle.config["process"]["user"] = json!({"uid": 7, "gid": 8, "additionalGids": [9]});
    bundle.started();
    let status = std::fs::read_to_string(format!("/proc/{}/status", bundle.pid())).unwrap();
    assert_eq!(bundle::proc_field(&status, "Uid"), "200007\t200007\t200007\t200007");
    assert_eq!(bundle::proc_field(&status, "Gid"), "200008\t200008\t200008\t200008");
    assert_eq!(bundle::proc_field(&status, "Groups"), "200009");
    let lines =
        bundle.exec_with(&["-u", "0:0"], &["sh", "-c", "id -u; cat /proc/self/uid_map"]).lines();
    assert_eq!(lines[0], "0");
    assert!(lines[1].contains("200000"), "{lines:?}");
}

#[test]
fn namespaces_made_with_a_user_namespace_belong_to_it() {
    let mut bundle =
        Bundle::script("hostname renamed && hostname; mount -t tmpfs t /mnt && echo mounted");
    bundle.user_namespace(200_000);
    bundle.capabilities(&["CAP_SYS_ADMIN"]);
    assert_eq!(bundle.run().lines(), ["renamed", "mounted"]);
}

#[test]
fn bind_mounts_into_a_user_namespace_may_come_from_where_it_has_no_access() {
    let mut bundle = Bundle::script("cat /mnt/file");
    bundle.user_namespace(200_000);
    let closed = bundle.path().join("closed/inner");
    std::fs::create_dir_all(&closed).unwrap();
    std::fs::write(closed.join("file"), "seen\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(bundle.path().join("closed"), mode).unwrap();
    bundle.mount(json!({"destination": "/mnt", "source": closed, "options": ["rbind", "ro"]}));
    assert_eq!(bundle.run().lines(), ["seen"]);
}

#[test]
fn a_user_namespace_can_be_joined_with_and_without_others() {
    let mut first = Bundle::sleeper();
    first.user_namespace(200_000);
    first.started();
    let pid = first.pid();
    let path = |file: &str| format!("/proc/{pid}/ns/{file}");
    let id = |file: &str| std::fs::read_link(path(file)).unwrap().display().to_string();
    for joined in [&[][..], &[("network", "net"), ("ipc", "ipc")], &[("pid", "pid")]] {
        let mut bundle = Bundle::script(&format!("{REPORT}; id -u; cat /proc/self/uid_map"));
        bundle.user_namespace(200_000);
        bundle.config["linux"].as_object_mut().unwrap().remove("uidMappings");
        bundle.config["linux"].as_object_mut().unwrap().remove("gidMappings");
        bundle.namespace("user", Some(&path("user")));
        for (kind, file) in joined {
            bundle.namespace(kind, Some(&path(file)));
        }
        let lines = bundle.run().lines();
        let seen = reported(&lines);
        assert_eq!(seen["user"], id("user"), "{joined:?}");
        for (_, file) in joined {
            assert_eq!(seen[*file], id(file), "{joined:?}");
        }
        assert_ne!(seen["mnt"], id("mnt"));
        assert_eq!(lines[8], "0");
        assert!(lines[9].contains("200000"), "{lines:?}");
    }
}

#[test]
fn a_new_user_namespace_goes_with_joined_ones() {
    let holder = Holder::new(&["--uts"]);
    let mut bundle = Bundle::script(REPORT);
    bundle.user_namespace(200_000);
    bundle.config.as_object_mut().unwrap().remove("hostname");
    bundle.namespace("uts", Some(&holder.path("uts")));
    let seen = reported(&bundle.run().lines());
    assert_eq!(seen["uts"], holder.id("uts"));
    assert_ne!(seen["user"], own()["user"]);
}

#[test]
fn the_loopback_interface_of_a_new_network_namespace_is_up() {
    let bundle = Bundle::script("ip addr show lo");
    let text = bundle.run().ok().stdout();
    assert!(text.contains("UP") && text.contains("127.0.0.1"), "{text}");
}

#[test]
fn network_devices_are_moved_and_renamed() {
    let mut bundle =
        Bundle::script("ip -o addr show; cat /sys/class/net/inside/operstate; ls /sys/class/net");
    bundle.prelude = Some(
        "ip link add cs-one type veth peer name cs-two; ip link set cs-two up
         ip addr add 10.9.8.7/24 dev cs-one; ip link set cs-one up
         ip link add cs-three type veth peer name cs-four"
            .into(),
    );
    bundle.config["linux"]["netDevices"] = json!({"cs-one": {"name": "inside"}, "cs-three": {}});
    let text = bundle.run().ok().stdout();
    assert!(text.contains("10.9.8.7/24"), "{text}");
    for (word, wanted) in [("inside", true), ("cs-three", true), ("cs-one", false)] {
        assert_eq!(text.lines().any(|line| line == word), wanted, "{word}: {text}");
    }
    bundle.config["linux"]["netDevices"] = json!({"no-such-device": {}});
    bundle.run().refused(&["no-such-device"]);
}
