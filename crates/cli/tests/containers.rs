//! Containers through the real program. All but the first need root.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
#![allow(clippy::panic, reason = "a test stops at the first surprise")]

mod busybox;
mod caisson;

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use busybox::{OwnNetwork, assert_nothing_left, root};
use caisson::{Caisson, Ran};

/// Without a network, and gone at its end.
fn once(caisson: &Caisson, args: &[&str]) -> Ran {
    let mut all = vec!["run", "--rm", "--network", "none"];
    all.extend_from_slice(args);
    caisson.try_run(&all)
}

#[test]
fn mistakes_are_told_before_anything_is_made() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    for (args, told) in [
        (&["run", "nothere"][..], "nothere"),
        (&["run", "--pull", "never", "nothere"], "no image"),
        (&["run", "--runtime", "nope", "busybox"], "known are"),
        (&["run", "--runtime", "kata", "busybox"], "not in this build"),
        (&["run", "--name", "-x", "busybox"], "-x"),
        (&["run", "--cap-add", "NOPE", "busybox"], "NOPE"),
        (&["run", "-v", "a:b", "busybox"], "absolute"),
        (&["run", "--rm", "--restart", "always", "busybox"], "contradict"),
        (&["run", "--memory", "many", "busybox"], "many"),
        (&["run", "--network", "weave", "busybox"], "weave"),
        (&["run", "--entrypoint", "", "busybox"], "no program"),
        (&["run", "--health-cmd", "true", "busybox"], "health checks are not in this build"),
        (&["run", "--health-retries", "3", "busybox"], "caisson exec"),
        (&["create", "--userns", "keep-id", "busybox"], "keep-id is not in this build"),
        (&["run", "--userns", "auto", "busybox"], "only host"),
    ] {
        if args[1] == "nothere" {
            continue; // asks a registry
        }
        let error = caisson.fail(125, args);
        assert!(error.contains(told), "{args:?}: {error}");
    }
    assert_eq!(caisson.run(&["ps", "-aq"]), "");
    assert_nothing_left(&caisson);
}

#[test]
fn exit_codes_are_dockers() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    assert_eq!(once(&caisson, &["busybox", "true"]).code, 0);
    let nothing = ["--userns", "host", "--no-healthcheck", "--health-cmd=none", "busybox", "true"];
    assert_eq!(once(&caisson, &nothing).code, 0);
    assert_eq!(once(&caisson, &["busybox", "sh", "-c", "exit 7"]).code, 7);
    let killed = once(&caisson, &["--init", "busybox", "sh", "-c", "kill -9 $$"]);
    assert_eq!(killed.code, 137, "{killed:?}");
    assert_eq!(once(&caisson, &["busybox", "nosuch"]).code, 127);
    assert_eq!(once(&caisson, &["busybox", "/etc/passwd"]).code, 126);
    assert_eq!(once(&caisson, &["-u", "nobody", "busybox", "true"]).code, 125);
    assert_nothing_left(&caisson);
}

