//! Tracers and listeners that turn on the kernel, on filters, on other containers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use sandbox::Sandbox;

/// What a tracer makes of a call, filters judge like any other: those too that are above the
/// tracer's own.
#[test]
fn no_tracer_leads_a_call_past_filters() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("evades", &["-static"]);
    let (inside, host) = (sandbox.run(&["/bin/evades"]), sandbox.run_on_host(&["/bin/evades"]));
    for (ours, theirs) in inside.stdout.lines().zip(host.stdout.lines()) {
        assert_eq!(ours, theirs, "inside, on the host");
    }
    assert_eq!(inside, host);
    assert!(inside.stdout.ends_with("done\n"), "{inside:?}");
}
