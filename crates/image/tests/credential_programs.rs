//! Credential helpers: programs that are really run. The test runs itself again
//! with a `PATH` of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use caisson_image::registry::{AuthFiles, Credential};

const INNER: &str = "CAISSON_TEST_CREDENTIALS";

fn program(dir: &Path, name: &str, script: &str) {
    let path = dir.join(format!("docker-credential-{name}"));
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn ask(dir: &Path, name: &str) -> Result<Option<Credential>, String> {
    let file = dir.join(format!("{name}.json"));
    std::fs::write(&file, format!(r#"{{"credHelpers":{{"r.example:5000":"{name}"}}}}"#)).unwrap();
    AuthFiles::only(file)
        .find(&"r.example:5000/a".parse().unwrap(), Duration::from_millis(800))
        .map_err(|error| error.to_string())
}

#[test]
fn programs_are_asked() {
    let Some(dir) = std::env::var_os(INNER) else {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path();
        program(
            bin,
            "good",
            r#"read server; [ "$1" = get ] && echo "{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"at $server\"}""#,
        );
        program(bin, "token", r#"cat >/dev/null; echo '{"Username":"<token>","Secret":"t"}'"#);
        program(bin, "none", "echo credentials not found in native keychain; exit 1");
        program(bin, "locked", "echo the keychain is locked; exit 1");
        program(bin, "odd", "echo secret");
        program(bin, "long", "exec yes");
        program(bin, "slow", "exec sleep 60");
        // Its child keeps the pipe open.
        program(bin, "left", "sleep 3 & exit 0");
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["programs_are_asked", "--nocapture", "--exact"])
            .env(INNER, bin)
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .status()
            .unwrap();
        assert!(status.success());
        return;
    };
    let dir = Path::new(&dir);
    let basic = Credential::Basic { username: "u".into(), password: "at r.example:5000".into() };
    assert_eq!(ask(dir, "good"), Ok(Some(basic)));
    assert_eq!(ask(dir, "token"), Ok(Some(Credential::IdentityToken("t".into()))));
    assert_eq!(ask(dir, "none"), Ok(None));
    let begin = Instant::now();
    for (name, said) in [
        ("locked", "the keychain is locked"),
        ("odd", "no JSON"),
        ("long", "longer than"),
        ("slow", "no answer within"),
        ("left", "no answer within"),
        ("missing", "in PATH"),
        ("../bad", "no word"),
    ] {
        let name_of_file = name.replace('/', "_");
        let file = dir.join(format!("{name_of_file}.json"));
        std::fs::write(&file, format!(r#"{{"credsStore":"{name}"}}"#)).unwrap();
        let found = AuthFiles::only(file)
            .find(&"r.example:5000/a".parse().unwrap(), Duration::from_millis(800));
        let error = found.unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains("secret"), "{name}: {error}");
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
}
