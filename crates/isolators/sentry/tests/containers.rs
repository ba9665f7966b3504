//! The runtime's command line: containers from bundles.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use container::Container;
use sandbox::until;
use serde_json::json;

/// Waits for SIGTERM, and leaves with a code of its own.
const HEED: &str = "trap 'exit 7' TERM; echo up >/up; while :; do sleep 1; done";

fn started(words: &[&str]) -> Container {
    let container = Container::new(words, |_| {});
    container.create();
    container.does(&["start"], &[]);
    container
}

#[test]
fn a_bundle_runs_on_a_kernel_of_its_own() {
    if !sandbox::possible() {
        return;
    }
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("file"), "shared").unwrap();
    let script = "uname -r; hostname; pwd; echo $A; ulimit -n; cat /v/file; touch /v/x /new; \
                  touch /tmp/x && ls /tmp; ls /dev/null; dmesg | head -n 3; exit 5";
    let container = Container::new(&["sh", "-c", script], |config| {
        config["process"]["cwd"] = json!("/etc");
        config["process"]["env"] = json!(["PATH=/bin", "A=b"]);
        config["process"]["rlimits"] =
            json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 2_000_000}]);
        config["root"]["readonly"] = json!(true);
        config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/v", "source": host.path(), "options": ["rbind", "ro"],
        }));
    });
    let ended = container.call(&["run"], &[]);
    let kernel = "6.1.0-caisson";
    let expected = format!("{kernel}\nbox\n/etc\nb\n77\nsharedx\n/dev/null\n");
    let (seen, boot) = ended.stdout.split_at(ended.stdout.len().min(expected.len()));
    assert_eq!((seen, ended.code), (expected.as_str(), 5), "{}", ended.stderr);
    assert!(boot.contains(&format!("Linux version {kernel}")), "{boot}");
    let clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let by_counter = std::fs::read_to_string(clock).is_ok_and(|source| source.trim() == "tsc");
    assert_eq!(boot.contains("clocksource: tsc"), by_counter, "{boot}");
    assert_eq!(ended.stderr.matches("Read-only file system").count(), 2, "{}", ended.stderr);
    assert!(container.cgroups().is_empty() && container.state().is_null());
}

/// What an image has where procfs is going to be is not looked at, as if it were the host's.
#[test]
fn the_processors_are_those_of_the_host() {
    if !sandbox::possible() {
        return;
    }
    let container = Container::new(&["grep", "-m1", "^model name", "/proc/cpuinfo"], |_| {});
    let fifo = container.sandbox.path("proc/cpuinfo");
    rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let host = text.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    assert_eq!(container.call(&["run"], &[]).stdout.trim_end(), host);
}

/// By the command line, or by the container's annotation; `exec` sees the same.
#[test]
fn a_root_is_written_in_memory_if_asked_for() {
    if !sandbox::possible() {
        return;
    }
    let annotation = |value: &'static str| {
        move |config: &mut serde_json::Value| {
            config["annotations"] = json!({"caisson.sentry.overlay2": value});
        }
    };
    let script = "echo inside >/etc/new; rm /bin/vi; echo up >/tmp/up; exec sleep 60";
    let by_flag = Container::new(&["sh", "-c", script], |_| {});
    let by_annotation = Container::new(&["sh", "-c", script], annotation("root:memory"));
    for (container, flag) in [(by_flag, Some("root:memory")), (by_annotation, None)] {
        let flags = flag.map(|value| ["--overlay2", value]);
        let words: Vec<&str> = flags.iter().flatten().copied().chain(["create"]).collect();
        let null = Stdio::null;
        let mut create = container.command(&words, &[]);
        let made = create.stdin(null()).stdout(null()).stderr(null()).status().unwrap();
        assert!(made.success());
        container.does(&["start"], &[]);
        until("the program is up", || {
            (container.exec(&["cat", "/tmp/up"]).code == 0).then_some(())
        });
        assert_eq!(container.exec(&["cat", "/etc/new"]).stdout, "inside\n");
        assert_ne!(container.exec(&["ls", "/bin/vi"]).code, 0);
        assert!(!container.sandbox.path("etc/new").exists());
        assert!(container.sandbox.path("bin/vi").symlink_metadata().is_ok());
    }
    // A folder of the host's is not the container's to choose.
    let refused = Container::new(&["true"], annotation("root:dir=/x"));
    for ended in [refused.call(&["run"], &[]), refused.call(&["--overlay2", "self", "run"], &[])] {
        let named = ended.stderr.contains("dir=/x") || ended.stderr.contains("self");
        assert!(ended.code == 1 && named, "{ended:?}");
    }
}

