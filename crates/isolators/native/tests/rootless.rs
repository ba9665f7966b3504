//! Containers of users: without any right, with subordinate ids, and as root
//! of a user namespace. The runtime's binary is the user's own.

#![cfg(test)]

mod bundle;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use bundle::{Bundle, Ended, RUNTIME};
use serde_json::{Value, json};

/// An id that no account has; what lies below `/etc` does not matter.
const ID: &str = "65510";
/// Where the subordinate ids of the test's account begin.
const FIRST_SUBORDINATE: u32 = 700_000;

/// A bundle that belongs to an ordinary user, who runs his own copy of the
/// runtime.
struct User {
    bundle: Bundle,
    /// Keeps the user namespace open in which the runtime is root, if it is.
    holder: Option<Child>,
    /// Whether the user has an account with subordinate ids.
    has_account: bool,
}

impl User {
    fn new() -> Self {
        let bundle = Bundle::new();
        let mut user = Self { bundle, holder: None, has_account: false };
        std::fs::copy(RUNTIME, user.runtime()).unwrap();
        std::fs::create_dir(user.xdg()).unwrap();
        let owner = format!("{ID}:{ID}");
        let owned = Command::new("chown").args(["-R", &owner]).arg(user.bundle.path()).status();
        assert!(owned.unwrap().success());
        std::fs::set_permissions(user.xdg(), PermissionsExt::from_mode(0o700)).unwrap();
        user.call(&["spec", "--rootless"]).ok();
        let text = std::fs::read_to_string(user.bundle.path().join("config.json")).unwrap();
        user.bundle.config = serde_json::from_str(&text).unwrap();
        user.bundle.config["process"]["terminal"] = json!(false);
        user.bundle.config["root"]["readonly"] = json!(false);
        user
    }

