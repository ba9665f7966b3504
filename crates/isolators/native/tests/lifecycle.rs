//! The states of a container, from `create` to `delete`, as a caller sees
//! them.

#![cfg(test)]

mod bundle;

use bundle::{Bundle, Census};

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