#[test]
fn settings_of_the_configuration_hold() {
    if !sandbox::possible() {
        return;
    }
    let run = |sysctls: serde_json::Value| {
        let container = Container::new(&["settings"], |config| {
            config["linux"]["sysctl"] = sysctls;
            config["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}});
        });
        container.sandbox.compile("settings", &["-static"]);
        container.call(&["run"], &[])
    };
    let ended = run(json!({
        "net.ipv4.ip_unprivileged_port_start": "80",
        "kernel.shm_rmid_forced": "1",
        "fs.mqueue.msg_max": "20",
    }));
    let expected = "net/ipv4/ip_unprivileged_port_start 80\nkernel/shm_rmid_forced 1\n\
                    fs/mqueue/msg_max 20\nmemory 65536 64\nports -13 0\nqueues 1 -22\n\
                    segment: made 0 attached 0 detached -22\na child's -22\n";
    assert_eq!(ended.stdout, expected, "{}", ended.stderr);
    let ended = run(json!({}));
    let expected = "net/ipv4/ip_unprivileged_port_start 1024\nkernel/shm_rmid_forced 0\n\
                    fs/mqueue/msg_max 10\nmemory 65536 64\nports -13 -13\nqueues 0 -22\n\
                    segment: made 0 attached 0 detached 0\na child's 0\n";
    assert_eq!(ended.stdout, expected, "{}", ended.stderr);
}

/// Whose ever they are: what is in `/proc/net` is each process's own.
const HIDDEN: &str = "cat /proc/net/tcp /proc/self/net/udp /proc/1/net/tcp; wc -c </proc/net/unix; \
                      sh -c 'cat /proc/$$/net/udp'; ls -l /proc/net/tcp | cut -c1; \
                      ls /proc/net | grep -c tcp; echo x >/proc/net/unix; echo $?; \
                      unshare -m cat /proc/net/tcp; unshare -n cat /proc/net/udp; cd /proc/net && \
                      cat tcp; cat ../net/udp; umount /proc/net/tcp; cat /proc/net/tcp";

#[test]
fn what_is_hidden_of_the_network_is_so_for_every_process() {
    if !sandbox::possible() {
        return;
    }
    let hides = |config: &mut serde_json::Value| {
        config["linux"]["maskedPaths"] =
            json!(["/proc/net/tcp", "/proc/self/net/udp", "/proc/net/none"]);
        config["linux"]["readonlyPaths"] = json!(["/proc/net/unix", "/proc/net"]);
    };
    let ended = Container::new(&["sh", "-c", HIDDEN], hides).call(&["run"], &[]);
    let unix = ended.stdout.split('\n').next().unwrap_or_default();
    assert!(unix.parse::<u32>().is_ok_and(|bytes| bytes > 10), "{ended:?}");
    let rest = ended.stdout.get(unix.len()..).unwrap_or_default();
    assert_eq!(rest, "\nc\n2\n1\n", "{ended:?}");
    let all = Container::new(&["sh", "-c", "ls -A /proc/net; touch /proc/net/x"], |config| {
        config["linux"]["maskedPaths"] = json!(["/proc/net"]);
    });
    let ended = all.call(&["run"], &[]);
    assert_eq!((ended.stdout.as_str(), ended.code), ("", 1), "{ended:?}");
    assert!(ended.stderr.contains("Read-only file system"), "{ended:?}");
    // Not in a container, but by a sandbox's command line.
    let (sandbox, host) = (sandbox::Sandbox::new(), tempfile::tempdir().unwrap());
    std::fs::write(host.path().join("file"), "of the host\n").unwrap();
    let mount = format!("type=bind,src={}/file,dst=/proc/net/dev", host.path().display());
    let ended = sandbox.run_with(&["--mount", &mount], &["/bin/cat", "/proc/net/dev"]);
    assert_eq!(ended.stdout, "of the host\n", "{ended:?}");
}

/// By who is in no group of the range by default: `net.ipv4.ping_group_range`.
#[test]
fn echoes_are_asked_for_by_the_groups_that_may() {
    if !sandbox::possible() {
        return;
    }
    let container = Container::new(&["icmp", "x"], |config| {
        config["linux"]["sysctl"] = json!({"net.ipv4.ping_group_range": "0 10"});
        config["process"]["capabilities"] = json!({});
    });
    container.sandbox.compile("icmp", &["-static"]);
    let ended = container.call(&["run"], &[]);
    let [four, six] =
        ["four, sizeof four", "six, sizeof six"].map(|to| format!("0, (void *)&{to})"));
    let expected = format!(
        "sendto(fd, text, sizeof text, {four}: ok\n\
         11 bytes from 2/0: type 0 id 0 seq 1 data odd good 1 [0 2 64]\nnothing\n\
         sendto(fd, text, sizeof text, {four}: EINVAL\nsendto(fd, text, 7, {four}: EINVAL\n\
         sendto(fd6, text, sizeof text, {six}: ok\n\
         11 bytes from 10/0: type 129 id 0 seq 1 data odd\nnothing\n\
         bind(fd, (void *)&own, sizeof own): ok\nport 77\ndone\n"
    );
    assert_eq!(ended.stdout, expected, "{}", ended.stderr);
}

#[test]
fn limits_and_devices_of_the_configuration_are_told() {
    if !sandbox::possible() {
        return;
    }
    let container = Container::new(&["sh", "-c", HEED], |config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"type": "sysfs", "source": "sysfs", "destination": "/sys"}));
        mounts.push(json!({
            "type": "cgroup", "source": "cgroup", "destination": "/sys/fs/cgroup",
            "options": ["ro", "nosuid", "relatime"],
        }));
        config["linux"]["resources"] = json!({
            "memory": {"limit": 64 << 20, "swap": 64 << 20}, "pids": {"limit": 50},
            "cpu": {"quota": 50_000, "period": 100_000, "shares": 1024},
            "devices": [{"allow": true, "access": "rwm"}],
        });
        config["linux"]["devices"] = json!([
            {"path": "/dev/mine", "type": "c", "major": 1, "minor": 7, "fileMode": 0o600},
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
        ]);
    });
    let told = || {
        let script = "cd /sys/fs/cgroup; cat memory.max memory.swap.max pids.max cpu.max cpu.weight; \
                      grep -c ' cgroup2 ro' /proc/mounts; stat -f -c %t .; echo 1 >pids.max; \
                      grep -qx $$ cgroup.procs && echo in; sed 's/ *//' /proc/meminfo | sed -n 's/MemTotal: *//p'";
        container.exec(&["sh", "-c", script]).stdout
    };
    container.create();
    // What nobody can hear yet is heard later.
    container.does(&["update", "--pids-limit", "60"], &[]);
    container.does(&["start"], &[]);
    until("it runs", || container.sandbox.path("up").exists().then_some(()));
    let rest = "1\n63677270\nin\n";
    let expected = |memory: u64, pids: u64| {
        format!("{}\n0\n{pids}\n50000 100000\n100\n{rest}{} kB\n", memory << 20, memory << 10)
    };
    until("the first update is heard of", || (told() == expected(64, 60)).then_some(()));
    container.does(&["update", "--memory", "50331648", "--memory-swap", "50331648"], &[]);
    assert_eq!(told(), expected(48, 60));
    container.does(&["pause"], &[]);
    container.does(&["update", "--pids-limit", "77"], &[]);
    container.does(&["resume"], &[]);
    until("that is heard of, too", || (told() == expected(48, 77)).then_some(()));

    let seen = container.exec(&["sh", "-c", "stat -c %a /dev/mine; head -c 2 /dev/mine | od -An -tx1; \
        echo >/dev/mine; test -e /dev/fuse || echo none; dmesg | grep -c 'device /dev/fuse (10:229)'"]);
    assert_eq!(seen.stdout, "600\n 00 00\nnone\n1\n", "{seen:?}");
    assert!(seen.stderr.contains("No space left"), "{seen:?}");
}

