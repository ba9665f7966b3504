//! The states of a container, from `create` to `delete`, as a caller sees
//! them.

#![cfg(test)]

mod bundle;

use std::process::Stdio;
use std::time::Duration;

use bundle::{Bundle, Census, eventually};
use serde_json::{Value, json};

#[test]
fn a_container_goes_through_its_states() {
    let bundle = Bundle::sleeper();
    let before = Census::take(&bundle);
    bundle.create().ok();
    assert_eq!(bundle.status(), "created");
    bundle.start().ok();
    assert_eq!(bundle.status(), "running");
    bundle.call(&["pause", &bundle.id]).ok();
    assert_eq!(bundle.status(), "paused");
    bundle.call(&["resume", &bundle.id]).ok();
    assert_eq!(bundle.status(), "running");
    bundle.kill("TERM").ok();
    bundle.await_status("stopped");
    bundle.delete().ok();
    assert_eq!(Census::take(&bundle), before);
}

#[test]
fn the_program_runs_only_once_started() {
    let bundle = Bundle::script("echo ran");
    let created = bundle.create().ok();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(created.stdout(), "");
    bundle.start().ok();
    eventually("output", || created.stdout() == "ran\n");
    bundle.await_status("stopped");
}

#[test]
fn what_a_state_does_not_allow_is_refused() {
    let bundle = Bundle::sleeper();
    let id = bundle.id.as_str();
    for command in ["state", "start", "pause", "resume", "delete"] {
        bundle.call(&[command, id]).refused(&["does not exist", id]);
    }
    bundle.kill("TERM").refused(&["does not exist", id]);
    bundle.exec(&["true"]).fails(255);
    bundle.create().ok();
    bundle.create().refused(&["already exists", id]);
    bundle.call(&["resume", id]).fails(1);
    bundle.start().ok();
    bundle.start().refused(&[id]);
    bundle.call(&["resume", id]).fails(1);
    bundle.delete().refused(&[id, "running"]);
    assert_eq!(bundle.status(), "running", "a refused delete does no harm");
    bundle.call(&["pause", id]).ok();
    bundle.call(&["pause", id]).fails(1);
    bundle.start().fails(1);
    bundle.delete().fails(1);
    bundle.call(&["resume", id]).ok();
    bundle.kill("KILL").ok();
    bundle.await_status("stopped");
    bundle.start().refused(&[id]);
    bundle.kill("TERM").refused(&["not running"]);
    bundle.call(&["kill", "--all", id, "KILL"]).ok();
    bundle.call(&["pause", id]).fails(1);
    bundle.delete().ok();
    bundle.delete().refused(&["does not exist"]);
    bundle.call(&["delete", "--force", id]).ok();
}

#[test]
fn delete_takes_a_created_container_and_by_force_any() {
    let bundle = Bundle::sleeper();
    bundle.create().ok();
    bundle.delete().ok();
    bundle.started();
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    bundle.started();
    bundle.call(&["pause", &bundle.id]).ok();
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    assert!(!bundle.state_dir().exists());
}