#[test]
fn streams_and_surroundings() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    let ran = once(&caisson, &["busybox", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));

    let mut child = caisson
        .command(&["run", "--rm", "-i", "--network", "none", "busybox", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = "line\n".repeat(50_000);
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn({
        let text = text.clone();
        move || stdin.write_all(text.as_bytes()).unwrap()
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), text);

    let show = "id -u; id -g; id -G; pwd; echo $HOME $FROM $OWN; hostname; \
                grep CapBnd /proc/self/status; touch /x 2>&1; wc -l </proc/keys";
    let ran = once(
        &caisson,
        &[
            "-u",
            "www",
            "-w",
            "/new/dir",
            "-e",
            "OWN=1",
            "--hostname",
            "inside",
            "--read-only",
            "busybox",
            "sh",
            "-c",
            show,
        ],
    );
    let expected = "33\n33\n33 44\n/new/dir\n/home/www image 1\ninside\nCapBnd:\t00000000a80425fb\n\
                    touch: /x: Read-only file system\n0\n";
    assert_eq!(ran.stdout, expected, "{}", ran.stderr);
    assert_nothing_left(&caisson);
}

#[test]
fn a_detached_container_lives_and_ends() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    let script = "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    let id = caisson.run(&[
        "run",
        "-d",
        "--name",
        "one",
        "--network",
        "none",
        "-l",
        "a=b",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    let id = id.trim();
    assert_eq!(id.len(), 64);
    let taken = caisson.fail(125, &["run", "--name", "one", "--network", "none", "busybox"]);
    assert!(taken.contains("in use"), "{taken}");
    while !caisson.run(&["logs", "one"]).contains("ready") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(caisson.run(&["ps", "-q", "--no-trunc"]).trim(), id);
    assert_eq!(caisson.run(&["ps", "-q", "--filter", "label=a=c"]), "");
    assert_eq!(caisson.run(&["exec", &id[..6], "echo", "hi"]), "hi\n");
    assert_eq!(caisson.try_run(&["exec", "one", "sh", "-c", "exit 5"]).code, 5);
    assert_eq!(caisson.try_run(&["exec", "one", "nosuch"]).code, 127);
    assert_eq!(
        caisson.run(&["exec", "-u", "33", "-e", "X=1", "one", "sh", "-c", "id -u; echo $X"]),
        "33\n1\n"
    );
    assert!(caisson.run(&["top", "one"]).contains("sleep 0.1"));
    assert!(caisson.run(&["stats", "--no-stream", "one"]).contains("one"));
    caisson.run(&["pause", "one"]);
    assert!(caisson.run(&["ps"]).contains("(Paused)"));
    caisson.run(&["unpause", "one"]);
    assert_eq!(caisson.run(&["inspect", "--format", "State.Status", "one"]), "running\n");
    let refused = caisson.fail(1, &["rm", "one"]);
    assert!(refused.contains("--force"), "{refused}");
    caisson.run(&["rename", "one", "two"]);
    caisson.run(&["stop", "two"]);
    assert_eq!(caisson.run(&["wait", "two"]), "3\n");
    assert!(caisson.run(&["logs", "--tail", "1", "two"]).contains("asked"));
    assert!(caisson.run(&["ps", "-a"]).contains("Exited (3)"));
    caisson.run(&["start", "two"]);
    assert_eq!(caisson.run(&["inspect", "--format", "State.Running", "two"]), "true\n");
    caisson.run(&["rm", "-f", "two"]);
    let events = caisson.run(&["events", "--no-stream"]);
    for action in ["create", "start", "pause", "unpause", "rename", "stop", "die", "destroy"] {
        assert!(events.contains(&format!("container {action} {id}")), "{action}: {events}");
    }
    assert_nothing_left(&caisson);
}

#[test]
fn volumes_are_filled_once_and_kept() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    let add = "cat /data/seed; echo more >>/data/seed";
    assert_eq!(once(&caisson, &["-v", "vol:/data", "busybox", "sh", "-c", add]).stdout, "seeded\n");
    assert_eq!(
        once(&caisson, &["-v", "vol:/data:ro", "busybox", "sh", "-c", add]).stdout,
        "seeded\nmore\n"
    );
    let host = caisson.path("host");
    std::fs::create_dir(&host).unwrap();
    let bind = format!("{}:/mnt", host.display());
    assert_eq!(once(&caisson, &["-v", &bind, "busybox", "sh", "-c", "echo x >/mnt/y"]).code, 0);
    assert_eq!(std::fs::read_to_string(host.join("y")).unwrap(), "x\n");
    let tmpfs =
        once(&caisson, &["--tmpfs", "/t:size=64k", "busybox", "sh", "-c", "mount | grep ' /t '"]);
    assert!(tmpfs.stdout.contains("size=64k") && tmpfs.stdout.contains("noexec"), "{tmpfs:?}");
    // An anonymous volume ends with its container.
    assert_eq!(once(&caisson, &["-v", "/data", "busybox", "cat", "/data/seed"]).stdout, "seeded\n");
    let volumes: Vec<_> = std::fs::read_dir(caisson.path("state/volumes")).unwrap().collect();
    assert_eq!(volumes.len(), 1);
    assert_nothing_left(&caisson);
}

