//! This test program as a program inside a container.
//!
//! Tests are static, so the program runs in any root file system. A test file
//! that uses this has an ignored test `inside`, which does what `$ROLE` says.

#![allow(dead_code, unreachable_pub, reason = "every test program uses a part of it")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bundle::{Bundle, RUNTIME};
use serde_json::{Value, json};

/// All capabilities that a container's root could have.
pub const ALL: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
];

/// Puts this program into the root file system as `/attacker`.
pub fn install(bundle: &Bundle) -> PathBuf {
    let path = bundle.rootfs().join("attacker");
    std::fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// The arguments of a process that plays a role.
pub fn args() -> Value {
    json!(["/attacker", "--ignored", "--exact", "inside", "--nocapture", "--test-threads=1"])
}

/// Makes a role the container's process.
pub fn play(bundle: &mut Bundle, role: &str) {
    bundle.config["process"]["args"] = args();
    let env = bundle.config["process"]["env"].as_array_mut().unwrap();
    env.push(json!(format!("ROLE={role}")));
}

/// The role to play, inside a container.
pub fn role() -> String {
    std::env::var("ROLE").unwrap_or_default()
}

/// Process ids that are visible, without the caller's.
pub fn others() -> Vec<u32> {
    let own = std::process::id();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .collect()
}

/// Repeats until the time is over.
pub fn repeat(seconds: f32, mut action: impl FnMut()) {
    let end = Instant::now() + Duration::from_secs_f32(seconds);
    while Instant::now() < end {
        action();
    }
}

/// Leaves what a role counted in `/tmp/result`, which is whole when it appears.
pub fn report(counted: &str) {
    std::fs::write("/tmp/result.part", counted).unwrap();
    std::fs::rename("/tmp/result.part", "/tmp/result").unwrap();
}

/// The value of `name=` in what a role printed.
#[track_caller]
pub fn figure(said: &str, name: &str) -> u64 {
    let found = said.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name}= in {said:?}")).parse().unwrap()
}

/// The runtime below a shell that prepares something for it with `prelude`.
pub fn after(bundle: &Bundle, prelude: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{prelude}\nexec \"$@\"")).arg("sh").arg(RUNTIME);
    command.arg("--root").arg(bundle.state_root()).args(args);
    command.stdin(std::process::Stdio::null());
    command
}