#[test]
fn a_first_process_that_dies_before_the_start_leaves_a_stopped_container() {
    let bundle = Bundle::sleeper();
    bundle.create().ok();
    let pid = rustix::process::Pid::from_raw(bundle.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    bundle.await_status("stopped");
    bundle.start().refused(&[&bundle.id]);
    bundle.delete().ok();
}

#[test]
fn run_returns_the_programs_exit_code() {
    for code in [0, 1, 42, 255] {
        assert_eq!(Bundle::script(&format!("exit {code}")).run().code(), code);
    }
    // A shell that is PID 1 is immune to its own signals; its child is not.
    let bundle = Bundle::script("sh -c 'kill -9 $$'; exit $?");
    assert_eq!(bundle.run().code(), 128 + 9);
    let mut bundle = Bundle::script("kill -9 $$");
    bundle.without_namespace("pid");
    assert_eq!(bundle.run().code(), 128 + 9);
    assert!(!bundle.state_dir().exists(), "run deletes");
}

#[test]
fn run_passes_signals_on() {
    let bundle = Bundle::script("trap 'exit 7' TERM; echo ready; while :; do usleep 20000; done");
    bundle.write_config();
    let out = bundle.path().join("out");
    let path = bundle.path().to_str().unwrap();
    let mut command = bundle.command(&["run", "--bundle", path, &bundle.id]);
    let mut child = command.stdout(std::fs::File::create(&out).unwrap()).spawn().unwrap();
    eventually("ready", || std::fs::read_to_string(&out).unwrap().contains("ready"));
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn run_can_detach_and_can_keep() {
    let bundle = Bundle::sleeper();
    bundle.run_with(&["--detach"]).ok();
    assert_eq!(bundle.status(), "running");
    bundle.call(&["delete", "-f", &bundle.id]).ok();
    let bundle = Bundle::script("exit 3");
    assert_eq!(bundle.run_with(&["--keep"]).code(), 3);
    assert_eq!(bundle.status(), "stopped");
    bundle.delete().ok();
}

#[test]
fn programs_that_can_not_run_are_told_apart() {
    let cases = [
        ("no-such-program", &["no-such-program", "executable file not found in $PATH"][..]),
        ("/no/such/program", &["/no/such/program", "no such file or directory"]),
        ("/etc/passwd", &["/etc/passwd", "permission denied"]),
        ("/etc", &["/etc"]),
    ];
    for (program, words) in cases {
        let mut bundle = Bundle::new();
        bundle.config["process"]["args"] = json!([program]);
        let before = Census::take(&bundle);
        bundle.create().refused(words);
        bundle.run().refused(words);
        assert_eq!(Census::take(&bundle), before, "{program}");
        let bundle = Bundle::sleeper();
        bundle.started();
        let said = bundle.exec(&[program]).fails(255);
        for word in words {
            assert!(said.contains(word), "exec {program}: {said}");
        }
    }
    // What only execve can find out: no format that the kernel knows.
    let mut bundle = Bundle::new();
    let text = bundle.rootfs().join("bin/text");
    std::fs::write(&text, "text").unwrap();
    std::fs::set_permissions(&text, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bundle.config["process"]["args"] = json!(["/bin/text"]);
    bundle.run().refused(&["/bin/text", "exec format error"]);
}

#[test]
fn a_cwd_that_can_not_be_is_named() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["cwd"] = json!("/etc/passwd/dir");
    bundle.run().refused(&["/etc/passwd/dir", "not a directory"]);
    let bundle = Bundle::sleeper();
    bundle.started();
    let said = bundle.exec_with(&["--cwd", "/no/such/dir"], &["true"]).fails(255);
    assert!(said.contains("/no/such/dir"), "{said}");
}

#[test]
fn standard_streams_are_the_callers() {
    let bundle = Bundle::script("read a; echo out $a; echo err $a >&2");
    bundle.write_config();
    let path = bundle.path().to_str().unwrap();
    let mut command = bundle.command(&["run", "--bundle", path, &bundle.id]);
    let input = bundle.path().join("input");
    std::fs::write(&input, "word\n").unwrap();
    command.stdin(Stdio::from(std::fs::File::open(&input).unwrap()));
    let ended = bundle.finish(command).ok();
    assert_eq!((ended.stdout().as_str(), ended.stderr().as_str()), ("out word\n", "err word\n"));
}

#[test]
fn closed_standard_streams_become_dev_null() {
    let mut bundle = Bundle::script("for f in 0 1 2; do readlink /proc/$$/fd/$f; done > /fds");
    let state = bundle.path().join("state-of-hook");
    let text = format!("cat > {}", state.display());
    bundle.config["hooks"]["createRuntime"] =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", text], "env": ["PATH=/bin:/usr/bin"]}]);
    bundle.write_config();
    let path = bundle.path().to_str().unwrap();
    let inner = bundle.command(&["run", "-b", path, &bundle.id]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"]);
    command.arg(inner.get_program()).args(inner.get_args());
    bundle.finish(command).ok();
    let fds = std::fs::read_to_string(bundle.rootfs().join("fds")).unwrap();
    let lines: Vec<&str> = fds.lines().collect();
    assert_eq!((lines[0], lines[2]), ("/dev/null", "/dev/null"), "{fds}");
    let state = std::fs::read_to_string(state).unwrap();
    assert!(state.contains(&bundle.id), "the hook had its input: {state:?}");
}

/// A call with `input` as its descriptor 3, which std can't pass on itself.
fn with_third(bundle: &Bundle, args: &[&str]) -> bundle::Ended {
    let input = bundle.path().join("third");
    std::fs::write(&input, "third\n").unwrap();
    let inner = bundle.command(args);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec 3<\"$0\" 4</dev/null; exec \"$@\""]).arg(&input);
    command.arg(inner.get_program()).args(inner.get_args());
    bundle.finish(command)
}

#[test]
fn preserved_descriptors_reach_the_program_and_no_others_do() {
    let bundle = Bundle::script("cat <&3; ls /proc/self/fd | wc -w");
    bundle.write_config();
    let path = bundle.path().to_str().unwrap();
    // ls has 0, 1, 2, the directory, and what was kept.
    let ended = with_third(&bundle, &["run", "--preserve-fds", "1", "-b", path, &bundle.id]);
    assert_eq!(ended.lines(), ["third", "5"]);
    let ended = with_third(&bundle, &["run", "-b", path, &bundle.id]).ok();
    assert_eq!(ended.stdout().trim(), "4");
    let said = bundle.run_with(&["--preserve-fds", "9"]).refused(&["preserved-fd"]);
    assert!(said.contains('9'), "{said}");
    let bundle = Bundle::sleeper();
    bundle.started();
    let ended =
        with_third(&bundle, &["exec", "--preserve-fds=1", &bundle.id, "sh", "-c", "cat <&3"]);
    assert_eq!(ended.lines(), ["third"]);
}

#[test]
fn pid_files_name_the_process() {
    let bundle = Bundle::sleeper();
    let file = bundle.path().join("pid");
    let name = file.to_str().unwrap();
    bundle.create_with(&["--pid-file", name]).ok();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), bundle.pid().to_string());
    bundle.start().ok();
    let exec = ["sleep", "999"];
    bundle.exec_with(&["--detach", "--pid-file", name], &exec).ok();
    let pid = std::fs::read_to_string(&file).unwrap();
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(command, "sleep\u{0}999\u{0}");
}

