//! Create, start, look at, signal, delete.

use super::program::{Program, code, eventually, read, stderr};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("lifecycle::a_container_lives_and_dies", a_container_lives_and_dies),
    ("lifecycle::flags_reach_the_engine", flags_reach_the_engine),
    ("lifecycle::errors_have_runcs_words_and_codes", errors_have_runcs_words_and_codes),
    ("lifecycle::errors_are_logged_as_go_runc_reads_them", errors_are_logged_as_go_runc_reads_them),
    ("lifecycle::lists_have_runcs_form", lists_have_runcs_form),
    ("lifecycle::a_failed_create_leaves_nothing", a_failed_create_leaves_nothing),
    ("lifecycle::pause_resume_and_update_reach_the_engine", pause_resume_and_update),
    ("lifecycle::counters_are_a_json_line", counters_are_a_json_line),
    ("lifecycle::help_and_version_print", help_and_version_print),
    ("lifecycle::spec_is_written_once", spec_is_written_once),
    ("lifecycle::the_pidfd_is_sent", the_pidfd_is_sent),
];

fn a_container_lives_and_dies() {
    let program = Program::new("trap 'exit 0' TERM; while :; do sleep 0.01; done");
    let pid_file = program.path("pid");
    let pid_flag = format!("--pid-file={}", pid_file.display());
    program.quiet_ok(&["create", "-bundle", ".", &pid_flag, "c1"]);
    let state = program.state("c1");
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"], program.bundle.to_str().unwrap());
    assert_eq!(state["annotations"]["org.example.key"], "value");
    assert_eq!(state["pid"].to_string(), read(&pid_file));
    program.ok(&["start", "c1"]);
    assert_eq!(program.state("c1")["status"], "running");
    let refused = program.fails(1, &["start", "c1"]);
    assert!(refused.contains("cannot start an already running container"), "{refused}");
    let refused = program.fails(1, &["delete", "c1"]);
    assert!(refused.contains("cannot delete container c1 that is not stopped: running"));
    program.ok(&["kill", "c1"]);
    eventually("stopped", || program.state("c1")["status"] == "stopped");
    assert_eq!(program.state("c1")["pid"], 0);
    assert!(program.fails(1, &["kill", "c1", "KILL"]).contains("container not running"));
    program.ok(&["kill", "--all", "c1", "9"]);
    program.ok(&["delete", "c1"]);
    assert!(!program.exists("c1"));
}

fn flags_reach_the_engine() {
    let program = Program::new("sleep 60");
    program.quiet_ok(&["create", "--no-pivot", "-no-new-keyring=true", "c1"]);
    assert_eq!(
        program.calls("c1"),
        "create preserve_fds=0 no_pivot=true no_new_keyring=true start=false console=false\n"
    );
    // A created container needs no force, and takes flags behind its name.
    program.ok(&["delete", "c1"]);
    program.quiet_ok(&["run", "-d", "c2"]);
    assert!(program.calls("c2").contains("start=true"));
    program.ok(&["kill", "-a", "c2", "SIGUSR1"]);
    assert!(program.calls("c2").contains("signal 10 all=true"));
    eventually("stopped", || program.state("c2")["status"] == "stopped");
    program.ok(&["delete", "c2", "--force"]);
    program.ok(&["delete", "--force", "c2"]);
}

fn errors_have_runcs_words_and_codes() {
    let program = Program::new("sleep 60");
    for (expected, args, words) in [
        (1, &["state", "nope"][..], "container does not exist"),
        (1, &["start", "nope"], "container does not exist"),
        (1, &["kill", "nope", "9"], "container does not exist"),
        (1, &["delete", "nope"], "container does not exist"),
        (1, &["create", "a/b"], "invalid id format"),
        (1, &["state", ""], "container id cannot be empty"),
        (255, &["exec", "nope", "ls"], "exec failed: container does not exist"),
        (1, &["start"], "caisson-fake: \\\"start\\\" requires exactly 1 argument(s)"),
        (1, &["kill"], "caisson-fake: \\\"kill\\\" requires a minimum of 1 argument(s)"),
        (1, &["kill", "a", "9", "b"], "caisson-fake: \\\"kill\\\" requires a maximum of 2"),
        (1, &["exec"], "requires a minimum of 1 argument(s)"),
        (1, &["list", "x"], "requires exactly 0 argument(s)"),
        (1, &["start", "--nope", "x"], "flag provided but not defined: -nope"),
        (1, &["--nope"], "flag provided but not defined: -nope"),
        (3, &["nope"], "No help topic for 'nope'"),
        (1, &["checkpoint", "--image-path", "x", "c1"], "checkpoint is not supported"),
        (1, &["restore", "-d", "c1"], "restore is not supported"),
        (1, &["list", "--format", "xml"], "invalid format option"),
        (1, &["create", "--bundle", "/nonexistent", "c1"], "/nonexistent/config.json"),
        (1, &["create", "--preserve-fds", "40", "c1"], "unable to stat preserved-fd"),
        (1, &["create", "--preserve-fds=x", "c1"], "parse error"),
        (1, &["create", "--console-socket", "/s", "c1"], "cannot use console socket if runc"),
    ] {
        let complaint = program.fails(expected, args);
        assert!(complaint.contains(words), "{args:?}: {complaint}");
    }
    program.quiet_ok(&["create", "c1"]);
    let complaint = program.fails(1, &["create", "c1"]);
    assert!(complaint.contains("caisson-fake create failed: "), "{complaint}");
    assert!(complaint.contains("already exists"), "{complaint}");
    assert_eq!(program.state("c1")["status"], "created");
    assert!(program.fails(1, &["kill", "c1", "SIGNOPE"]).contains("unknown signal"));
}

