//! The sandbox's interface: our own TCP/IP between two network namespaces.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use sandbox::Sandbox;

const SAID: &str = "\
from outside
far: from outside
six: from outside
own: from inside
wget: can't connect to remote host (10.9.0.1): Connection refused
datagram from inside
in: from inside
in six: from inside
closed: wget: can't connect to remote host (10.9.0.2): Connection refused
ten: 10 from inside
2 packets received
datagram from outside
";

#[test]
fn machines_talk_through_our_own_stack() {
    if !sandbox::possible() {
        return;
    }
    let (sandbox, place) = (Sandbox::new(), tempfile::tempdir().unwrap());
    sandbox.compile("datagram", &["-static"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/network.sh");
    let sentry = env!("CARGO_BIN_EXE_caisson-sentry");
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", "--mount", "sh", script, sentry]).arg(sandbox.root()).arg(place.path());
    let ended = sandbox::finish_within(&mut command, 120);
    assert_eq!((ended.stdout.as_str(), ended.code), (SAID, 0), "{}", ended.stderr);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    if !sandbox::possible() {
        return;
    }
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
        sandbox::finish_within(command.arg("do").args(words).arg("/bin/true"), 30)
    };
    for (words, said) in [
        (&["--network", "host-sockets"][..], "host-sockets is not supported"),
        (&["--network", "sandbox"], "needs --netns"),
        (&["--netns", "/proc/self/ns/net"], "needs --network sandbox"),
        (&["--network", "sandbox", "--netns", "/none"], "open it: No such file"),
        (&["--network", "sandbox", "--netns", "/proc/self/ns/mnt"], "enter it: "),
    ] {
        let ended = run(words);
        assert!(ended.code != 0 && ended.stderr.contains(said), "{words:?}: {ended:?}");
    }
}