#[test]
fn exec_returns_exit_codes_and_takes_its_flags() {
    let mut bundle = Bundle::sleeper();
    bundle.config["process"]["env"].as_array_mut().unwrap().push(json!("A=config"));
    bundle.started();
    assert_eq!(bundle.exec(&["sh", "-c", "exit 42"]).code(), 42);
    assert_eq!(bundle.exec(&["sh", "-c", "kill -9 $$"]).code(), 128 + 9);
    let flags = ["-e", "B=flag", "--cwd", "/tmp", "-u", "1000:2000", "-g", "3000"];
    let lines = bundle
        .exec_with(&flags, &["sh", "-c", "echo $A $B; pwd; id -u; id -g; id -G; echo $HOME"])
        .lines();
    assert_eq!(lines, ["config flag", "/tmp", "1000", "2000", "2000 3000", "/home/user"]);
    let lines =
        bundle.exec_with(&["--cap", "CAP_SYS_ADMIN"], &["cat", "/proc/self/status"]).lines();
    let bounding = bundle::proc_field(&lines.join("\n"), "CapBnd");
    assert_ne!(u64::from_str_radix(&bounding, 16).unwrap() & (1 << 21), 0);
    assert_eq!(
        bundle.exec(&["readlink", "/proc/self/ns/pid"]).lines(),
        bundle.exec(&["readlink", "/proc/1/ns/pid"]).lines()
    );
}

