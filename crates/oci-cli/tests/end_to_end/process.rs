//! `exec`.

use super::program::{Program, code, eventually, read, stderr};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("process::flags_change_the_containers_process", flags_change_the_containers_process),
    ("process::a_file_describes_the_process", a_file_describes_the_process),
    ("process::exit_codes_and_detaching", exit_codes_and_detaching),
];

fn flags_change_the_containers_process() {
    let program = Program::new("sleep 60");
    program.quiet_ok(&["run", "-d", "c1"]);
    let output = program.run(&[
        "exec",
        "-e",
        "SHAPE=round",
        "--cwd",
        "/tmp",
        "--cgroup",
        "cpu:a",
        "c1",
        "sh",
        "-c",
        "echo $COLOUR $SHAPE $PWD $1",
        "-",
        "-e",
    ]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "blue round /tmp -e\n",
        "{}",
        stderr(&output)
    );
    assert!(program.calls("c1").contains("cgroups=[\"cpu:a\"] console=false"));
    let complaint = program.fails(255, &["exec", "c1"]);
    assert!(complaint.contains("exec failed: exec args cannot be empty"), "{complaint}");
    let complaint = program.fails(255, &["exec", "c1", "/no/such"]);
    assert!(complaint.contains("exec failed: exec: \\\"/no/such\\\""), "{complaint}");
    let complaint = program.fails(255, &["exec", "--cwd", "relative", "c1", "true"]);
    assert!(complaint.contains("Cwd must be an absolute path"), "{complaint}");
}

fn a_file_describes_the_process() {
    let program = Program::new("sleep 60");
    program.quiet_ok(&["run", "-d", "c1"]);
    let file = program.path("process.json");
    let json = r#"{"args":["sh","-c","echo $A"],"env":["A=file","PATH=/bin:/usr/bin"],"cwd":"/",
        "user":{"uid":0,"gid":0}}"#;
    std::fs::write(&file, json).unwrap();
    let path = file.to_str().unwrap();
    let output = program.run(&["exec", "--process", path, "c1"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "file\n", "{}", stderr(&output));
    std::fs::write(&file, "{\"args\":[],\"cwd\":\"/\"}").unwrap();
    assert!(program.fails(255, &["exec", "-p", path, "c1"]).contains("args must not be empty"));
    std::fs::write(&file, "{\"args\":[\"a\"],\"cwd\":3}").unwrap();
    assert!(program.fails(255, &["exec", "-p", path, "c1"]).contains("cwd"));
}

fn exit_codes_and_detaching() {
    let program = Program::new("sleep 60");
    program.quiet_ok(&["run", "-d", "c1"]);
    assert_eq!(code(&program.run(&["exec", "c1", "sh", "-c", "exit 3"])), 3);
    assert_eq!(code(&program.run(&["exec", "c1", "sh", "-c", "kill -15 $$"])), 143);
    let (pid, out) = (program.path("pid"), program.path("out"));
    let script = format!("echo $$ > {}; exit 5", out.display());
    program.quiet_ok(&[
        "exec",
        "-d",
        "--pid-file",
        pid.to_str().unwrap(),
        "c1",
        "sh",
        "-c",
        &script,
    ]);
    eventually("the process ran", || read(&out).ends_with('\n'));
    assert_eq!(read(&out).trim(), read(&pid));
    let complaint = program.fails(255, &["exec", "-d", "-t", "c1", "true"]);
    assert!(complaint.contains("cannot allocate tty if runc will detach"), "{complaint}");
}
