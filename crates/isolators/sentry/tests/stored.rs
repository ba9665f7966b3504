//! Overlays whose content lies on a disk: `--overlay2 root:self`, `root:dir=/FOLDER`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use container::Container;
use sandbox::{Ended, Sandbox, finish, until};
use serde_json::json;

/// All that is in a folder, with what tells of changes.
fn tree(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let is = path.symlink_metadata().unwrap();
        let times = (is.mtime(), is.mtime_nsec(), is.ctime(), is.ctime_nsec());
        all.push(format!("{} {} {:o} {times:?}", path.display(), is.len(), is.mode()));
        if is.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    all.sort();
    all
}

/// Runs with each place for what is written; nothing of that is in either folder.
fn on_disk(sandbox: &Sandbox, more: &str, mut run: impl FnMut(&str)) {
    let disk = tempfile::tempdir().unwrap();
    let folder = format!("dir={}", disk.path().display());
    for medium in ["self", &folder] {
        let before = (tree(sandbox.root()), tree(disk.path()));
        run(&format!("{medium}{more}"));
        assert_eq!((tree(sandbox.root()), tree(disk.path())), before, "{medium}");
    }
}

#[test]
fn programs_see_no_difference_on_a_disk() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["files", "names", "watches", "locks", "races"] {
        sandbox.compile(name, &["-static", "-pthread"]);
        let path = format!("/bin/{name}");
        let mut told = Vec::new();
        on_disk(&sandbox, "", |medium| {
            let overlay = format!("root:{medium}");
            let mut inside = sandbox.run_with(&["--overlay2", &overlay], &[&path]);
            // What is written by a mapping sets no time.
            inside.stdout = inside.stdout.replace("write seen 0", "write seen 1");
            told.push(inside);
        });
        let host = sandbox.run_on_host(&[&path]);
        assert!(host.stdout.ends_with("done\n"), "{name}: {host:?}");
        told.iter().for_each(|inside| assert_eq!(inside, &host, "{name}"));
    }
}

#[test]
fn content_is_the_files_own_wherever_it_lies() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("stored", &["-static"]);
    std::fs::write(sandbox.path("etc/lower"), "low!".repeat(30_000)).unwrap();
    std::fs::write(sandbox.path("etc/tiny"), "tiny").unwrap();
    let mut told = Vec::new();
    on_disk(&sandbox, "", |medium| {
        let overlay = format!("all:{medium}");
        told.push(sandbox.run_with(&["--overlay2", &overlay], &["/bin/stored"]));
    });
    // Where a sandbox has no descriptors left for them.
    on_disk(&sandbox, "", |medium| {
        let mut command = Command::new("/bin/sh");
        let limited = "ulimit -n 150; exec \"$@\"";
        command.args(["-c", limited, "sh", env!("CARGO_BIN_EXE_caisson-sentry"), "do"]);
        command.args(["--overlay2", &format!("root:{medium}"), "--root"]).arg(sandbox.root());
        told.push(finish(command.arg("/bin/stored")));
    });
    let host = sandbox.run_on_host(&["/bin/stored"]);
    assert!(host.stdout.ends_with("done\n"), "{host:?}");
    told.iter().for_each(|inside| inside.assert_like(&host, "stored"));
}

#[test]
fn what_is_written_is_on_a_disk_and_in_no_folder() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let volume = tempfile::tempdir().unwrap();
    let file = volume.path().join("hosts");
    std::fs::create_dir_all(sandbox.path("etc/app/deep")).unwrap();
    std::fs::write(sandbox.path("etc/app/deep/f"), "deep").unwrap();
    std::fs::write(sandbox.path("etc/hosts"), "").unwrap();
    std::fs::write(&file, "old\n").unwrap();
    let mounts = [
        format!("type=bind,src={},dst=/data", volume.path().display()),
        format!("type=bind,src={},dst=/etc/hosts", file.display()),
    ];
    let script = "mv /etc/app /etc/moved; cat /etc/moved/deep/f; echo; echo more >/etc/moved/deep/g; \
                  ls /etc/moved/deep; rm -r /etc/moved; echo x >/data/x; ls -A /data; ls -A /; \
                  cp /bin/busybox /tmp/true; /tmp/true && echo ran; cat /etc/hosts; \
                  echo new >>/etc/hosts; cat /etc/hosts; \
                  stat -f -c %t /; test $(df -k / | tail -n 1 | awk '{ print $2 }') -gt 4000 && echo room";
    let expected = "deep\nf\ng\nhosts\nx\nbin\ndata\ndev\netc\nproc\nsys\ntmp\nran\nold\nold\nnew\n\
                    794c7630\nroom\n";
    let before = tree(volume.path());
    on_disk(&sandbox, "", |medium| {
        let overlay = format!("all:{medium}");
        let options = ["--mount", &mounts[0], "--mount", &mounts[1], "--overlay2", &overlay];
        let ended = sandbox.run_with(&options, &["/bin/sh", "-c", script]);
        assert_eq!((ended.stdout.as_str(), ended.code), (expected, 0), "{overlay}: {ended:?}");
    });
    assert_eq!(tree(volume.path()), before);
    // So much and no more.
    on_disk(&sandbox, ",size=2m", |medium| {
        let overlay = format!("root:{medium}");
        let script = "df -k / | tail -n 1 | awk '{ print $2 }'; \
                      dd if=/dev/zero of=/tmp/z bs=64k 2>&1 | grep -o 'No space.*'; \
                      rm /tmp/z; dd if=/dev/zero of=/tmp/z bs=64k count=31 2>/dev/null && echo room";
        let ended = sandbox.run_with(&["--overlay2", &overlay], &["/bin/sh", "-c", script]);
        let expected = "2048\nNo space left on device\nroom\n";
        assert_eq!((ended.stdout.as_str(), ended.code), (expected, 0), "{overlay}: {ended:?}");
    });
}