    /// Has the runtime run as root of a user namespace from here on.
    fn in_user_namespace(mut self) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", ID, "--regid", ID, "--clear-groups"]);
        let holder = command.args(["unshare", "-Ur", "sleep", "1000"]).spawn().unwrap();
        let comm = format!("/proc/{}/comm", holder.id());
        self.holder = Some(holder);
        let sleeps = || std::fs::read_to_string(&comm).is_ok_and(|name| name == "sleep\n");
        bundle::eventually("the user namespace stands", sleeps);
        self
    }

    fn runtime(&self) -> PathBuf {
        self.bundle.path().join("runtime")
    }

    fn xdg(&self) -> PathBuf {
        self.bundle.path().join("xdg")
    }

    /// The state directory that is the default for users.
    fn states(&self) -> PathBuf {
        self.xdg().join("caisson/native")
    }

    fn script(mut self, text: &str) -> Self {
        self.bundle.config["process"]["args"] = json!(["sh", "-c", text]);
        self
    }

    /// An account in a private view of `/etc`, as newuidmap(1) wants one.
    fn with_account(mut self) -> Self {
        self.has_account = true;
        let etc = self.bundle.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
        let account = format!("caisson-user:x:{ID}:{ID}::/:/bin/sh\n");
        std::fs::write(etc.join("passwd"), accounts + &account).unwrap();
        for file in ["subuid", "subgid"] {
            let range = format!("caisson-user:{FIRST_SUBORDINATE}:65536\n");
            std::fs::write(etc.join(file), range).unwrap();
        }
        self
    }

    /// Maps root to the user, and further ids to the subordinate ones.
    fn map_many(&mut self, first: u32) {
        let map = json!([
            {"containerID": 0, "hostID": ID.parse::<u32>().unwrap(), "size": 1},
            {"containerID": 1, "hostID": first, "size": 65536}
        ]);
        self.bundle.config["linux"]["uidMappings"] = map.clone();
        self.bundle.config["linux"]["gidMappings"] = map;
    }

    /// No user namespace but the one that the runtime is in.
    fn without_user_namespace(&mut self) {
        self.bundle.without_namespace("user");
        let linux = self.bundle.config["linux"].as_object_mut().unwrap();
        linux.remove("uidMappings");
        linux.remove("gidMappings");
    }

    fn call(&self, args: &[&str]) -> Ended {
        let mut command = Command::new("unshare");
        let etc = if self.has_account {
            "for f in passwd subuid subgid; do mount --bind $B/etc/$f /etc/$f; done"
        } else {
            ""
        };
        let script = format!("set -e\ncd $B\n{etc}\nexec \"$@\"");
        command.args(["-m", "--propagation", "private", "sh", "-c", &script, "sh", "setpriv"]);
        command.args(["--reuid", ID, "--regid", ID, "--clear-groups", "env", "-i"]);
        command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]);
        command.arg(format!("XDG_RUNTIME_DIR={}", self.xdg().display()));
        if let Some(holder) = &self.holder {
            let pid = holder.id().to_string();
            command.args(["nsenter", "--preserve-credentials", "-U", "-t", &pid]);
        }
        command.arg(self.runtime()).args(args);
        command.env("B", self.bundle.path()).stdin(std::process::Stdio::null());
        self.bundle.finish(command)
    }

    fn run(&self) -> Ended {
        self.bundle.write_config();
        self.call(&["run", &self.bundle.id])
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state", &self.bundle.id]).ok().stdout()).unwrap()
    }

    /// From `create` to `delete`, with all between; `user` is who is inside.
    fn live(&mut self, user: &str) {
        let id = self.bundle.id.clone();
        let id = id.as_str();
        self.bundle.config["process"]["args"] = json!(["sleep", "1000"]);
        self.bundle.write_config();
        let pid_file = self.xdg().join("pid");
        self.call(&["create", "--pid-file", pid_file.to_str().unwrap(), id]).ok();
        let state = self.state();
        assert_eq!(state["status"], "created");
        assert_eq!(std::fs::read_to_string(pid_file).unwrap(), state["pid"].to_string());
        assert!(self.states().join(id).is_dir(), "state lies below $XDG_RUNTIME_DIR");
        // The user's own binary is out of the container's reach.
        let image = std::fs::read_link(format!("/proc/{}/exe", state["pid"])).unwrap();
        assert_ne!(image, self.runtime());
        let early = self.call(&["exec", id, "id", "-u"]).ok();
        assert_eq!(early.stdout().trim(), user, "exec comes before start");
        self.call(&["start", id]).ok();
        assert_eq!(self.state()["status"], "running");
        let ended = self.call(&["exec", id, "sh", "-c", "id -u; echo $$; exit 7"]);
        assert_eq!(ended.code(), 7, "{}", ended.stderr());
        let text = ended.stdout();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], user);
        assert_ne!(lines[1], "1", "exec is in the PID namespace, beside the first process");
        assert!(lines[1].parse::<u32>().unwrap() < 100, "{lines:?}");
        self.call(&["kill", id, "KILL"]).ok();
        bundle::eventually("it stops", || self.state()["status"] == "stopped");
        self.call(&["delete", id]).ok();
        assert_eq!(std::fs::read_dir(self.states()).unwrap().count(), 0);
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if self.states().join(&self.bundle.id).exists() {
            self.call(&["delete", "--force", &self.bundle.id]);
        }
        if let Some(mut holder) = self.holder.take() {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

#[test]
fn a_user_without_any_right_runs_a_container() {
    let user =
        User::new().script("id -u; id -g; cat /proc/self/setgroups; wc -l </proc/self/uid_map");
    assert_eq!(user.run().ok().lines(), ["0", "0", "deny", "1"]);
}

#[test]
fn a_user_without_any_right_has_the_whole_life_cycle() {
    User::new().live("0");
}

#[test]
fn limits_that_a_user_cannot_set_are_refused() {
    let mut user = User::new();
    user.bundle.config["linux"]["resources"] = json!({"memory": {"limit": 100_000_000}});
    user.run().refused(&["linux.resources.memory"]);
}

#[test]
fn what_takes_root_is_refused_by_its_place() {
    let mut user = User::new();
    user.without_user_namespace();
    user.run().refused(&["linux.namespaces", "user namespace"]);
    let mut user = User::new();
    user.bundle.namespace("network", None);
    user.bundle.config["linux"]["netDevices"] = json!({"lo": {"name": "lo9"}});
    user.run().refused(&["linux.netDevices"]);
}

#[test]
fn ids_that_a_user_does_not_have_are_refused() {
    let mut user = User::new().with_account();
    user.map_many(900_000);
    user.run().refused(&["newuidmap", "/etc/subuid"]);
    let mut stranger = User::new();
    stranger.map_many(FIRST_SUBORDINATE);
    stranger.run().refused(&["newuidmap"]);
}

#[test]
fn subordinate_ids_are_mapped() {
    let mut user =
        User::new().with_account().script("id; cat /proc/self/uid_map /proc/self/setgroups");
    user.map_many(FIRST_SUBORDINATE);
    user.bundle.config["process"]["user"] = json!({"uid": 5, "gid": 7, "additionalGids": [9]});
    let text = user.run().ok().stdout();
    let words: Vec<_> = text.split_whitespace().collect();
    let wanted = format!("uid=5 gid=7 groups=7,9 0 {ID} 1 1 {FIRST_SUBORDINATE} 65536 allow");
    // busybox shows the primary group among the groups or not, by version.
    assert_eq!(words.join(" ").replace("groups=9", "groups=7,9"), wanted);
}

#[test]
fn a_user_with_subordinate_ids_has_the_whole_life_cycle() {
    let mut user = User::new().with_account();
    user.map_many(FIRST_SUBORDINATE);
    user.bundle.config["process"]["user"] = json!({"uid": 5, "gid": 7});
    user.live("5");
}

#[test]
fn root_of_a_user_namespace_needs_no_other() {
    let mut user = User::new()
        .in_user_namespace()
        .script("cat /proc/self/uid_map; test -c /dev/null && echo x >/dev/null; ls /dev/pts/ptmx");
    user.without_user_namespace();
    let text = user.run().ok().stdout();
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", ID, "1", "/dev/pts/ptmx"]);
    user.live("0");
}

#[test]
fn devices_are_the_hosts_where_nodes_cannot_be_made() {
    let mut user = User::new()
        .in_user_namespace()
        .script("test -c /dev/net-tun; echo $?; test -p /dev/x/pipe; echo $?");
    user.without_user_namespace();
    user.bundle.config["linux"]["devices"] =
        json!([{"path": "/dev/x/pipe", "type": "p", "fileMode": 0o600}]);
    assert_eq!(user.run().ok().lines(), ["1", "0"]);
    // Another device of that name is not what was asked for.
    user.bundle.config["linux"]["devices"] =
        json!([{"path": "/dev/full", "type": "c", "major": 1, "minor": 3}]);
    user.run().refused(&["/dev/full", "another device"]);
}

#[test]
fn user_namespaces_nest() {
    let mut user = User::new().in_user_namespace();
    let map = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    user.bundle.config["linux"]["uidMappings"] = map.clone();
    user.bundle.config["linux"]["gidMappings"] = map;
    user.live("0");
}

#[test]
fn a_time_namespace_goes_with_a_user_namespace() {
    let mut user = User::new().script("cat /proc/self/timens_offsets");
    user.bundle.namespace("time", None);
    user.bundle.config["linux"]["timeOffsets"] =
        json!({"monotonic": {"secs": 1000, "nanosecs": 0}});
    let text = user.run().ok().stdout();
    assert!(text.split_whitespace().any(|word| word == "1000"), "{text}");
}
