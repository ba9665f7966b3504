//! The sandbox's interface: our own TCP/IP between two network namespaces.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use container::Container;
use sandbox::Sandbox;
use serde_json::json;

const SAID: &str = "\
from outside
far: from outside
six: from outside
own: from inside
acked 1 received 1 size 1 time 1 left 0
wget: can't connect to remote host (10.9.0.1): Connection refused
datagram from inside
after our end: 5242880 end
after both ends: 409599 end
in: from inside
in six: from inside
closed: wget: can't connect to remote host (10.9.0.2): Connection refused
ten: 10 from inside
2 packets received
datagram from outside
unread: reset
served: 8
";

#[test]
fn machines_talk_through_our_own_stack() {
    if !sandbox::possible() {
        return;
    }
    let (sandbox, place) = (Sandbox::new(), tempfile::tempdir().unwrap());
    for name in ["datagram", "peers", "tcpinfo"] {
        sandbox.compile(name, &["-static"]);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/network.sh");
    let sentry = env!("CARGO_BIN_EXE_caisson-sentry");
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", "--mount", "sh", script, sentry]).arg(sandbox.root()).arg(place.path());
    let ended = sandbox::finish_within(&mut command, 240);
    assert_eq!((ended.stdout.as_str(), ended.code), (SAID, 0), "{}", ended.stderr);
}

/// Keep-alives, and what is sent without an answer: told when and as by Linux.
#[test]
fn machines_that_fall_silent_are_noticed() {
    if !sandbox::possible() {
        return;
    }
    let run = |command: &str| {
        let (sandbox, place) = (Sandbox::new(), tempfile::tempdir().unwrap());
        sandbox.compile("dead", &["-static", "-pthread"]);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/dead.sh");
        let mut unshare = std::process::Command::new("unshare");
        unshare.args(["--net", "--mount", "sh", script, command]);
        sandbox::finish_within(unshare.arg(sandbox.root()).arg(place.path()), 240)
    };
    let inside = std::thread::spawn(move || run(env!("CARGO_BIN_EXE_caisson-sentry")));
    let host = run("native");
    let inside = inside.join().unwrap();
    assert_eq!(inside.stdout, host.stdout, "{inside:?}");
    assert!(host.stdout.contains("read -110 in time"), "{host:?}");
}

#[test]
fn a_containers_interface_is_its_kernels() {
    if !sandbox::possible() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let fetch = "i=0; until wget -q -O - http://10.9.0.1/f 2>/dev/null; do \
                 i=$((i+1)); [ $i -lt 300 ] || exit 9; sleep 0.2; done; ip -4 -o addr | wc -l";
    let container = Container::new(&["sh", "-c", fetch], |config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "network", "path": place.path().join("ns")}));
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/container_network.sh");
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", "--mount", "sh", script]).arg(place.path());
    let run = container.command(&["run"], &[]);
    command.arg(run.get_program()).args(run.get_args()).current_dir(container.bundle.path());
    let ended = sandbox::finish_within(&mut command, 240);
    let expected = "from outside\n2\nfrom outside\n2\nexit code 1\n";
    assert_eq!(ended.stdout, expected, "{}", ended.stderr);
    assert!(ended.stderr.contains("is another sandbox's"), "{}", ended.stderr);
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
        (&["--network", "host"][..], "takes none, sandbox or host-sockets"),
        (&["--network", "sandbox"], "needs --netns"),
        (&["--network", "host-sockets", "--netns", "/none"], "open it: No such file"),
        (&["--netns", "/proc/self/ns/net"], "needs --network sandbox"),
        (&["--network", "sandbox", "--netns", "/none"], "open it: No such file"),
        (&["--network", "sandbox", "--netns", "/proc/self/ns/mnt"], "enter it: "),
    ] {
        let ended = run(words);
        assert!(ended.code != 0 && ended.stderr.contains(said), "{words:?}: {ended:?}");
    }
}