fn errors_are_logged_as_go_runc_reads_them() {
    let program = Program::new("true");
    let log = program.path("log.json");
    let output =
        program.run(&["--log", log.to_str().unwrap(), "--log-format", "json", "state", "nope"]);
    assert_eq!(code(&output), 1);
    assert_eq!(stderr(&output), "container does not exist: \"nope\"\n");
    let line: serde_json::Value = serde_json::from_str(&read(&log)).unwrap();
    assert_eq!(line["level"], "error");
    assert_eq!(line["msg"], "container does not exist: \"nope\"");
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    let output = program.run(&["state", "nope"]);
    let text = stderr(&output);
    assert!(text.starts_with("time=\"") && text.contains("level=error msg=\""), "{text}");
    let log = program.path("debug.log");
    let args = ["--debug", "--log", log.to_str().unwrap(), "list", "-q"];
    program.run(&args);
    assert!(read(&log).contains("level=debug msg=\"list\""), "{}", read(&log));
    assert!(program.fails(1, &["--log-format=xml", "list"]).contains("invalid log-format"));
}

fn lists_have_runcs_form() {
    let program = Program::new("sleep 60");
    assert!(program.fails(1, &["list"]).contains("No such file"));
    std::fs::create_dir(&program.root).unwrap();
    assert_eq!(
        program.ok(&["list"]),
        "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
    );
    assert_eq!(program.ok(&["list", "-f", "json"]), "null\n");
    program.quiet_ok(&["run", "-d", "c1"]);
    program.quiet_ok(&["create", "c2"]);
    assert_eq!(program.ok(&["list", "-q"]), "c1\nc2\n");
    let table = program.ok(&["list"]);
    assert!(table.contains("c1  ") && table.contains("  running  "), "{table}");
    let list: serde_json::Value =
        serde_json::from_str(&program.ok(&["list", "--format=json"])).unwrap();
    assert_eq!(list[0]["id"], "c1");
    assert_eq!(list[1]["status"], "created");
    assert_eq!(list[0]["owner"], "root");
    let pid = program.state("c1")["pid"].as_i64().unwrap();
    assert_eq!(program.ok(&["ps", "--format", "json", "c1"]), format!("[{pid}]\n"));
    let table = program.ok(&["ps", "c1"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("sleep 60"), "{table}");
    let table = program.ok(&["ps", "c1", "-o", "comm,pid"]);
    assert!(table.starts_with("COMMAND ") && table.contains(&pid.to_string()), "{table}");
    let features: serde_json::Value = serde_json::from_str(&program.ok(&["features"])).unwrap();
    assert_eq!(features["ociVersionMax"], "1.3.0");
}

fn a_failed_create_leaves_nothing() {
    let program = Program::new("sleep 60");
    let config =
        read(&program.bundle.join("config.json")).replace("\"sh\"", "\"/no/such/program\"");
    std::fs::write(program.bundle.join("config.json"), config).unwrap();
    let complaint = program.fails(1, &["run", "c1"]);
    assert!(complaint.contains("run failed: exec: "), "{complaint}");
    assert!(!program.exists("c1"));
    let program = Program::new("sleep 60");
    let complaint = program.fails(1, &["create", "--pid-file", "/nonexistent/pid", "c1"]);
    assert!(complaint.contains("write pid file /nonexistent/pid"), "{complaint}");
    assert!(!program.exists("c1"));
    std::fs::write(program.bundle.join("config.json"), "{\"process\":{\"args\":7}}").unwrap();
    let complaint = program.fails(1, &["create", "c1"]);
    assert!(complaint.contains("process.args"), "{complaint}");
    assert!(!program.exists("c1"));
}

fn pause_resume_and_update() {
    let program = Program::new("sleep 60");
    program.quiet_ok(&["run", "-d", "c1"]);
    assert!(program.fails(1, &["resume", "c1"]).contains("container not paused"));
    program.ok(&["pause", "c1"]);
    assert_eq!(program.state("c1")["status"], "paused");
    assert!(program.fails(1, &["pause", "c1"]).contains("container not running"));
    let complaint = program.fails(255, &["exec", "c1", "true"]);
    assert!(complaint.contains("cannot exec in a paused container"), "{complaint}");
    program.quiet_ok(&["exec", "--ignore-paused", "c1", "true"]);
    program.ok(&["resume", "c1"]);
    program.ok(&["update", "--memory", "64m", "c1", "--pids-limit=-1"]);
    let file = program.path("limits.json");
    std::fs::write(&file, "{\"cpu\":{\"shares\":5}}").unwrap();
    program.ok(&["update", "-r", file.to_str().unwrap(), "c1"]);
    let calls = program.calls("c1");
    assert!(
        calls.contains("update {\"memory\":{\"limit\":67108864},\"pids\":{\"limit\":-1}}"),
        "{calls}"
    );
    assert!(calls.contains("update {\"cpu\":{\"shares\":5}}"), "{calls}");
    let complaint = program.fails(1, &["update", "--l3-cache-schema", "x", "c1"]);
    assert!(complaint.contains("Intel RDT"), "{complaint}");
}

fn counters_are_a_json_line() {
    let program = Program::new("sleep 60");
    program.quiet_ok(&["run", "-d", "c1"]);
    let line = program.ok(&["events", "--stats", "c1"]);
    assert!(line.starts_with("{\"type\":\"stats\",\"id\":\"c1\",\"data\":{\"cpu\":{"), "{line}");
    assert!(program.fails(1, &["events", "--interval=0s", "c1"]).contains("greater than 0"));
    assert!(program.fails(1, &["events", "--interval=x", "c1"]).contains("-interval"));
    program.ok(&["kill", "c1", "9"]);
    eventually("stopped", || program.state("c1")["status"] == "stopped");
    let refused = program.fails(1, &["events", "--stats", "c1"]);
    assert!(refused.contains("container with id c1 is not running"), "{refused}");
}

fn help_and_version_print() {
    let program = Program::new("true");
    assert_eq!(program.ok(&["--version"]), "caisson-fake version 1.2.3\nspec: 1.3.0\n");
    assert_eq!(program.ok(&["-v"]), program.ok(&["--version"]));
    for args in [&["--help"][..], &["-h"], &["help"], &[]] {
        let text = program.ok(args);
        assert!(text.contains("COMMANDS:") && text.contains("\n   resume "), "{text}");
    }
    for args in [&["exec", "--help"][..], &["help", "exec"], &["exec", "-h"]] {
        let text = program.ok(args);
        assert!(text.contains("--additional-gids value, -g value"), "{text}");
    }
    assert!(!program.ok(&["help", "checkpoint"]).contains("--image-path"));
}

fn spec_is_written_once() {
    let program = Program::new("true");
    let dir = program.path("new");
    std::fs::create_dir(&dir).unwrap();
    program.ok(&["spec", "--bundle", dir.to_str().unwrap()]);
    let text = read(&dir.join("config.json"));
    assert!(text.starts_with("{\n\t\"ociVersion\": \"1.3.0\",\n\t\"process\": {\n"), "{text}");
    let refused = program.fails(1, &["spec", "-b", dir.to_str().unwrap()]);
    assert!(refused.contains("File config.json exists. Remove it first"), "{refused}");
    std::fs::remove_file(dir.join("config.json")).unwrap();
    program.ok(&["spec", "--rootless", "-b", dir.to_str().unwrap()]);
    assert!(read(&dir.join("config.json")).contains("uidMappings"));
}

fn the_pidfd_is_sent() {
    use std::os::fd::AsFd;
    let program = Program::new("sleep 60");
    let path = program.path("pidfd.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let flag = format!("--pidfd-socket={}", path.display());
    program.quiet_ok(&["create", &flag, "c1"]);
    let (stream, _) = listener.accept().unwrap();
    let pidfd = super::terminal::receive(stream.as_fd());
    let link = format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(&pidfd));
    let pid = program.state("c1")["pid"].to_string();
    assert!(read(link.as_ref()).contains(&format!("Pid:\t{pid}\n")));
}