#[test]
fn exec_takes_a_process_document() {
    let bundle = Bundle::sleeper();
    bundle.started();
    let file = bundle.path().join("process.json");
    let process = json!({"args": ["sh", "-c", "echo $X; umask"], "cwd": "/", "env": ["PATH=/bin", "X=1"],
        "user": {"uid": 0, "gid": 0, "umask": 63}});
    std::fs::write(&file, process.to_string()).unwrap();
    let ended = bundle.call(&["exec", "-p", file.to_str().unwrap(), &bundle.id]);
    assert_eq!(ended.lines(), ["1", "0077"]);
}

#[test]
fn exec_works_before_the_start_and_not_after_the_end() {
    let bundle = Bundle::sleeper();
    bundle.create().ok();
    assert_eq!(bundle.exec(&["echo", "early"]).lines(), ["early"]);
    bundle.start().ok();
    bundle.call(&["pause", &bundle.id]).ok();
    let said = bundle.exec(&["true"]).fails(255);
    assert!(said.contains("paused"), "{said}");
    bundle.call(&["resume", &bundle.id]).ok();
    bundle.kill("KILL").ok();
    bundle.await_status("stopped");
    let said = bundle.exec(&["true"]).fails(255);
    assert!(said.contains("stopped container"), "{said}");
}

#[test]
fn state_list_and_ps_have_their_forms() {
    let bundle = Bundle::sleeper();
    bundle.started();
    let state = bundle.state();
    assert_eq!(state["id"], bundle.id);
    assert_eq!(state["bundle"], json!(bundle.path()));
    assert_eq!(state["rootfs"], json!(bundle.rootfs()));
    assert!(state["pid"].as_i64().unwrap() > 1 && state["created"].is_string());
    let list: Value =
        serde_json::from_str(&bundle.call(&["list", "-f", "json"]).ok().stdout()).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["id"], bundle.id);
    assert_eq!(list[0]["status"], "running");
    assert_eq!(list[0]["owner"], "root");
    assert_eq!(bundle.call(&["list", "-q"]).lines(), [bundle.id.as_str()]);
    let table = bundle.call(&["list"]).lines();
    assert!(table[0].starts_with("ID ") && table[1].starts_with(&bundle.id), "{table:?}");
    let pids: Value =
        serde_json::from_str(&bundle.call(&["ps", "-f", "json", &bundle.id]).ok().stdout())
            .unwrap();
    assert!(pids.as_array().unwrap().contains(&json!(bundle.pid())), "{pids}");
    let table = bundle.call(&["ps", &bundle.id]).lines();
    assert!(table[0].contains("PID") && table.len() >= 2, "{table:?}");
    let empty = Bundle::new();
    empty.call(&["list"]).refused(&["No such file"]);
    std::fs::create_dir(empty.state_root()).unwrap();
    assert_eq!(empty.call(&["list", "-f", "json"]).ok().stdout().trim(), "null");
}

#[test]
fn stats_are_in_the_form_of_runcs_events() {
    let bundle = Bundle::sleeper();
    bundle.started();
    let text = bundle.call(&["events", "--stats", &bundle.id]).ok().stdout();
    let stats: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&stats["type"], &stats["id"]), (&json!("stats"), &json!(bundle.id)));
    let data = &stats["data"];
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{text}");
    assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{text}");
    assert!(data["pids"]["current"].as_u64().unwrap() >= 1, "{text}");
}

#[test]
fn state_roots_longer_than_a_socket_address_work() {
    let bundle = Bundle::sleeper();
    let root = bundle.path().join("long-".repeat(40)).join("x".repeat(100));
    let root = root.to_str().unwrap();
    let call = |args: &[&str]| {
        let mut command = std::process::Command::new(bundle::RUNTIME);
        bundle.finish({
            command.arg("--root").arg(root).args(args);
            command
        })
    };
    bundle.write_config();
    call(&["create", "-b", bundle.path().to_str().unwrap(), &bundle.id]).ok();
    call(&["start", &bundle.id]).ok();
    call(&["exec", &bundle.id, "true"]).ok();
    call(&["delete", "-f", &bundle.id]).ok();
}