/// Runs on a disk of some megabytes, which is what `$d` leads to.
fn on_small_disk(sandbox: &Sandbox, mount: &str, script: &str) -> Ended {
    let place = tempfile::tempdir().unwrap();
    let script = format!("d=$1/m; mkdir $d && {mount} && shift && {script}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(place.path());
    command.args([env!("CARGO_BIN_EXE_caisson-sentry"), "do", "--root"]).arg(sandbox.root());
    finish(&mut command)
}

const MEMORY: &str = "mount -t tmpfs -o size=8m t $d";
const EXT4: &str = "truncate -s 16m $1/image && mkfs.ext4 -q -m 0 $1/image && \
                    mount -o loop $1/image $d";

/// A disk that is full is that for the program too, and what it removes it can have again.
#[test]
fn a_full_disk_is_told_of() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("full", &["-static"]);
    let round = "large: ENOSPC after much, size as written\nemptied 0, room again: 1\n\
                 mapped: BUS after much\nmany: ENOSPC after many\nin place: 4096, more: -1\n";
    let expected = format!("{round}{round}done\n");
    for mount in [MEMORY, EXT4] {
        let inside = "\"$@\" --overlay2 root:dir=$d /bin/full; sync; ls -A $d";
        let ended = on_small_disk(&sandbox, mount, inside);
        let told = ended.stdout.replace("lost+found\n", "");
        assert_eq!((told.as_str(), ended.code), (expected.as_str(), 0), "{ended:?}");
    }
}

#[test]
fn a_folder_that_takes_nothing_is_named() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let run = |overlay: &str| sandbox.run_with(&["--overlay2", overlay], &["/bin/true"]);
    for overlay in ["root:dir=/nowhere/at/all", "root:dir=/proc", "root:dir=/etc/passwd"] {
        let ended = run(overlay);
        let folder = overlay.trim_start_matches("root:dir=");
        let named = ended.stderr.contains(folder) && ended.stderr.contains("root:memory");
        assert!(ended.code == 127 && named, "{ended:?}");
    }
    let ended = on_small_disk(
        &sandbox,
        "mount -t tmpfs -o ro t $d",
        "\"$@\" --overlay2 root:dir=$d /bin/true; echo $?; mount -t tmpfs t $d; \
         cp -a \"$4\" $d/root; mount -o remount,ro $d; \
         \"$1\" do --root $d/root --overlay2 root:self /bin/true; echo $?",
    );
    assert_eq!(ended.stdout, "127\n127\n", "{ended:?}");
    assert_eq!(ended.stderr.matches("Read-only file system").count(), 2, "{ended:?}");
    for bad in ["root:disk", "root:dir=relative", "root:self,size=x", "root:self,mode=1"] {
        let ended = run(bad);
        assert!(ended.code == 2 && ended.stderr.contains(bad), "{ended:?}");
    }
}

fn on_disk_of(container: &Container, overlay: &str) {
    let null = Stdio::null;
    let mut create = container.command(&["--overlay2", overlay, "create"], &[]);
    let made = create.stdin(null()).stdout(null()).stderr(null()).status().unwrap();
    assert!(made.success());
    container.does(&["start"], &[]);
    until("the program is up", || (container.exec(&["cat", "/tmp/up"]).code == 0).then_some(()));
}