#[test]
fn what_waits_is_started_entered_and_ended() {
    if !sandbox::possible() {
        return;
    }
    let container = Container::new(&["sh", "-c", HEED], |_| {});
    container.create();
    assert_eq!(container.status(), "created");
    assert!(!container.sandbox.path("up").exists());
    assert!(container.exec(&["true"]).stderr.contains("is created"));
    container.does(&["start"], &[]);
    until("it runs", || container.sandbox.path("up").exists().then_some(()));
    assert_eq!(container.status(), "running");

    assert_eq!(container.exec(&["sh", "-c", "echo $$; exit 3"]).code, 3);
    assert_eq!(container.exec(&["sh", "-c", "kill -9 $$"]).code, 137);
    let inside = container.call(&["exec", "--user", "5:6", "--cwd", "/tmp"], &["id"]);
    assert_eq!(inside.stdout, "uid=5 gid=6\n", "{}", inside.stderr);
    let missing = container.exec(&["nothing"]);
    assert!(missing.stderr.contains("executable file not found in $PATH"), "{}", missing.stderr);
    let mut cat = container.command(&["exec"], &["cat"]);
    let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    cat.stdin.take().unwrap().write_all(b"typed").unwrap();
    assert_eq!(cat.wait_with_output().unwrap().stdout, b"typed");

    container.does(&["kill"], &["TERM"]);
    until("it has stopped", || (container.status() == "stopped").then_some(()));
    container.does(&["delete"], &[]);
    assert!(container.cgroups().is_empty());
}

