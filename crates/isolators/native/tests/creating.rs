//! Containers whose creation is under way, or was cut off. Needs root.

#![cfg(test)]

mod bundle;

use std::process::Stdio;
use std::time::Duration;

use bundle::{Bundle, Census, eventually};

/// Before its first process is written down a container is its creator's.
#[test]
fn what_is_being_created_is_deleted_by_force_only() {
    let bundle = Bundle::sleeper();
    let before = Census::take(&bundle);
    bundle.create().ok();
    std::fs::remove_file(bundle.state_root().join(&bundle.id).join("pid")).unwrap();
    assert_eq!(bundle.status(), "creating");
    bundle.call(&["delete", &bundle.id]).refused(&["creating"]);
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    eventually("nothing left", || Census::take(&bundle) == before);
}

#[test]
fn a_create_killed_at_any_moment_leaves_what_delete_removes() {
    let bundle = Bundle::sleeper();
    let before = Census::take(&bundle);
    bundle.write_config();
    let path = bundle.path().to_str().unwrap();
    for delay in 0..40_u64 {
        let mut command = bundle.command(&["create", "-b", path, &bundle.id]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(delay * 150));
        let _ = child.kill();
        child.wait().unwrap();
        bundle.call(&["delete", "--force", &bundle.id]).ok();
        eventually(&format!("nothing left after {delay}"), || Census::take(&bundle) == before);
    }
}