#[test]
fn of_several_that_create_the_same_name_one_wins() {
    let bundle = Bundle::sleeper();
    bundle.write_config();
    let path = bundle.path().to_str().unwrap();
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = bundle.command(&["create", "-b", path, &bundle.id]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let codes: Vec<_> = children.into_iter().map(|mut c| c.wait().unwrap().code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
    bundle.start().ok();
    assert_eq!(bundle.status(), "running");
    bundle.call(&["delete", "-f", &bundle.id]).ok();
}

/// A cgroup with somebody's processes in it is not taken over, and what
/// cleans up afterwards does not touch them.
#[test]
fn a_cgroup_in_use_is_refused_and_left_alone() {
    let mut first = Bundle::sleeper();
    let shared = format!("/{}", first.id);
    first.config["linux"]["cgroupsPath"] = json!(shared);
    first.started();
    let mut second = Bundle::sleeper();
    second.config["linux"]["cgroupsPath"] = json!(shared);
    for _ in 0..2 {
        second.create().refused(&["cgroup", "not empty"]);
        second.run().refused(&["cgroup", "not empty"]);
        second.call(&["delete", "--force", &second.id]).ok();
    }
    second.write_config();
    let path = second.path().to_str().unwrap();
    for delay in 0..20_u64 {
        let mut command = second.command(&["create", "-b", path, &second.id]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(delay * 200));
        let _ = child.kill();
        child.wait().unwrap();
        second.call(&["delete", "--force", &second.id]).ok();
    }
    assert_eq!(first.status(), "running");
    first.exec(&["true"]).ok();
}

#[test]
fn other_things_in_the_state_root_do_not_trouble_list() {
    let bundle = Bundle::sleeper();
    bundle.create().ok();
    std::fs::write(bundle.state_root().join("file"), "").unwrap();
    let listed = bundle.call(&["list", "-q"]).ok();
    assert_eq!((listed.stdout().trim(), listed.stderr().as_str()), (bundle.id.as_str(), ""));
}

#[test]
fn a_paused_container_is_not_started() {
    let bundle = Bundle::sleeper();
    bundle.create().ok();
    bundle.call(&["pause", &bundle.id]).ok();
    assert_eq!(bundle.status(), "paused");
    bundle.start().refused(&["cannot start a container in the paused state"]);
    bundle.call(&["resume", &bundle.id]).ok();
    assert_eq!(bundle.status(), "created");
    bundle.start().ok();
    assert_eq!(bundle.status(), "running");
}

/// The second one comes while the first one's hook holds up the program.
#[test]
fn of_two_starts_at_once_one_is_refused() {
    let mut bundle = Bundle::sleeper();
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "sleep 1"], "env": ["PATH=/bin"]}]);
    bundle.config["hooks"]["startContainer"] = hook;
    let text = format!("echo x >> {}/poststart", bundle.path().display());
    bundle.config["hooks"]["poststart"] = json!([{"path": "/bin/sh", "args": ["sh", "-c", text]}]);
    bundle.create().ok();
    let mut first = bundle.command(&["start", &bundle.id]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    bundle.start().refused(&["cannot start an already running container"]);
    assert!(first.wait().unwrap().success());
    assert_eq!(bundle.status(), "running");
    assert_eq!(std::fs::read_to_string(bundle.path().join("poststart")).unwrap(), "x\n");
}

/// Both are waiting when the first process gets to hear one of them.
#[test]
fn of_two_starts_in_the_queue_one_is_refused() {
    let bundle = Bundle::sleeper();
    bundle.create().ok();
    let pid = rustix::process::Pid::from_raw(bundle.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let start = || bundle.command(&["start", &bundle.id]).stderr(Stdio::piped()).spawn().unwrap();
    let both = [start(), start()];
    std::thread::sleep(Duration::from_millis(300));
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let ended = both.map(|child| child.wait_with_output().unwrap());
    let refused: Vec<_> = ended.iter().filter(|ended| !ended.status.success()).collect();
    assert_eq!(refused.len(), 1, "{ended:?}");
    let text = String::from_utf8_lossy(&refused[0].stderr);
    assert!(text.contains("cannot start an already running container"), "{text}");
    assert_eq!(bundle.status(), "running");
}