#[test]
fn all_of_it_is_in_its_cgroup_and_stops_when_paused() {
    if !sandbox::possible() {
        return;
    }
    let counting = "i=0; while :; do i=$((i+1)); echo $i >/n.new; mv /n.new /n; done";
    let container = started(&["sh", "-c", counting]);
    let count = || std::fs::read_to_string(container.sandbox.path("n")).unwrap_or_default();
    until("it counts", || (!count().is_empty()).then_some(()));
    let sentry = u32::try_from(container.state()["pid"].as_u64().unwrap()).unwrap();
    container.does(&["pause"], &[]);
    assert_eq!(container.status(), "paused");
    assert!(container.exec(&["true"]).stderr.contains("paused"));

    let mut family = BTreeSet::from([sentry]);
    let mut left = vec![sentry];
    while let Some(pid) = left.pop() {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap();
        let children = children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap());
        // One that has ended, and that nobody reaps now, is in no cgroup.
        let lives = |pid: &u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            status.is_ok_and(|status| !status.contains("\nState:\tZ"))
        };
        let children: Vec<u32> = children.filter(lives).collect();
        left.extend(&children);
        family.extend(children);
    }
    assert!(family.len() >= 3, "a sentry, a broker, stubs: {family:?}");
    for cgroup in container.cgroups() {
        let members = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
        let members: BTreeSet<u32> = members.lines().map(|pid| pid.parse().unwrap()).collect();
        assert!(members.is_empty() || members.is_superset(&family), "{cgroup:?}: {members:?}");
    }

    let paused = count();
    container.does(&["resume"], &[]);
    until("it goes on", || (count() != paused).then_some(()));
    container.does(&["pause"], &[]);
    container.does(&["delete", "--force"], &[]);
    assert!(container.cgroups().is_empty());
    let gone = |pid: &u32| !std::path::Path::new(&format!("/proc/{pid}/exe")).exists();
    until("all are gone", || family.iter().all(gone).then_some(()));
}

#[test]
fn a_program_ends_with_what_stands_for_it() {
    if !sandbox::possible() {
        return;
    }
    let container = started(&["sh", "-c", HEED]);
    let pid_file = container.bundle.path().join("exec-pid");
    let detached = ["exec", "--detach", "--pid-file", pid_file.to_str().unwrap()];
    let program = "trap 'echo usr1 >/usr1' USR1; echo ready >/ready; while :; do sleep 1; done";
    let mut command = container.command(&detached, &["sh", "-c", program]);
    let null = Stdio::null;
    let status = command.stdin(null()).stdout(null()).stderr(null()).status().unwrap();
    assert!(status.success());
    let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    until("it is ready", || container.sandbox.path("ready").exists().then_some(()));
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    until("it was told", || container.sandbox.path("usr1").exists().then_some(()));
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("it is gone", || {
        let list = container.exec(&["ps"]);
        (list.code == 0 && !list.stdout.contains("/ready")).then_some(())
    });
}

/// Nor is a file that it was the last one to have.
#[test]
fn nothing_is_kept_of_a_program_that_has_ended() {
    if !sandbox::possible() {
        return;
    }
    let container = started(&["sh", "-c", HEED]);
    until("it runs", || container.sandbox.path("up").exists().then_some(()));
    let script = "cp /bin/busybox /busybox-once";
    assert_eq!(container.exec(&["sh", "-c", script]).code, 0);
    assert_eq!(container.exec(&["/busybox-once", "true"]).code, 0);
    assert_eq!(container.exec(&["rm", "/busybox-once"]).code, 0);
    let sentry = container.state()["pid"].as_u64().unwrap();
    until("nobody has the file", || {
        let files = std::fs::read_dir(format!("/proc/{sentry}/fd")).unwrap().flatten();
        let mut files = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        let gone =
            |file: std::path::PathBuf| file.to_string_lossy().ends_with("/busybox-once (deleted)");
        (!files.any(gone)).then_some(())
    });
}

#[test]
fn rubbish_at_the_control_socket_changes_nothing() {
    use std::os::unix::net::UnixDatagram;
    if !sandbox::possible() {
        return;
    }
    let container = started(&["sh", "-c", HEED]);
    let socket = UnixDatagram::unbound().unwrap();
    let path = container.bundle.path().join("state").join(&container.id).join("control.sock");
    for message in [&b""[..], b"\x01\x01", b"\xff\xff", &[0x01; 7_000], &[0xff; 60_000]] {
        socket.send_to(message, &path).unwrap();
    }
    assert_eq!(container.exec(&["sh", "-c", "exit 4"]).code, 4);
}

