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

fn tamper(sandbox: &Sandbox, way: u32) -> sandbox::Ended {
    let script = format!(
        "(i=0; while [ $i -lt 20 ]; do i=$((i+1)); /bin/true || exit 1; done; echo sound) & \
         tamper {way} >/tmp/said; code=$?; wait $! && cat /tmp/said && exit $code"
    );
    let ended = sandbox.run(&["/bin/sh", "-c", &script]);
    let escaped = std::path::Path::new("/caisson-sentry-escaped");
    assert!(!escaped.exists(), "way {way} made a file on the host");
    let Some(said) = ended.stdout.strip_prefix("sound\n").map(str::to_owned) else {
        panic!("way {way}: the other process: {ended:?}");
    };
    sandbox::Ended { stdout: said, ..ended }
}

/// Calls forged before they are made, registers that lead into the stub, or that no program
/// may have, its pages, what signals tell, and code changed under a call.
#[test]
fn tracers_reach_nothing_but_their_tracees() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("tamper", &["-static"]);
    let selectors: String = ["0", "10", "18", "23", "1b", "ffff"]
        .map(|selector| format!("cs {selector}: EIO 33\nss {selector}: EIO 2b\n"))
        .concat();
    let registers =
        format!("{selectors}eflags 54dd7\nfs_base: EIO\nended 1\nflags: over 1\nstates 20\n");
    for (way, says) in [
        "refused 0\nover 0\n",
        "led 272\ncame back 0\nended 1\n",
        &registers,
        "written 0\nsame 1\nheld 1\nover 1\n",
        "infos 0\n",
        "made 0\nmade 0\n",
    ]
    .into_iter()
    .enumerate()
    {
        let ended = tamper(&sandbox, u32::try_from(way).unwrap());
        assert_eq!((ended.stdout.as_str(), ended.code), (says, 0), "way {way}: {ended:?}");
    }
}
