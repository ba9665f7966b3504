//! The command line itself: help, mistakes, completion, manual pages.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod caisson;

use caisson::Caisson;

#[test]
fn a_mistyped_command_is_answered_with_the_nearest() {
    let error = Caisson::new().fail(125, &["imagse"]);
    assert!(error.contains("similar") && error.contains("images"), "{error}");
    let error = Caisson::new().fail(125, &["images", "--quite"]);
    assert!(error.contains("--quiet"), "{error}");
}

#[test]
fn nothing_at_all_shows_help() {
    let ran = Caisson::new().try_run::<&str>(&[]);
    assert_eq!(ran.code, 125);
    assert!(ran.stderr.contains("Usage: caisson"), "{ran:?}");
    assert!(Caisson::new().run(&["--help"]).contains("CAISSON_ROOT"));
    assert!(Caisson::new().run(&["--version"]).starts_with("caisson "));
}

#[test]
fn every_command_explains_itself() {
    let caisson = Caisson::new();
    let help = caisson.run(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let mut count = 0;
    for line in commands.take_while(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        let own = caisson.run(&[name, "--help"]);
        assert!(own.contains("Usage: caisson "), "{own}");
        assert!(line.split_whitespace().count() > 1, "{name} says nothing about itself");
        count += 1;
    }
    assert!(count > 10, "{help}");
}

#[test]
fn shells_get_their_completion() {
    let caisson = Caisson::new();
    for (shell, word) in
        [("bash", "_caisson"), ("zsh", "#compdef caisson"), ("fish", "complete -c caisson")]
    {
        let script = caisson.run(&["completion", shell]);
        assert!(script.contains(word) && script.contains("images"), "{shell}");
    }
    let script = caisson.path("caisson.bash");
    std::fs::write(&script, caisson.run(&["completion", "bash"])).unwrap();
    let status = std::process::Command::new("bash").arg("-n").arg(&script).status().unwrap();
    assert!(status.success());
}

#[test]
fn manual_pages_are_written() {
    let caisson = Caisson::new();
    let out = caisson.path("man");
    caisson.run(&["man", "--out", out.to_str().unwrap()]);
    let page = std::fs::read_to_string(out.join("caisson-image-ls.1")).unwrap();
    assert!(page.contains(".SH OPTIONS"), "{page}");
    assert!(out.join("caisson.1").exists());
    assert!(!out.join("caisson-man.1").exists());
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let caisson = Caisson::new();
    let mut command = caisson.command(&["completion", "bash"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stderr, b"");
}

#[test]
fn broken_settings_are_named() {
    let caisson = Caisson::new();
    let file = caisson.path("config.toml");
    std::fs::write(&file, "[runtime]\ncolour = 1\n").unwrap();
    let file = file.to_str().unwrap();
    let error = caisson.fail(1, &["--config", file, "images"]);
    assert!(error.contains(file) && error.contains("colour"), "{error}");
    caisson.run(&["--config", file, "version"]);
}

#[test]
fn the_machine_is_described() {
    let caisson = Caisson::new();
    let info = caisson.run(&["system", "info", "--format", "json"]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["root"], caisson.path("state").to_str().unwrap());
    let ran = caisson.try_run(&["system", "check", "--format", "json"]);
    let findings: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let missing = findings.as_array().unwrap().iter().any(|f| f["verdict"] == "missing");
    assert_eq!(ran.code, i32::from(missing), "{findings}");
    for finding in findings.as_array().unwrap() {
        assert_eq!(finding["verdict"] == "ok", finding["advice"].is_null(), "{finding}");
    }
    assert!(caisson.run(&["system", "df"]).contains("Images"));
}