/// More than the container's memory; and nothing is left of it when all is killed.
#[test]
fn more_is_written_than_there_is_memory() {
    if !sandbox::possible() {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let script = "i=0; while [ $i -lt 200 ]; do printf \"%d\\n\" $i; head -c 1048570 /dev/zero; \
                  i=$((i+1)); done >/var/big; tr -d '\\0' </var/big | md5sum >/etc/sum; \
                  for n in $(seq 3000); do head -c 20000 /bin/busybox >/var/s$n; done; \
                  cat /var/s* | md5sum >>/etc/sum; echo up >/tmp/up; exec sleep 60";
    let folder = format!("root:dir={}", disk.path().display());
    for overlay in ["root:self", &folder] {
        let container = Container::new(&["sh", "-c", script], |config| {
            config["linux"]["resources"] = json!({"memory": {"limit": 96 << 20}});
        });
        std::fs::create_dir(container.sandbox.path("var")).unwrap();
        let before = (tree(container.sandbox.root()), tree(disk.path()));
        on_disk_of(&container, overlay);
        let sums = container.exec(&["cat", "/etc/sum"]);
        let sizes = container.exec(&["sh", "-c", "cat /var/big | wc -c; cat /var/s* | wc -c"]);
        let host = "{ i=0; while [ $i -lt 200 ]; do printf \"%d\\n\" $i; i=$((i+1)); done | md5sum; \
                    for n in $(seq 3000); do head -c 20000 /bin/busybox; done | md5sum; }";
        let host = finish(Command::new("/bin/sh").args(["-c", host]));
        assert_eq!(sums.stdout, host.stdout, "{sums:?} {sizes:?}");
        assert!(sizes.stdout.ends_with("\n60000000\n"), "{sizes:?}");
        let pid = container.state()["pid"].as_i64().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        let now = (tree(container.sandbox.root()), tree(disk.path()));
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        until("it is gone", || (container.status() == "stopped").then_some(()));
        let after = (tree(container.sandbox.root()), tree(disk.path()));
        assert_eq!((&now.1, &after.1), (&before.1, &before.1));
        assert_eq!((now.0, after.0.len()), (after.0.clone(), before.0.len()));
    }
}

/// Each container of a pod has its own.
#[test]
fn containers_of_a_pod_keep_theirs_apart() {
    if !sandbox::possible() {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let folder = format!("root:dir={}", disk.path().display());
    let annotate = |kind: &str, whose: &str| json!({"io.kubernetes.cri.container-type": kind, "io.kubernetes.cri.sandbox-id": whose});
    let script = "echo $HOSTNAME >/etc/mine; cp /bin/busybox /etc/busybox; echo up >/tmp/up; \
                  exec /etc/busybox sleep 60";
    for overlay in ["root:self", &folder] {
        let first = Container::new(&["sh", "-c", script], |config| {
            config["annotations"] = annotate("sandbox", "none");
            config["process"]["env"] = json!(["PATH=/bin", "HOSTNAME=first"]);
        });
        on_disk_of(&first, overlay);
        let network = format!("/proc/{}/ns/net", first.state()["pid"]);
        let second = Container::new(&["sh", "-c", script], |config| {
            config["annotations"] = annotate("container", &first.id);
            config["process"]["env"] = json!(["PATH=/bin", "HOSTNAME=second"]);
            for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
                if namespace["type"] == "network" {
                    namespace["path"] = json!(network);
                }
            }
        });
        let second = second.beside(&first);
        on_disk_of(&second, overlay);
        for (container, name) in [(&first, "first\n"), (&second, "second\n")] {
            assert_eq!(container.exec(&["cat", "/etc/mine"]).stdout, name);
            let same = container.exec(&["cmp", "/etc/busybox", "/bin/busybox"]);
            assert_eq!(same.code, 0, "{same:?}");
            assert!(!container.sandbox.path("etc/mine").exists());
        }
        assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
    }
    // Where it is to lie on the host is not the container's to say.
    let refused = Container::new(&["true"], |config| {
        config["annotations"] = json!({"caisson.sentry.overlay2": folder});
    });
    let ended = refused.call(&["run"], &[]);
    assert!(ended.code != 0 && ended.stderr.contains("--overlay2"), "{ended:?}");
}

/// What the host lets a file grow to ends calls, not the sandbox.
#[test]
fn the_host_limits_files() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    // Of each of them the limit allows more; not of the one that keeps all.
    let inside = "i=0; while test $i -lt 20; do head -c 60000 /dev/zero >/tmp/$i; i=$((i + 1)); done; \
                  head -c 60000 /dev/zero >/dev/shm/x; echo lives";
    let script = format!(
        "ulimit -f 150; exec {} do --overlay2 root:self --root {} /bin/sh -c '{inside}'",
        env!("CARGO_BIN_EXE_caisson-sentry"),
        sandbox.root().display()
    );
    let mut command = Command::new("sh");
    let ended = finish(command.args(["-c", &script]));
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "lives\n"), "{ended:?}");
    // Who may raise the limit is not held by it; root need not be allowed to.
    let raise = "ulimit -f 150; ulimit -f unlimited";
    if finish(Command::new("sh").args(["-c", raise])).code == 0 {
        assert_eq!(ended.stderr, "");
    }
}