#[test]
fn what_can_not_be_is_refused_by_name() {
    let change = |field: &str, value: serde_json::Value| {
        let container = Container::new(&["true"], |config| {
            *config.pointer_mut(field).unwrap() = value;
        });
        container.call(&["create"], &[]).stderr
    };
    if !sandbox::possible() {
        return;
    }
    let [pid, mount, uts] = ["pid", "mount", "uts"].map(|kind| json!({"type": kind}));
    for (namespaces, word) in [
        (json!([mount, uts]), "pid namespace"),
        (json!([{"type": "pid", "path": "/proc/1/ns/pid"}, mount, uts]), "pid namespace"),
        (json!([pid, mount, uts, {"type": "user", "path": "/proc/1/ns/user"}]), "user namespace"),
    ] {
        let said = change("/linux/namespaces", namespaces);
        assert!(said.contains("sentry cannot") && said.contains(word), "{said}");
    }
    let mount =
        json!([{"destination": "/proc/cpuinfo", "source": "/dev/null", "options": ["bind"]}]);
    let said = change("/mounts", mount);
    assert!(said.contains("/proc/cpuinfo"), "{said}");
}

#[test]
fn a_terminal_is_the_kernels_own() {
    if !sandbox::possible() {
        return;
    }
    let script = "tty; exec cat";
    let container = Container::new(&["sh", "-c", script], |config| {
        config["process"]["terminal"] = json!(true);
        let devpts = json!({"destination": "/dev/pts", "type": "devpts",
                            "options": ["newinstance", "ptmxmode=0666"]});
        config["mounts"].as_array_mut().unwrap().push(devpts);
    });
    // `run` wants a terminal of its own: script(1) gives it one, and passes on what is typed.
    let run = container.command(&["run"], &[]);
    let words: Vec<&str> = [run.get_program()]
        .into_iter()
        .chain(run.get_args())
        .map(|w| w.to_str().unwrap())
        .collect();
    let mut command = std::process::Command::new("script");
    command.args(["-qefc", &words.join(" "), "/dev/null"]).current_dir(container.bundle.path());
    let mut run = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut keyboard = run.stdin.take().unwrap();
    let (mut screen, mut shown) = (run.stdout.take().unwrap(), String::new());
    let mut read_until = |wanted: &str| {
        let mut piece = [0; 1024];
        while !shown.contains(wanted) {
            let length = screen.read(&mut piece).unwrap();
            assert!(length > 0, "it has ended: {shown}");
            shown.push_str(&String::from_utf8_lossy(&piece[..length]).replace('\r', ""));
        }
    };
    read_until("/dev/pts/0\n");
    keyboard.write_all(b"typed\n").unwrap();
    // Echoed, and written.
    read_until("typed\ntyped\n");
    keyboard.write_all(b"\x04").unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));
    drop(keyboard);
}

/// A volume of which others see what is mounted in it.
#[test]
fn volumes_propagate() {
    if !sandbox::possible() {
        return;
    }
    let volume = tempfile::tempdir().unwrap();
    std::fs::create_dir(volume.path().join("x")).unwrap();
    let script = "grep -o ' /data .*shared:' /proc/self/mountinfo | wc -l; \
                  grep ' /slave ' /proc/self/mountinfo | grep -c -e shared -e master; \
                  unshare -m --propagation shared sh -c 'mount -t tmpfs t /data/x && touch /data/x/f'; ls /data/x; \
                  umount /data/x; ls /data/x; unshare -m --propagation shared mount -t tmpfs t /slave/x; ls /slave/x; \
                  grep -c ' / / .*shared' /proc/self/mountinfo";
    let container = Container::new(&["sh", "-c", script], |config| {
        for (at, how) in [("/data", "rshared"), ("/slave", "rslave")] {
            config["mounts"].as_array_mut().unwrap().push(json!({
                "destination": at, "source": volume.path(), "options": ["rbind", how],
            }));
        }
        config["linux"]["rootfsPropagation"] = json!("shared");
        let able = json!(["CAP_SYS_ADMIN"]);
        config["process"]["capabilities"] =
            json!({"bounding": able, "permitted": able, "effective": able});
    });
    let ended = container.call(&["run"], &[]);
    assert_eq!(ended.stdout, "1\n0\nf\n1\n", "{ended:?}");
}