#[test]
fn files_are_copied_and_links_do_not_lead_out() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    caisson.run(&["run", "-d", "--name", "c", "--network", "none", "busybox", "sleep", "100"]);
    let file = caisson.path("file");
    std::fs::write(&file, "from the host").unwrap();
    let file = file.to_str().unwrap();
    let out = caisson.path("out");
    let out = out.to_str().unwrap();
    for running in [true, false] {
        caisson.run(&["cp", file, "c:/root/in"]);
        caisson.run(&["cp", "c:/root/in", out]);
        assert_eq!(std::fs::read_to_string(out).unwrap(), "from the host");
        if running {
            // The link leads to the container's own root, not to the host's.
            caisson.run(&["exec", "c", "ln", "-s", "/../../..", "/root/up"]);
            caisson.run(&["cp", file, "c:/root/up/caisson-must-stay-inside"]);
            assert!(!std::path::Path::new("/caisson-must-stay-inside").exists());
            assert!(caisson.run(&["exec", "c", "ls", "/"]).contains("must-stay-inside"));
            caisson.run(&["stop", "-t", "0", "c"]);
        }
    }
    let dir = caisson.path("dir");
    caisson.run(&["cp", "c:/etc", dir.to_str().unwrap()]);
    assert!(dir.join("passwd").exists());
    caisson.fail(1, &["cp", "c:/nosuch", out]);
    caisson.run(&["rm", "c"]);
    assert_nothing_left(&caisson);
}

#[test]
fn a_published_port_answers() {
    if !root() {
        return;
    }
    let (caisson, network) = (busybox::caisson(), OwnNetwork::new());
    let serve = "echo hello >/index.html; httpd -f -p 80 -h /";
    network.run(
        &caisson,
        &["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", serve],
    );
    assert_eq!(network.run(&caisson, &["port", "web", "80"]), "0.0.0.0:8080\n");
    let mut fetch = std::process::Command::new("busybox");
    fetch.args(["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"]);
    let mut answer = String::new();
    for _ in 0..100 {
        answer = String::from_utf8(network.inside(&fetch).output().unwrap().stdout).unwrap();
        if !answer.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(answer, "hello\n");
    network.run(&caisson, &["rm", "-f", "web"]);
    let mut links = std::process::Command::new("ip");
    links.args(["-o", "link", "show", "type", "veth"]);
    assert!(network.inside(&links).output().unwrap().stdout.is_empty());
    assert_nothing_left(&caisson);
}

#[test]
fn who_is_killed_half_way_blocks_nobody() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    for round in 0..20u64 {
        let mut child = caisson
            .command(&[
                "run",
                "--rm",
                "--name",
                "same",
                "--network",
                "none",
                "busybox",
                "sleep",
                "0.05",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 9 % 150));
        child.kill().unwrap();
        child.wait().unwrap();
        // What runs on is stopped, what is half made is collected.
        let removed = caisson.try_run(&["rm", "-f", "same"]);
        assert_eq!(removed.code, 0, "{removed:?}");
        let again = caisson.try_run(&[
            "run",
            "--rm",
            "--name",
            "same",
            "--network",
            "none",
            "busybox",
            "true",
        ]);
        assert_eq!(again.code, 0, "{again:?}");
    }
    caisson.run(&["ps", "-a"]);
    assert_nothing_left(&caisson);
}

#[test]
fn what_a_broken_off_start_left_goes_with_the_container() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    let id = caisson.run(&["create", "--network", "none", "busybox", "true"]);
    let id = id.trim();
    for verb in ["start", "rm"] {
        // Whoever started it was killed, and its supervisor is just going.
        let pod = caisson.path("run/pods").join(id);
        // The folder of before may be going just now.
        let lock = loop {
            std::fs::create_dir_all(&pod).unwrap();
            let made = std::fs::File::create(pod.join("lock"));
            let locked = |lock: &std::fs::File| {
                caisson_sys::file_lock::try_lock(lock.as_fd()).unwrap() && pod.join("lock").exists()
            };
            if let Some(lock) = made.ok().filter(locked) {
                break lock;
            }
        };
        let gone = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(300));
                gone.store(true, Ordering::SeqCst);
                drop(lock);
            });
            let ran = caisson.try_run(&[verb, id]);
            assert_eq!(ran.code, 0, "{verb}: {ran:?}");
            assert!(gone.load(Ordering::SeqCst), "{verb} has not waited for the supervisor");
        });
        match verb {
            "start" => assert_eq!(caisson.run(&["wait", id]), "0\n"),
            _ => assert!(!pod.exists(), "the pod's directory is left behind"),
        }
    }
    assert_nothing_left(&caisson);
}
